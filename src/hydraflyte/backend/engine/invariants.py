"""What must hold in every state, whatever happened before.

Used by tests and the simulation, not in production. The one rule: each check is stated from the outside, not by
calling what it checks.
"""

from __future__ import annotations

from hydraflyte.backend.engine import admission
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, END_NODE_ID, SLOT_KINDS, START_NODE_ID, NodeKind
from hydraflyte.backend.engine.levels import level_of
from hydraflyte.backend.engine.phases import (
    TERMINAL_EXECUTION_PHASES,
    TERMINAL_NODE_PHASES,
    TERMINAL_TASK_PHASES,
    ExecutionPhase,
    NodePhase,
    TaskPhase,
)
from hydraflyte.backend.engine.retries import MAX_SYSTEM_FAILURES
from hydraflyte.backend.engine.state import ArrayCounts, ExecutionState, NodeState
from hydraflyte.identifiers import NodeId

_DYNAMIC_PHASES = frozenset({NodePhase.DYNAMIC_RUNNING, NodePhase.FAILING})

_GOOD_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})
_WAITING_KINDS = frozenset({*SLOT_KINDS, NodeKind.GATE})  # what waits for the world, not for nodes below it


def check_invariants(state: ExecutionState) -> None:
    """Raise AssertionError, with the node's id, if ``state`` is one that must never be."""
    produced: dict[NodeId, set[int]] = {}
    for node in state.nodes.values():
        if node.parent is not None and node.retry_group is not None and node.item is None:
            produced.setdefault(node.parent, set()).add(node.retry_group)
    for node in state.nodes.values():
        _check_node(state, node)
        _check_attempts(node, frozenset(produced.get(node.node_id, ())))
        _check_edges(state, node)
        if node.array is not None:
            _check_array(state, node, node.array)
    _check_execution(state)
    _check_reservations(state)
    _check_slots(state)


def _check_node(state: ExecutionState, node: NodeState) -> None:
    about = f"node {node.node_id} is {node.phase.name}"
    level = level_of(state, node)
    expected = level.id_of(node.spec_node_id) if node.item is None else f"{node.parent}-0-n{node.item}"
    assert node.node_id == expected, f"{about} under a wrong id"
    assert node.phase is not NodePhase.UNDEFINED, f"{about} but exists"
    assert node.parent is None or node.parent in state.nodes, f"{about} but its parent is unknown"
    is_ended = node.phase in TERMINAL_NODE_PHASES
    assert is_ended == (node.ended_at is not None), f"{about}, ended at {node.ended_at}"
    assert (node.phase in _GOOD_PHASES) == (node.outputs is not None), f"{about}, wrong about outputs"
    if node.phase is NodePhase.RECOVERED:
        assert state.plan.recovers is not None, f"{about} in an execution that recovers nothing"
        assert not node.attempts, f"{about} and has attempts"
        assert node.started_at is None, f"{about} and ran"
    assert not (node.holds_reservation and (is_ended or not node.cache_tag)), f"{about} and holds a reservation"
    has_failed = node.phase in (NodePhase.FAILED, NodePhase.TIMED_OUT, NodePhase.FAILING, NodePhase.ABORTED)
    assert has_failed == (node.failure is not None), f"{about}, failure {node.failure}"
    assert node.created_at <= node.updated_at, f"{about}, times out of order"
    if node.started_at is not None and node.ended_at is not None:
        assert node.created_at <= node.started_at <= node.ended_at, f"{about}, times out of order"
    if node.parent is not None and not is_ended:
        assert state.nodes[node.parent].phase not in TERMINAL_NODE_PHASES, f"{about} under a parent that has ended"


def _check_attempts(node: NodeState, produced: frozenset[int]) -> None:
    """``produced`` are the numbers of those attempts that gave a workflow, which has nodes now."""
    about = f"node {node.node_id} is {node.phase.name}"
    assert node.kind in (NodeKind.TASK, *ARRAY_KINDS) or not node.attempts, f"{about}: only tasks have attempts"
    numbers = [attempt.attempt for attempt in node.attempts]
    first = 1 if numbers and numbers[0] == 1 and 0 in produced else 0  # its workflow was recovered, no attempt made it
    assert numbers == list(range(first, first + len(numbers))), f"{about}, attempts {numbers}"
    assert not numbers or node.attempt == numbers[-1], f"{about}, attempt {node.attempt} of {numbers}"
    assert node.system_failures <= min(MAX_SYSTEM_FAILURES, len(numbers)), f"{about}, {node.system_failures} lost"
    lost = [attempt for attempt in node.attempts[:-1] if attempt.failure and attempt.failure.kind is ErrorKind.SYSTEM]
    assert node.system_failures == len(lost), f"{about}, {node.system_failures} of {len(lost)} lost attempts counted"
    for attempt in node.attempts[:-1]:
        is_replaceable = attempt.phase is TaskPhase.FAILED or attempt.attempt in produced
        assert is_replaceable, f"{about}, attempt {attempt.attempt} replaced but {attempt.phase}"
    if node.attempts:
        is_over = node.attempts[-1].phase in TERMINAL_TASK_PHASES
        is_dynamic = node.attempt in produced and node.phase in _DYNAMIC_PHASES
        is_node_over = node.phase in TERMINAL_NODE_PHASES or is_dynamic
        assert is_over == is_node_over, f"{about}, attempt {node.attempts[-1].phase.name}"
    for attempt in node.attempts:
        is_over = attempt.phase in TERMINAL_TASK_PHASES
        assert is_over == (attempt.ended_at is not None), f"{about}, attempt {attempt.attempt} times wrong"
        is_bad = attempt.phase in (TaskPhase.FAILED, TaskPhase.ABORTED)
        assert attempt.failure is not None or not is_bad, f"{about}, attempt {attempt.attempt} failed for no reason"
        assert attempt.failure is None or attempt.phase is not TaskPhase.SUCCEEDED, f"{about}: success and failure"


