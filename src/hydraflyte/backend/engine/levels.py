"""Where a node execution stands: its level, and the compiled node that it runs.

A level is the nodes of one workflow in one place: the top level, or below one attempt of a parent node; below a
branch node it holds the arm that was taken. The one rule: every look-up of a compiled workflow goes through here,
so that workflows made at run time have one door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier, ResourceType

from hydraflyte.backend.engine.graph import NodeSpec, WorkflowGraph, entity_key, index_closure
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, NodeKind
from hydraflyte.backend.engine.nodeids import child_id, generated_name
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.identifiers import AttemptId, NodeId

_KINDS_WITH_CHILDREN = frozenset({NodeKind.SUB_WORKFLOW, NodeKind.BRANCH, *ARRAY_KINDS})
_DYNAMIC_PHASES = frozenset({NodePhase.DYNAMIC_RUNNING, NodePhase.FAILING})  # of task nodes: only dynamic ones


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
    workflow = _workflow(execution, node.scope)
    is_branch = bool(workflow.nodes[node.spec_node_id].branch)
    return Level(parent=node.parent, attempt=node.retry_group or 0, workflow=workflow, is_branch=is_branch)


def level_below(execution: ExecutionState, node: NodeState) -> Level:
    """Return the level of the children of ``node``, which must have one (:func:`has_level_below`)."""
    is_branch = node.kind is NodeKind.BRANCH
    workflow = _workflow(execution, _scope_below(execution, node))
    return Level(parent=node.node_id, attempt=node.attempt, workflow=workflow, is_branch=is_branch)


def has_level_below(node: NodeState) -> bool:
    """Return whether ``node``, which has not ended, is one whose children run."""
    if node.kind is NodeKind.TASK:
        return node.phase in _DYNAMIC_PHASES
    return node.kind in _KINDS_WITH_CHILDREN


def has_produced(execution: ExecutionState, node: NodeState) -> bool:
    """Return whether the current attempt of ``node`` produced a workflow (a dynamic task)."""
    return node.kind is NodeKind.TASK and _scope_below(execution, node) in execution.produced


def produced_workflows(node: NodeId, attempt: int, closure: CompiledWorkflowClosure) -> Mapping[str, WorkflowGraph]:
    """Return the workflows that a dynamic attempt produced, by key."""
    return index_closure(closure, prefix=_prefix_below(node, attempt)).workflows


def produced_id(attempt: AttemptId) -> Identifier:
    """Return the id under which the workflow of a dynamic attempt is compiled."""
    execution = attempt.execution
    return Identifier(
        resource_type=ResourceType.WORKFLOW,
        project=execution.project,
        domain=execution.domain,
        name=f"dynamic_{attempt.node}",
        version=generated_name(attempt),
    )


def _scope_below(execution: ExecutionState, node: NodeState) -> str:
    if node.kind is NodeKind.TASK:
        attempt = AttemptId(execution=execution.plan.execution_id, node=node.node_id, attempt=node.attempt)
        return _prefix_below(node.node_id, node.attempt) + entity_key(produced_id(attempt))
    if node.kind is NodeKind.SUB_WORKFLOW:
        return _workflow(execution, node.scope).prefix + spec_of(execution, node).sub_workflow
    return node.scope


def _prefix_below(node: NodeId, attempt: int) -> str:
    return f"{node}/{attempt}/"


def _workflow(execution: ExecutionState, scope: str) -> WorkflowGraph:
    return execution.plan.graph.workflows.get(scope) or execution.produced[scope]


def spec_of(execution: ExecutionState, node: NodeState) -> NodeSpec:
    """Return the compiled node that ``node`` runs."""
    return _workflow(execution, node.scope).nodes[node.spec_node_id]


def level_at(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], parent: NodeId | None) -> Level:
    """Return the level below ``parent``; None is the top level."""
    return top_level(execution) if parent is None else level_below(execution, nodes[parent])


def source_level(execution: ExecutionState, nodes: Mapping[NodeId, NodeState], level: Level) -> Level:
    """Return the level whose nodes the bindings at ``level`` mean: for an arm, the one around its branch nodes."""
    while level.is_branch and level.parent is not None:
        level = level_of(execution, nodes[level.parent])
    return level
