"""What must hold of a step's news, and at the end of a world.

The one rule: stated from the outside, from what the world saw, not by calling what is checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.phases import TERMINAL_NODE_PHASES, ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.identifiers import AttemptId

_GOOD_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})


def check_touched(before: ExecutionState, after: ExecutionState, touched: frozenset[str]) -> None:
    """Check that a step tells which nodes it changed, and changes none that has ended."""
    changed = {node_id for node_id, node in after.nodes.items() if before.nodes.get(node_id) is not node}
    assert changed == touched, f"changed {changed}, told {touched}"
    for node_id, node in before.nodes.items():
        was_ended = node.phase in TERMINAL_NODE_PHASES
        assert not was_ended or after.nodes[node_id] == node, f"{node_id} has ended and changed"


def check_end(state: ExecutionState, files: Mapping[str, bytes], successes: Collection[AttemptId]) -> None:
    """Check that all has ended, that the phase fits the nodes, and that no result (``successes``) was lost."""
    for node in state.nodes.values():
        assert node.phase in TERMINAL_NODE_PHASES, f"{node.node_id} is {node.phase.name} though all has ended"
    if state.phase is ExecutionPhase.SUCCEEDED:
        phases = {
            node.phase
            for node in state.nodes.values()
            if node.item is None and not _is_of_replaced_attempt(state, node)  # some items may fail
        }
        assert phases <= _GOOD_PHASES, f"SUCCEEDED with {phases}"
        assert layout.execution_outputs_uri(state.plan) in files
    for attempt in successes:
        phases = {other.attempt: other.phase for other in state.nodes[attempt.node].attempts}
        assert phases[attempt.attempt] is TaskPhase.SUCCEEDED, f"the result of {attempt} was lost"


def _is_of_replaced_attempt(state: ExecutionState, node: NodeState) -> bool:
    """Below a dynamic task that was tried again, what the earlier attempt produced did not end well."""
    if node.parent is None:
        return False
    parent = state.nodes[node.parent]
    return parent.attempt != node.retry_group or _is_of_replaced_attempt(state, parent)
