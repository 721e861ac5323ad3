"""Array nodes (maps over tasks and launch plans): their items are nodes below them, for clients parts of one attempt.

Follows flytepropeller (pkg/controller/nodes/array/handler.go). The one rule: an item is a node like any other for
attempts, cache and deadlines (``tasks``), or for its child (``launchplans``); what its end means for the array is
decided here alone.
"""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import launchplans, layout, recovery, retries, tasks, transitions
from hydraflyte.backend.engine.draft import Draft, story_of
from hydraflyte.backend.engine.elements import (
    ArrayError,
    element_inputs,
    gather,
    least_successes,
    older_summary,
    size_of,
    summary,
)
from hydraflyte.backend.engine.events import AttemptAborted, AttemptFailed, AttemptStarted, AttemptSucceeded
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import level_of, spec_of
from hydraflyte.backend.engine.maps import MapSpec
from hydraflyte.backend.engine.nodeids import item_id
from hydraflyte.backend.engine.phases import TERMINAL_NODE_PHASES, NodePhase, TaskPhase
from hydraflyte.backend.engine.readiness import is_doomed, open_children
from hydraflyte.backend.engine.state import ArrayCounts, AttemptState, NodeState
from hydraflyte.backend.engine.transitions import Cause, TaskCause
from hydraflyte.identifiers import NodeId

MOST_UNDER_WAY = 500  # items of one array: more than run at once, few enough for a step that holds nobody up


def begin(draft: Draft, node: NodeState) -> None:
    """Queue an array node whose inputs are resolved, and begin as many items as may run at once."""
    assert node.inputs is not None
    try:
        size = size_of(_items_of(draft, node).array, node.inputs)
    except ArrayError as error:
        draft.end(node, Cause.NOT_STARTABLE, error.failure)
        return
    phase = transitions.next_task_phase(TaskPhase.UNDEFINED, Cause.QUEUED, story=story_of(node))
    attempt = AttemptState(attempt=0, phase=phase, created_at=draft.now, updated_at=draft.now)
    node = replace(node, queued_at=draft.now, array=ArrayCounts(size=size), attempts=(attempt,))
    node = draft.move(node, Cause.QUEUED)
    if size:
        _begin_items(draft, node)
    else:
        _succeed(draft, node)


def item_started(draft: Draft, node_id: NodeId) -> None:
    """Let the array run once one of its items does; other nodes are left alone."""
    item = draft.nodes.get(node_id)
    if item is not None and item.item is not None and item.parent is not None and item.started_at is not None:
        _ensure_running(draft, draft.nodes[item.parent])


def item_ended(draft: Draft, item: NodeState) -> None:
    """Count the item, and end the array, or begin the next items."""
    assert item.parent is not None
    array = draft.nodes[item.parent]
    if array.phase in TERMINAL_NODE_PHASES or array.array is None:
        return
    has_succeeded = item.phase in (NodePhase.SUCCEEDED, NodePhase.RECOVERED)
    counts = replace(
        array.array,
        succeeded=array.array.succeeded + has_succeeded,
        failed=array.array.failed + (not has_succeeded),
    )
    array = draft.keep(replace(array, array=counts))
    least = least_successes(_items_of(draft, array).array, counts.size)
    if array.phase is NodePhase.FAILING:
        _end_if_drained(draft, array, Cause.CHILDREN_ENDED, array.failure)
    elif is_doomed(draft.execution, draft.nodes, array):
        _end_if_drained(draft, array, Cause.KILLED, retries.aborted(draft.abort_reason))
    elif counts.size - counts.failed < least:
        _fail(draft, array)
    elif counts.succeeded + counts.failed == counts.size:
        _succeed(draft, array)
    else:
        _begin_items(draft, array)


def end_badly(draft: Draft, array: NodeState, cause: Cause, failure: Failure | None) -> None:
    """End an array of which nothing runs any more."""
    end = AttemptAborted if cause is Cause.KILLED else AttemptFailed
    draft.end(_with_attempt(draft, array, end, failure), cause, failure)


