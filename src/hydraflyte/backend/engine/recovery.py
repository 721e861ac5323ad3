"""What a recovered execution takes over from the one that it recovers, node by node.

Follows flytepropeller (attemptRecovery in pkg/controller/nodes/executor.go). The one rule: a node that ended well is
never run again; of every other node only what its tasks left behind is used: a workflow that was produced, checkpoints.
"""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import Level, produced_id, produced_workflows, spec_of
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState, RecoveredNode
from hydraflyte.backend.engine.transitions import Cause
from hydraflyte.identifiers import AttemptId

_FINISHED_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})


def take_over(draft: Draft, level: Level, node: NodeState) -> bool:
    """End ``node``, which has not begun, with what its namesake gave; returns False if that gave nothing.

    The failure node of a level always runs: it cleans up after this execution's failure, not after the other's.
    """
    recovered = draft.plan.recovered.get(node.node_id)
    if recovered is None or node.spec_node_id == level.failure_node:
        return False
    outputs = _outputs(draft.execution, node, recovered)
    if outputs is None:
        return False
    node = replace(
        node,
        inputs=recovered.inputs if node.item is None else node.inputs,
        outputs=outputs,
        cache_status=recovered.cache_status,
        cache_dataset=recovered.cache_dataset,
        cache_tag=recovered.cache_tag,
        cache_source=recovered.cache_source,
    )
    if recovered.inputs is not None and node.item is None:
        draft.write(layout.inputs_uri(draft.state, node), recovered.inputs)
    draft.write(layout.outputs_uri(draft.state, node), outputs)
    write_workflow(draft, node, recovered)
    draft.end(node, Cause.RECOVERED)
    return True


def produced_before(draft: Draft, node: NodeState) -> RecoveredNode | None:
    """Return what is known of a dynamic task that produced a workflow which did not end well, else None."""
    recovered = draft.plan.recovered.get(node.node_id)
    has_workflow = node.kind is NodeKind.TASK and recovered is not None and recovered.workflow is not None
    return recovered if has_workflow else None


def write_workflow(draft: Draft, node: NodeState, recovered: RecoveredNode) -> None:
    """Have the workflow written that a dynamic task produced then, under the name that it has here."""
    if recovered.workflow is None:
        return
    workflow = type(recovered.workflow)()
    workflow.CopyFrom(recovered.workflow)
    attempt = AttemptId(execution=draft.plan.execution_id, node=node.node_id, attempt=node.attempt)
    workflow.primary.template.id.CopyFrom(produced_id(attempt))
    draft.write(layout.dynamic_workflow_uri(draft.state, node), workflow)
    draft.add_workflows(produced_workflows(node.node_id, node.attempt, workflow))
    if recovered.job_spec is not None:
        draft.write(layout.futures_uri(draft.state, node), recovered.job_spec)


def _outputs(execution: ExecutionState, node: NodeState, recovered: RecoveredNode) -> LiteralMap | None:
    if recovered.phase not in _FINISHED_PHASES:
        return None
    if recovered.outputs is not None:
        return recovered.outputs
    task = spec_of(execution, node).task
    has_none = node.kind is NodeKind.TASK and task is not None and not task.interface.outputs.variables
    return LiteralMap() if has_none else None  # a task without outputs leaves no file
