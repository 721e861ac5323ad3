"""Who may start under ``max_parallelism``, derived from the nodes of a state that was read back.

The one rule: what ``derive`` finds by a scan is what the steps keep up to date one change at a time; an
invariant compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.branches import choose
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, SLOT_KINDS
from hydraflyte.backend.engine.levels import Level, has_level_below, level_below, spec_of, top_level
from hydraflyte.backend.engine.phases import OCCUPYING_PHASES, TERMINAL_NODE_PHASES, ExecutionPhase
from hydraflyte.backend.engine.readiness import LevelCondition, Readiness, condition, readiness
from hydraflyte.backend.engine.state import Admission, ExecutionState
from hydraflyte.identifiers import NodeId


def derive(state: ExecutionState) -> Admission:
    """Return what occupies the slots, and which ready task nodes wait for one."""
    nodes = state.nodes.values()
    occupied = sum(node.takes_slot and node.phase in OCCUPYING_PHASES for node in nodes)
    if state.plan.max_parallelism == 0 or state.phase is ExecutionPhase.UNDEFINED:
        return Admission(occupied=occupied)
    waiting: dict[NodeId, tuple[NodeId | None, str]] = {}
    for level in _open_levels(state):
        for spec_id in _ready_tasks(state, level):
            waiting[level.id_of(spec_id)] = (level.parent, spec_id)
    return Admission(occupied=occupied, waiting=waiting)


def _open_levels(state: ExecutionState) -> Iterator[Level]:
    levels = [top_level(state)]
    for node in state.nodes.values():
        is_open = node.phase not in TERMINAL_NODE_PHASES and has_level_below(node)
        if is_open and node.kind not in ARRAY_KINDS:  # items are begun by their array
            levels.append(level_below(state, node))
    return (level for level in levels if condition(state, state.nodes, level) is LevelCondition.OPEN)


def _ready_tasks(state: ExecutionState, level: Level) -> Iterator[str]:
    if level.is_branch:
        yield from _waiting_arm(state, level)
        return
    for spec_id, spec in level.workflow.nodes.items():
        is_candidate = spec.kind in SLOT_KINDS and spec_id != level.failure_node and not spec.branch
        if not is_candidate or level.id_of(spec_id) in state.nodes:
            continue
        if readiness(state.nodes, level, spec) is Readiness.READY:
            yield spec_id


def _waiting_arm(state: ExecutionState, level: Level) -> Iterator[str]:
    """Yield the arm that was taken, if it has not begun: an arm that is no task begins at once."""
    assert level.parent is not None
    branch = state.nodes[level.parent]
    arm = choose(spec_of(state, branch).node.branch_node.if_else, branch.inputs or LiteralMap())
    if level.id_of(arm.id) not in state.nodes:
        yield arm.id
