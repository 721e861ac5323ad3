"""Task nodes: from resolved inputs through the cache and one or more attempts to an end.

The one rule: an attempt ends once. Whatever comes later about an ended or replaced attempt is dropped here, on
purpose and in one place (``_current``).
"""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import layout, recovery, retries, transitions
from hydraflyte.backend.engine.attempts import (
    attempt_id,
    attempt_spec,
    inputs_of,
    needs_template_file,
    template_file_uri,
)
from hydraflyte.backend.engine.cachekeys import cache_key
from hydraflyte.backend.engine.commands import (
    AbortAttempt,
    LookUpCache,
    ReleaseReservation,
    StartAttempt,
    WakeAt,
    WriteCache,
)
from hydraflyte.backend.engine.draft import Draft, story_of
from hydraflyte.backend.engine.events import (
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptProducedWorkflow,
    AttemptStarted,
    AttemptSucceeded,
    CacheAnswered,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.graph import NodeSpec
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import produced_workflows, spec_of
from hydraflyte.backend.engine.phases import TERMINAL_NODE_PHASES, TERMINAL_TASK_PHASES, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import AttemptState, CacheStatus, NodeState, RecoveredNode
from hydraflyte.backend.engine.templates import TemplateError, timeout_text
from hydraflyte.backend.engine.transitions import Cause, NodeCause, TaskCause
from hydraflyte.identifiers import AttemptId

ACTIVE_DEADLINE_FACTOR = 2


def begin(draft: Draft, node: NodeState) -> None:
    """Queue a task node whose inputs are resolved: ask the cache, or start its first attempt."""
    spec = spec_of(draft.execution, node)
    assert spec.task is not None
    if needs_template_file(spec.task):
        draft.write(template_file_uri(draft.state, node), spec.task)
    node = draft.move(_with_cache_key(draft, replace(node, queued_at=draft.now), spec), Cause.QUEUED)
    if node.cache_tag and not draft.plan.overwrite_cache:
        draft.command(look_up_command(node, spec))
    else:
        _start_attempt(draft, node, spec, cause=None)


def look_up_command(node: NodeState, spec: NodeSpec) -> LookUpCache:
    """Return the question to the catalog for a cacheable node."""
    assert spec.task is not None
    return LookUpCache(
        node=node.node_id,
        attempt=node.attempt,
        dataset=node.cache_dataset,
        tag=node.cache_tag,
        reserves=spec.task.metadata.cache_serializable,
    )


def is_asking_cache(node: NodeState) -> bool:
    """Return whether the node waits for CacheAnswered."""
    return node.phase is NodePhase.QUEUED and not node.attempts and bool(node.cache_tag)


def cache_answered(draft: Draft, event: CacheAnswered) -> None:
    """Take the cached outputs, or start the first attempt."""
    node = draft.nodes.get(event.node)
    if node is None:
        return
    if not is_asking_cache(node):
        if event.is_reserved and not node.holds_reservation:  # it was ended while it waited for its turn
            draft.command(ReleaseReservation(node=node.node_id, dataset=node.cache_dataset, tag=node.cache_tag))
        return
    if event.outputs is None:
        status = CacheStatus.CACHE_LOOKUP_FAILURE if event.has_failed else CacheStatus.CACHE_MISS
        node = replace(node, cache_status=status, holds_reservation=event.is_reserved)
        _start_attempt(draft, node, spec_of(draft.execution, node), cause=None)
        return
    draft.write(layout.outputs_uri(draft.state, node), event.outputs)
    hit = replace(node, outputs=event.outputs, cache_status=CacheStatus.CACHE_HIT, cache_source=event.source)
    draft.end(hit, CacheAnswered)


def attempt_started(draft: Draft, event: AttemptStarted) -> None:
    """Note that the process runs, and when its time is up."""
    node = _current(draft, event.attempt)
    if node is not None and node.attempts[-1].phase is TaskPhase.QUEUED:
        _note_start(draft, node, event)


def attempt_succeeded(draft: Draft, event: AttemptSucceeded) -> None:
    """End the node well. A result is never thrown away, even if the attempt was being killed."""
    node = _current(draft, event.attempt)
    if node is None:
        return
    if node.attempts[-1].phase is TaskPhase.QUEUED:  # the news of its start is late or lost
        node = _note_start(draft, node, AttemptStarted(attempt=event.attempt))
    attempt = replace(node.attempts[-1], failure=None, has_deck=event.has_deck)
    node = _with_attempt(node, _end_attempt(draft, node, attempt, AttemptSucceeded))
    end_well(draft, replace(node, outputs=event.outputs), Cause.ATTEMPT_SUCCEEDED)


def end_well(draft: Draft, node: NodeState, cause: NodeCause) -> None:
    """End a node that has its outputs, and have them kept in the catalog if it is cacheable."""
    if node.cache_tag:
        node = replace(node, cache_status=CacheStatus.CACHE_POPULATED)
        draft.command(write_command(node, attempt_id(draft.execution, node)))
    draft.end(node, cause)


def workflow_produced(draft: Draft, event: AttemptProducedWorkflow) -> NodeState | None:
    """End the attempt of a dynamic task and return the node, whose children may start now; None if none may."""
    node = _current(draft, event.attempt)
    if node is None:
        return None
    if node.attempts[-1].phase is TaskPhase.QUEUED:
        node = _note_start(draft, node, AttemptStarted(attempt=event.attempt))
    attempt = replace(node.attempts[-1], has_deck=event.has_deck)
    if attempt.failure is not None:  # it was being killed: what it wants to begin is not begun
        _end_killed(draft, node, attempt, attempt.failure)
        return None
    node = _give_up_reservation(draft, _with_attempt(node, _end_attempt(draft, node, attempt, AttemptSucceeded)))
    draft.add_workflows(produced_workflows(node.node_id, node.attempt, event.workflow))
    draft.write(layout.dynamic_workflow_uri(draft.state, node), event.workflow)
    return draft.move(node, Cause.WORKFLOW_PRODUCED)


def _give_up_reservation(draft: Draft, node: NodeState) -> NodeState:
    """Hold nothing while children run: one of them may wait for the same, or for what waits for this node."""
    if not node.holds_reservation:
        return node
    draft.command(ReleaseReservation(node=node.node_id, dataset=node.cache_dataset, tag=node.cache_tag))
    return replace(node, holds_reservation=False)


def workflow_recovered(draft: Draft, node: NodeState, recovered: RecoveredNode) -> NodeState:
    """Return a dynamic node whose workflow the execution being recovered produced; its children may start now."""
    node = replace(node, inputs=recovered.inputs or LiteralMap(), queued_at=draft.now, started_at=draft.now)
    draft.write(layout.inputs_uri(draft.state, node), node.inputs or LiteralMap())
    node = _with_cache_key(draft, node, spec_of(draft.execution, node))
    recovery.write_workflow(draft, node, recovered)
    return draft.move(node, Cause.WORKFLOW_PRODUCED)


def children_failed(draft: Draft, node: NodeState, failure: Failure) -> None:
    """End a dynamic node whose workflow failed; only if a child took too long, another attempt is made."""
    if failure.code == retries.ACTIVE_DEADLINE:
        _retry_or_fail(draft, replace(node, failure=None), replace(failure, is_retryable=True))
    else:
        draft.end(node, Cause.CHILDREN_ENDED, failure)


def write_command(node: NodeState, source: AttemptId) -> WriteCache:
    """Return the order to keep the outputs of a node that SUCCEEDED."""
    outputs = node.outputs or LiteralMap()
    return WriteCache(attempt=source, dataset=node.cache_dataset, tag=node.cache_tag, outputs=outputs)


def attempt_ended_badly(draft: Draft, event: AttemptFailed | AttemptLost | AttemptAborted) -> None:
    """End the attempt, and either replace it or end the node."""
    node = _current(draft, event.attempt)
    if node is None:
        return
    attempt = node.attempts[-1]
    if isinstance(event, AttemptFailed):
        attempt = replace(attempt, has_deck=event.has_deck)
    if attempt.failure is not None:
        _end_killed(draft, node, attempt, attempt.failure)
        return
    cause: TaskCause
    if isinstance(event, AttemptFailed):
        failure, cause = event.failure, AttemptFailed
    else:  # AttemptAborted though nobody asked for it: the process is gone all the same
        reason = event.reason if isinstance(event, AttemptLost) else "the process was aborted from outside"
        failure, cause = retries.lost(reason), AttemptLost
    attempt = _end_attempt(draft, node, replace(attempt, failure=failure), cause)
    _retry_or_fail(draft, _with_attempt(node, attempt), failure)


def kill(draft: Draft, node: NodeState, failure: Failure) -> None:
    """Have the current attempt killed because of ``failure``; it ends when its process is gone."""
    if not node.attempts:
        draft.end(node, Cause.KILLED, failure)
        return
    attempt = node.attempts[-1]
    draft.keep(_with_attempt(node, replace(attempt, failure=failure, updated_at=draft.now)))
    if attempt.failure is None:
        draft.command(AbortAttempt(attempt=attempt_id(draft.execution, node), reason=failure.message))


def check_deadlines(draft: Draft, node: NodeState) -> None:
    """Have the current attempt killed if it, or all attempts of the node together, took too long."""
    deadlines = _deadlines(node, spec_of(draft.execution, node))
    if deadlines is None or node.attempts[-1].failure is not None:
        return
    timeout = spec_of(draft.execution, node).timeout
    attempt_deadline, active_deadline = deadlines
    if draft.now >= active_deadline.at:
        kill(draft, node, retries.node_timed_out(timeout_text(timeout * ACTIVE_DEADLINE_FACTOR)))
    elif attempt_deadline is not None and draft.now >= attempt_deadline.at:
        kill(draft, node, retries.attempt_timed_out(timeout_text(timeout)))


def wake_commands(node: NodeState, spec: NodeSpec) -> tuple[WakeAt, ...]:
    """Return when to look at the node's deadlines again."""
    deadlines = _deadlines(node, spec)
    return () if deadlines is None else tuple(wake for wake in deadlines if wake is not None)


def is_open(node: NodeState) -> bool:
    """Return whether an executor has the node's current attempt."""
    is_over = node.phase in TERMINAL_NODE_PHASES or not node.attempts
    return node.kind is NodeKind.TASK and not is_over and node.attempts[-1].phase not in TERMINAL_TASK_PHASES


def _wants_interruptible(draft: Draft, spec: NodeSpec) -> bool:
    """Return what the node says, else what the execution says, else what its workflow says."""
    if spec.interruptible is not None:
        return spec.interruptible
    if draft.plan.interruptible is not None:
        return draft.plan.interruptible
    return draft.plan.workflow.primary.template.metadata_defaults.interruptible


def _with_cache_key(draft: Draft, node: NodeState, spec: NodeSpec) -> NodeState:
    """Return the node with the place of its outputs in the catalog, if its task is cacheable."""
    assert spec.task is not None
    key = cache_key(spec.task, inputs_of(draft.state, node)) if spec.task.metadata.discoverable else None
    if key is None:
        return node
    status = CacheStatus.CACHE_SKIPPED if draft.plan.overwrite_cache else CacheStatus.CACHE_DISABLED
    return replace(node, cache_dataset=key.dataset, cache_tag=key.tag, cache_status=status)


def _deadlines(node: NodeState, spec: NodeSpec) -> tuple[WakeAt | None, WakeAt] | None:
    """Return when the current attempt's time and the node's are up; None if there is no limit or no start yet."""
    if not spec.timeout or node.started_at is None or not is_open(node):
        return None
    started_at = node.attempts[-1].started_at
    attempt_wake = None if started_at is None else WakeAt(at=started_at + spec.timeout)
    return attempt_wake, WakeAt(at=node.started_at + spec.timeout * ACTIVE_DEADLINE_FACTOR)


def _current(draft: Draft, attempt: AttemptId) -> NodeState | None:
    """Return the node if ``attempt`` is its current attempt and has not ended; else the event is late: ignore it."""
    node = draft.nodes.get(attempt.node)
    if node is None or attempt.execution != draft.plan.execution_id or attempt.attempt != node.attempt:
        return None
    return node if is_open(node) else None


def _note_start(draft: Draft, node: NodeState, event: AttemptStarted) -> NodeState:
    attempt = node.attempts[-1]
    phase = transitions.next_task_phase(attempt.phase, AttemptStarted, story=story_of(node))
    attempt = replace(attempt, phase=phase, started_at=draft.now, updated_at=draft.now, logs=event.logs)
    node = replace(_with_attempt(node, attempt), started_at=node.started_at or draft.now)
    node = draft.move(node, AttemptStarted)
    for wake in wake_commands(node, spec_of(draft.execution, node)):
        draft.command(wake)
    return node


def _start_attempt(draft: Draft, node: NodeState, spec: NodeSpec, *, cause: NodeCause | None) -> None:
    """Hand the node's current attempt to the executor. ``cause`` is None for the first one."""
    assert spec.task is not None
    phase = transitions.next_task_phase(TaskPhase.UNDEFINED, Cause.QUEUED, story=story_of(node))
    attempt = AttemptState(
        attempt=node.attempt,
        phase=phase,
        created_at=draft.now,
        updated_at=draft.now,
        is_interruptible=_wants_interruptible(draft, spec) and retries.may_be_interruptible(node.system_failures),
    )
    try:
        command = StartAttempt(spec=attempt_spec(draft.state, node, spec.task))
    except TemplateError as error:
        failure = Failure(kind=ErrorKind.USER, code="BadTaskDefinition", message=str(error))
        draft.end(node, Cause.NOT_STARTABLE, failure)
        return
    node = replace(node, attempts=(*node.attempts, attempt))
    if cause is None:
        draft.keep(node)
    else:
        draft.move(node, cause)
    draft.command(command)


def _retry_or_fail(draft: Draft, node: NodeState, failure: Failure) -> None:
    spec = spec_of(draft.execution, node)
    budget = retries.Budget(attempt=node.attempt, system_failures=node.system_failures, retries=spec.retries)
    final = retries.final_failure(failure, budget)
    if final is not None:
        draft.end(node, Cause.ATTEMPT_GAVE_UP, final)
        return
    system_failures = node.system_failures + (failure.kind is ErrorKind.SYSTEM)
    node = replace(node, attempt=node.attempt + 1, system_failures=system_failures)
    _start_attempt(draft, node, spec, cause=Cause.ATTEMPT_REPLACED)


def _end_killed(draft: Draft, node: NodeState, attempt: AttemptState, failure: Failure) -> None:
    """End an attempt that was killed on purpose, as the purpose wants it."""
    if failure.code == retries.NODE_ABORTED:
        node = _with_attempt(node, _end_attempt(draft, node, attempt, AttemptAborted))
        draft.end(node, Cause.KILLED, failure)
        return
    node = _with_attempt(node, _end_attempt(draft, node, attempt, Cause.DEADLINE_PASSED))
    if failure.is_retryable:
        _retry_or_fail(draft, node, failure)
    else:
        draft.end(node, Cause.DEADLINE_PASSED, failure)


def _end_attempt(draft: Draft, node: NodeState, attempt: AttemptState, cause: TaskCause) -> AttemptState:
    phase = transitions.next_task_phase(attempt.phase, cause, story=story_of(node))
    return replace(attempt, phase=phase, ended_at=draft.now, updated_at=draft.now)


def _with_attempt(node: NodeState, attempt: AttemptState) -> NodeState:
    return replace(node, attempts=(*node.attempts[:-1], attempt))
