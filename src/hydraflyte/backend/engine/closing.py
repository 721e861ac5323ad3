"""How a level ends: with a result, after a failure, or because somebody asked for it.

Follows flytepropeller (pkg/controller/workflow/executor.go). The one rule: nothing ends while something below it
still runs; the last end below closes the level.
"""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import arrays, gates, launchplans, layout, retries, tasks
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.events import AbortRequested
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, NodeKind
from hydraflyte.backend.engine.levels import Level, has_level_below, level_at, level_below, top_level
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.backend.engine.readiness import LevelCondition, condition, is_doomed, open_children
from hydraflyte.backend.engine.state import NodeState
from hydraflyte.backend.engine.transitions import Cause

_FAILED_PHASES = frozenset({NodePhase.FAILED, NodePhase.TIMED_OUT})


def succeed(draft: Draft, level: Level, outputs: LiteralMap) -> None:
    """End the level well: its end-node was reached with ``outputs``."""
    if level.parent is None:
        draft.move_execution(draft.execution, Cause.RESULT_READY)
        draft.move_execution(replace(draft.execution, outputs=outputs, ended_at=draft.now), Cause.RESULT_STORED)
        return
    parent = replace(draft.nodes[level.parent], outputs=outputs)
    draft.write(layout.outputs_uri(draft.state, parent), outputs)
    if parent.kind is NodeKind.TASK:
        tasks.end_well(draft, parent, Cause.CHILDREN_SUCCEEDED)
    else:
        draft.end(parent, Cause.CHILDREN_SUCCEEDED)


def fail(draft: Draft, level: Level, failure: Failure) -> None:
    """Let the level fail: abort what runs; the last end closes it."""
    if level.parent is None:
        draft.move_execution(replace(draft.execution, failure=failure), Cause.CHILD_FAILED)
    else:
        draft.move(replace(draft.nodes[level.parent], failure=failure), Cause.CHILD_FAILED)
    _forget_waiting(draft)
    _abort_below(draft, level, retries.AUTO_ABORT_REASON)


def abort(draft: Draft, event: AbortRequested) -> None:
    """Let the whole execution end as ABORTED: kill what runs; the last end closes it."""
    execution = replace(draft.execution, abort_cause=event.cause, abort_principal=event.principal)
    draft.move_execution(execution, AbortRequested)
    _forget_waiting(draft)
    _abort_below(draft, top_level(draft.execution), event.cause)


def is_drained(draft: Draft, level: Level) -> bool:
    """Return whether nothing at the level runs any more."""
    return next(open_children(draft.nodes, level.parent), None) is None


def failure_node_to_run(draft: Draft, level: Level) -> str | None:
    """Return the id of the failure node that a failed, drained level has to run before it ends."""
    failure_node = level.failure_node
    if failure_node is None or level.id_of(failure_node) in draft.nodes:
        return None
    if level.parent is None:
        return failure_node if draft.phase is ExecutionPhase.FAILING else None
    parent = draft.nodes[level.parent]
    is_failing = parent.phase is NodePhase.FAILING and not is_doomed(draft.execution, draft.nodes, parent)
    return failure_node if is_failing else None


def close(draft: Draft, level: Level) -> None:
    """End a closing level of which nothing runs any more."""
    if level.parent is None:
        is_abort = draft.phase is ExecutionPhase.ABORTING
        execution = replace(draft.execution, ended_at=draft.now)
        draft.move_execution(execution, Cause.KILLED if is_abort else Cause.CHILDREN_ENDED)
        return
    parent = draft.nodes[level.parent]
    if parent.kind in ARRAY_KINDS:
        is_killed = is_doomed(draft.execution, draft.nodes, parent)
        failure = retries.aborted(draft.abort_reason) if is_killed else parent.failure
        arrays.end_badly(draft, parent, Cause.KILLED if is_killed else Cause.CHILDREN_ENDED, failure)
    elif is_doomed(draft.execution, draft.nodes, parent):
        draft.end(parent, Cause.KILLED, retries.aborted(draft.abort_reason))
    elif parent.kind is NodeKind.TASK and parent.failure is not None:
        tasks.children_failed(draft, parent, parent.failure)
    else:
        draft.end(parent, Cause.CHILDREN_ENDED, parent.failure)


def note_failure_node(draft: Draft, level: Level, node: NodeState) -> None:
    """Let the level end with its failure node's error if that one failed too."""
    if node.phase not in _FAILED_PHASES:
        return
    if level.parent is None:
        draft.keep_execution(replace(draft.execution, failure=node.failure))
    else:
        draft.keep(replace(draft.nodes[level.parent], failure=node.failure))


def last_failure(draft: Draft, level: Level) -> Failure:
    """Return the failure seen last at the level, for the end of a workflow that let everything else finish."""
    place = (level.parent, None if level.parent is None else level.attempt)
    failed = [
        node
        for node in draft.nodes.values()
        if (node.parent, node.retry_group) == place and node.phase in _FAILED_PHASES
    ]
    last = max(failed, key=lambda node: node.ended_at or node.updated_at)
    return last.failure or Failure(kind=ErrorKind.UNKNOWN, code="", message=f"node {last.node_id} failed")


def _abort_below(draft: Draft, level: Level, reason: str) -> None:
    """Kill every task of the level and of those below it, and end what has nothing left to wait for."""
    for node in list(open_children(draft.nodes, level.parent)):
        if node.kind is NodeKind.TASK and not has_level_below(node):
            tasks.kill(draft, node, retries.aborted(reason))
            continue
        if node.kind is NodeKind.LAUNCH_PLAN:
            launchplans.kill(draft, node, reason)
            continue
        if node.kind is NodeKind.GATE:
            gates.kill(draft, node, reason)
            continue
        below = level_below(draft.execution, node)
        _abort_below(draft, below, reason)
        if is_drained(draft, below):
            close(draft, below)


def _forget_waiting(draft: Draft) -> None:
    """Take the tasks from the queue for slots whose level is not open any more."""
    gone = []
    for node_id, (parent, _) in draft.admission.waiting.items():
        level = level_at(draft.execution, draft.nodes, parent)
        if condition(draft.execution, draft.nodes, level) is not LevelCondition.OPEN:
            gone.append(node_id)
    if gone:
        draft.stop_waiting(gone)
