"""Where a node execution stands: its level, and the compiled node that it runs.

A level is the nodes of one workflow in one place: the top level, or below one attempt of a parent node; below a
branch node it holds the arm that was taken. The one rule: every look-up of a compiled workflow goes through here,
so that workflows made at run time have one door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydraflyte.backend.engine.graph import NodeSpec, WorkflowGraph
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.nodeids import child_id
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.identifiers import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The nodes of one workflow in one place.

    Attributes:
        parent: None at top level.
        attempt: the parent's.
        workflow: where the nodes come from; for an arm, the workflow that its branch node is in.
        is_branch: whether this is the place of an arm.
    """

    parent: NodeId | None
    attempt: int
    workflow: WorkflowGraph
    is_branch: bool = False

    @property
    def failure_node(self) -> str | None:
        """The id of the node to run when the level has failed."""
        return None if self.is_branch else self.workflow.failure_node

    @property
    def fails_immediately(self) -> bool:
        """Whether the first failure at the level ends it."""
        return self.is_branch or self.workflow.fails_immediately

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
    is_branch = bool(workflow.nodes[node.spec_node_id].branch)
    return Level(parent=node.parent, attempt=node.retry_group or 0, workflow=workflow, is_branch=is_branch)


def level_below(execution: ExecutionState, node: NodeState) -> Level:
    """Return the level of the children of ``node``, a sub-workflow or branch node."""
    is_branch = node.kind is NodeKind.BRANCH
    scope = node.scope if is_branch else spec_of(execution, node).sub_workflow
    workflow = execution.plan.graph.workflows[scope]
    return Level(parent=node.node_id, attempt=node.attempt, workflow=workflow, is_branch=is_branch)


def spec_of(execution: ExecutionState, node: NodeState) -> NodeSpec:
    """Return the compiled node that ``node`` runs."""
    return execution.plan.graph.workflows[node.scope].nodes[node.spec_node_id]


def level_at(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], parent: NodeId | None) -> Level:
    """Return the level below ``parent``; None is the top level."""
    return top_level(execution) if parent is None else level_below(execution, nodes[parent])


def source_level(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], level: Level) -> Level:
    """Return the level whose nodes the bindings at ``level`` mean: for an arm, the one around its branch nodes."""
    while level.is_branch and level.parent is not None:
        level = level_of(execution, nodes[level.parent])
    return level
