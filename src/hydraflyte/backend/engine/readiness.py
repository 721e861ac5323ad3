"""Which node may start, which never will, and what is closing down.

Follows flytepropeller (pkg/controller/nodes/predicate.go). The one rule: questions only; nothing here changes
a state, and each answer costs no more than the edges of the node asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from hydraflyte.backend.engine.graph import NodeSpec
from hydraflyte.backend.engine.levels import Level, level_of
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, TERMINAL_NODE_PHASES, ExecutionPhase, NodePhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.identifiers import NodeId

_PASSABLE_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})


class Readiness(Enum):
    """Whether a node may start."""

    WAITING = "waiting"  # something upstream has not ended
    READY = "ready"  # all upstream succeeded
    LOST = "lost"  # all upstream ended, and not all of them well


class LevelCondition(Enum):
    """What happens at a level as a whole."""

    OPEN = "open"  # nodes are started
    CLOSING = "closing"  # after a failure or an abort: only the end of what runs is awaited
    CLOSED = "closed"


def readiness(nodes: Mapping[NodeId, NodeState], level: Level, spec: NodeSpec) -> Readiness:
    """Return whether the node may start, judged by the phases of its upstream nodes."""
    is_lost = False
    for upstream in spec.upstream:
        node = nodes.get(level.id_of(upstream))
        if node is None or node.phase not in TERMINAL_NODE_PHASES:
            return Readiness.WAITING
        is_lost = is_lost or node.phase not in _PASSABLE_PHASES
    return Readiness.LOST if is_lost else Readiness.READY


def condition(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], level: Level) -> LevelCondition:
    """Return whether nodes of ``level`` may start, are being ended, or have all ended."""
    if level.parent is None:
        if execution.phase in TERMINAL_EXECUTION_PHASES:
            return LevelCondition.CLOSED
        is_closing = execution.phase in (ExecutionPhase.FAILING, ExecutionPhase.ABORTING)
        return LevelCondition.CLOSING if is_closing else LevelCondition.OPEN
    parent = nodes[level.parent]
    if parent.phase in TERMINAL_NODE_PHASES or parent.attempt != level.attempt:
        return LevelCondition.CLOSED
    is_closing = parent.phase is NodePhase.FAILING or is_doomed(execution, nodes, parent)
    return LevelCondition.CLOSING if is_closing else LevelCondition.OPEN


def is_doomed(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], node: NodeState) -> bool:
    """Return whether ``node`` ends as ABORTED once nothing of it runs, for a reason that lies outside it.

    A failure node is not doomed by the failure that made it run.
    """
    if execution.phase is ExecutionPhase.ABORTING:
        return True
    level = level_of(execution, node)
    if node.spec_node_id == level.failure_node:
        return level.parent is not None and is_doomed(execution, nodes, nodes[level.parent])
    return condition(execution, nodes, level) is LevelCondition.CLOSING


def open_children(nodes: Mapping[NodeId, NodeState], parent: NodeId | None) -> Iterator[NodeState]:
    """Yield the nodes below ``parent`` (None: top level) that have not ended."""
    return (node for node in nodes.values() if node.parent == parent and node.phase not in TERMINAL_NODE_PHASES)
