"""Where a node execution stands: its level, and the compiled node that it runs.

A level is the nodes of one workflow in one place: the top level, or below one attempt of a parent node. The one
rule: every look-up of a compiled workflow goes through here, so that workflows made at run time have one door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydraflyte.backend.engine.graph import NodeSpec, WorkflowGraph
from hydraflyte.backend.engine.nodeids import child_id
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.identifiers import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The nodes of one workflow in one place. ``parent`` is None at top level; ``attempt`` is the parent's."""

    parent: NodeId | None
    attempt: int
    workflow: WorkflowGraph

    def id_of(self, spec_node_id: str) -> NodeId:
        """Return the unique id of a node of this level."""
        return child_id(self.parent, self.attempt, spec_node_id)


def top_level(execution: ExecutionState) -> Level:
    """Return the level of the primary workflow."""
    graph = execution.plan.graph
    return Level(parent=None, attempt=0, workflow=graph.workflows[graph.primary])


def level_of(execution: ExecutionState, node: NodeState) -> Level:
    """Return the level that ``node`` is in."""
    workflow = execution.plan.graph.workflows[node.scope]
    return Level(parent=node.parent, attempt=node.retry_group or 0, workflow=workflow)


def level_below(execution: ExecutionState, node: NodeState) -> Level:
    """Return the level of the children of ``node``, a sub-workflow node."""
    workflow = execution.plan.graph.workflows[spec_of(execution, node).sub_workflow]
    return Level(parent=node.node_id, attempt=node.attempt, workflow=workflow)


def spec_of(execution: ExecutionState, node: NodeState) -> NodeSpec:
    """Return the compiled node that ``node`` runs."""
    return execution.plan.graph.workflows[node.scope].nodes[node.spec_node_id]


def level_at(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], parent: NodeId | None) -> Level:
    """Return the level below ``parent``; None is the top level."""
    return top_level(execution) if parent is None else level_below(execution, nodes[parent])
