"""A second execution that recovers the first: what it is told of the first, and what must hold of it at the end.

The one rule: a node that ended well in the first execution is not run again in the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.kinds import START_NODE_ID, NodeKind
from hydraflyte.backend.engine.levels import level_of
from hydraflyte.backend.engine.nodeids import child_id, item_id
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionPlan, ExecutionState, NodeState, RecoveredNode
from hydraflyte.identifiers import NodeId

_GOOD_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})


def recovering_plan(state: ExecutionState, files: Mapping[str, bytes]) -> ExecutionPlan:
    """Return the plan of an execution that recovers ``state``, which has ended."""
    plan = state.plan
    return replace(
        plan,
        execution_id=replace(plan.execution_id, name="e2"),
        metadata_prefix="/meta2",
        raw_output_prefix="/raw2",
        recovers=plan.execution_id,
        recovered=_known(state, files),
    )


def check_recovery(first: ExecutionState, second: ExecutionState) -> None:
    """Check that what ended well in ``first`` was taken over by ``second``, and gave the same."""
    for node_id, known in second.plan.recovered.items():
        node = second.nodes.get(node_id)
        if node is None or known.phase not in _GOOD_PHASES or _is_failure_node(second, node):
            continue
        assert node.phase is NodePhase.RECOVERED, f"{node_id} ended well before and is {node.phase.name}"
        assert node.outputs == known.outputs, f"{node_id} gives something else than before"
    assert first.plan.workflow == second.plan.workflow


def _known(state: ExecutionState, files: Mapping[str, bytes]) -> dict[NodeId, RecoveredNode]:
    known: dict[NodeId, RecoveredNode] = {}
    ids_here: dict[NodeId, NodeId] = {}  # of parents that did not end well
    for node in state.nodes.values():
        node_id = _id_here(state, node, ids_here)
        if node_id is None or node.spec_node_id == START_NODE_ID:
            continue
        known[node_id] = _known_of(state, node, files)
        if node.phase not in _GOOD_PHASES:
            ids_here[node.node_id] = node_id
    return known


def _id_here(state: ExecutionState, node: NodeState, ids_here: Mapping[NodeId, NodeId]) -> NodeId | None:
    """Return the node's id in the recovering execution, in which every dynamic task begins again at attempt 0."""
    if node.parent is None:
        return node.node_id
    if node.parent not in ids_here or node.retry_group != state.nodes[node.parent].attempt:
        return None
    parent = ids_here[node.parent]
    return child_id(parent, 0, node.spec_node_id) if node.item is None else item_id(parent, node.item)


def _known_of(state: ExecutionState, node: NodeState, files: Mapping[str, bytes]) -> RecoveredNode:
    content = files.get(layout.dynamic_workflow_uri(state, node, node.attempt)) if node.kind is NodeKind.TASK else None
    return RecoveredNode(
        phase=node.phase,
        inputs=node.inputs if node.item is None else None,
        outputs=node.outputs,
        cache_status=node.cache_status,
        cache_dataset=node.cache_dataset,
        cache_tag=node.cache_tag,
        cache_source=node.cache_source,
        workflow=None if content is None else CompiledWorkflowClosure.FromString(content),
    )


def _is_failure_node(state: ExecutionState, node: NodeState) -> bool:
    """Whether it is one, or lies below one: that always runs, for this execution's failure."""
    if node.spec_node_id == level_of(state, node).failure_node:
        return True
    return node.parent is not None and _is_failure_node(state, state.nodes[node.parent])
