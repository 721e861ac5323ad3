"""What a store keeps of a state, and gives back after a restart.

The one rule: literals come from files that steps or processes wrote; nothing that is derived is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.graph import WorkflowGraph
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import produced_workflows
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState

_GOOD_PHASES = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})


def stored(state: ExecutionState, files: Mapping[str, bytes]) -> ExecutionState:
    """Return ``state`` as a store would give it back: literals from files, nothing derived."""
    nodes = {}
    for node_id, node in state.nodes.items():
        nodes[node_id] = replace(node, inputs=_read_inputs(state, node, files), outputs=_outputs(state, node, files))
    produced: dict[str, WorkflowGraph] = {}
    for parent, attempt in {(node.parent, node.retry_group or 0) for node in nodes.values() if node.parent}:
        if nodes[parent].kind is NodeKind.TASK:
            content = files[layout.dynamic_workflow_uri(state, nodes[parent], attempt)]
            produced |= produced_workflows(parent, attempt, CompiledWorkflowClosure.FromString(content))
    return replace(state, nodes=nodes, produced=produced, admission=None)


def _read_inputs(state: ExecutionState, node: NodeState, files: Mapping[str, bytes]) -> LiteralMap | None:
    content = files.get(layout.inputs_uri(state, node))
    has_inputs = content is not None and node.inputs is not None
    assert has_inputs == (node.inputs is not None), f"the inputs of {node.node_id} are not on file"
    return LiteralMap.FromString(content) if has_inputs and content is not None else None


def _outputs(state: ExecutionState, node: NodeState, files: Mapping[str, bytes]) -> LiteralMap | None:
    """A task's process wrote its own ``outputs.pb``; all other outputs must have been written by a step."""
    if node.phase not in _GOOD_PHASES:
        return None
    content = files.get(layout.outputs_uri(state, node))
    if content is not None:
        return LiteralMap.FromString(content)
    assert node.attempts, f"the outputs of {node.node_id} are not on file"
    return node.outputs