def _begin_items(draft: Draft, array: NodeState) -> None:
    items = _items_of(draft, array)
    assert array.array is not None
    counts = array.array
    limit = min(items.array.parallelism or counts.size, MOST_UNDER_WAY)
    first = counts.begun
    last = min(counts.size, first + limit - (counts.begun - counts.succeeded - counts.failed))
    draft.keep(replace(array, array=replace(counts, begun=max(first, last))))
    for index in range(first, last):
        item = NodeState(
            node_id=item_id(array.node_id, index),
            spec_node_id=array.spec_node_id,
            kind=items.item_kind,
            phase=NodePhase.UNDEFINED,
            created_at=draft.now,
            updated_at=draft.now,
            scope=array.scope,
            parent=array.node_id,
            retry_group=array.attempt,
            item=index,
        )
        if items.gives_elements:
            item = replace(item, inputs=element_inputs(items.array, array.inputs or LiteralMap(), index))
            draft.write(layout.inputs_uri(draft.state, item), item.inputs or LiteralMap())
        if recovery.take_over(draft, level_of(draft.execution, item), item):
            continue
        begin_item = launchplans.begin if items.item_kind is NodeKind.LAUNCH_PLAN else tasks.begin
        begin_item(draft, item)


def _items_of(draft: Draft, array: NodeState) -> MapSpec:
    items = spec_of(draft.execution, array).items
    assert items is not None, f"{array.node_id} is no array"
    return items


def _ensure_running(draft: Draft, array: NodeState) -> NodeState:
    if array.phase is not NodePhase.QUEUED:
        return array
    array = _with_attempt(draft, array, AttemptStarted, None)
    return draft.move(replace(array, started_at=draft.now), AttemptStarted)


def _succeed(draft: Draft, array: NodeState) -> None:
    array = _ensure_running(draft, array)
    assert array.array is not None
    items = [draft.nodes[item_id(array.node_id, index)].outputs for index in range(array.array.size)]
    given = {name for outputs in items if outputs is not None for name in outputs.literals}
    outputs = gather(sorted(given.union(_items_of(draft, array).outputs)), items)
    array = replace(_with_attempt(draft, array, AttemptSucceeded, None), outputs=outputs)
    draft.write(layout.outputs_uri(draft.state, array), outputs)
    draft.end(array, Cause.CHILDREN_SUCCEEDED)


def _fail(draft: Draft, array: NodeState) -> None:
    array = _ensure_running(draft, array)
    items = [node for node in draft.nodes.values() if node.parent == array.node_id]
    messages = {item.item or 0: item.failure.message for item in items if item.failure is not None}
    failure = older_summary(messages) if array.kind is NodeKind.MAP_TASK else summary(messages)
    array = draft.move(replace(array, failure=failure), Cause.CHILD_FAILED)
    for item in list(open_children(draft.nodes, array.node_id)):
        if item.kind is NodeKind.LAUNCH_PLAN:
            launchplans.kill(draft, item, retries.AUTO_ABORT_REASON)
        else:
            tasks.kill(draft, item, retries.aborted(retries.AUTO_ABORT_REASON))
    _end_if_drained(draft, array, Cause.CHILDREN_ENDED, failure)


def _end_if_drained(draft: Draft, array: NodeState, cause: Cause, failure: Failure | None) -> None:
    if next(open_children(draft.nodes, array.node_id), None) is None:
        end_badly(draft, array, cause, failure)


def _with_attempt(draft: Draft, array: NodeState, cause: TaskCause, failure: Failure | None) -> NodeState:
    attempt = array.attempts[-1]
    phase = transitions.next_task_phase(attempt.phase, cause, story=story_of(array))
    is_start = cause is AttemptStarted
    attempt = replace(
        attempt,
        phase=phase,
        updated_at=draft.now,
        started_at=draft.now if is_start else attempt.started_at,
        ended_at=None if is_start else draft.now,
        failure=failure,
    )
    return replace(array, attempts=(attempt,))