def _check_edges(state: ExecutionState, node: NodeState) -> None:
    """Nothing starts before everything upstream succeeded, and nothing is skipped without a reason."""
    level = level_of(state, node)
    if node.spec_node_id == level.failure_node or node.item is not None:
        return
    upstream = [state.nodes.get(level.id_of(spec_id)) for spec_id in level.workflow.nodes[node.spec_node_id].upstream]
    phases = [NodePhase.UNDEFINED if other is None else other.phase for other in upstream]
    about = f"node {node.node_id} is {node.phase.name}, upstream {[phase.name for phase in phases]}"
    if node.phase is NodePhase.SKIPPED:
        assert all(phase in TERMINAL_NODE_PHASES for phase in phases), about
        assert any(phase not in _GOOD_PHASES for phase in phases), about
    else:
        assert all(phase in _GOOD_PHASES for phase in phases), about


def _check_execution(state: ExecutionState) -> None:
    about = f"execution {state.plan.execution_id} is {state.phase.name}"
    open_nodes = [node.node_id for node in state.nodes.values() if node.phase not in TERMINAL_NODE_PHASES]
    is_ended = state.phase in TERMINAL_EXECUTION_PHASES
    assert is_ended == (state.ended_at is not None), f"{about}, ended at {state.ended_at}"
    if is_ended:
        assert not open_nodes, f"{about} but {open_nodes} run"
    elif state.phase is not ExecutionPhase.UNDEFINED:
        waits_for_world = any(
            node.kind in _WAITING_KINDS and node.phase not in TERMINAL_NODE_PHASES for node in state.nodes.values()
        )
        assert waits_for_world, f"{about} and waits for nothing: {open_nodes}"
        assert START_NODE_ID in state.nodes, f"{about} without start-node"
    if state.phase is ExecutionPhase.SUCCEEDED:
        assert state.outputs is not None, f"{about} without outputs"
        assert state.nodes[END_NODE_ID].phase in _GOOD_PHASES, f"{about} without end-node"  # type: ignore[index]  # NodeId of a literal
    if state.phase in (ExecutionPhase.FAILING, ExecutionPhase.FAILED):
        assert state.failure is not None, f"{about} without a failure"
    if state.phase in (ExecutionPhase.ABORTING, ExecutionPhase.ABORTED):
        assert state.abort_cause is not None, f"{about} without a cause"


def _check_reservations(state: ExecutionState) -> None:
    held = [(node.cache_dataset, node.cache_tag) for node in state.nodes.values() if node.holds_reservation]
    assert len(held) == len(set(held)), f"two nodes of {state.plan.execution_id} hold the same reservation"


def _check_slots(state: ExecutionState) -> None:
    if state.admission is None or state.phase in TERMINAL_EXECUTION_PHASES:
        return
    derived = admission.derive(state)
    kept = state.admission
    assert kept.occupied == derived.occupied, f"{kept.occupied} slots kept, {derived.occupied} derived"
    assert dict(kept.waiting) == dict(derived.waiting), f"waiting: {kept.waiting} kept, {derived.waiting} derived"
    limit = state.plan.max_parallelism
    failure_nodes = sum(
        node.takes_slot
        and node.phase not in TERMINAL_NODE_PHASES
        and node.spec_node_id == level_of(state, node).failure_node
        for node in state.nodes.values()
    )
    again = sum(_is_dynamic_again(state, node) for node in state.nodes.values())
    if limit:
        assert derived.occupied <= limit + failure_nodes + again, f"{derived.occupied} of {limit} slots"
        assert not derived.waiting or derived.occupied >= limit, f"slots are free while {list(derived.waiting)} wait"


def _is_dynamic_again(state: ExecutionState, node: NodeState) -> bool:
    """A dynamic task that is tried again, because a child took too long, does not wait for a slot."""
    if node.kind is not NodeKind.TASK or node.attempt == 0 or node.phase in TERMINAL_NODE_PHASES:
        return False
    return any(child.parent == node.node_id for child in state.nodes.values())


def _check_array(state: ExecutionState, node: NodeState, counts: ArrayCounts) -> None:
    """The counts agree with the items; but for those of an array that was killed as a whole."""
    items = [item for item in state.nodes.values() if item.parent == node.node_id]
    about = f"array {node.node_id} is {node.phase.name} with {counts}"
    assert sorted(item.item for item in items if item.item is not None) == list(range(counts.begun)), about
    assert counts.begun <= counts.size, about
    if node.phase not in TERMINAL_NODE_PHASES:
        ended = sum(item.phase in TERMINAL_NODE_PHASES for item in items)
        assert counts.succeeded + counts.failed == ended < counts.size, about
