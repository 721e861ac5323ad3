"""Where the files of an execution lie: paths derived from ids, never stored.

The one rule: every path follows from the plan and the ids of the node and its ancestors (flytepropeller's own
layout), so a restart finds what an earlier process wrote. Text only; nothing here touches a file.
"""

from __future__ import annotations

from hydraflyte.backend.engine.kinds import END_NODE_ID, NodeKind
from hydraflyte.backend.engine.nodeids import fnv1a_32, generated_name
from hydraflyte.backend.engine.state import ExecutionPlan, ExecutionState, NodeState
from hydraflyte.identifiers import AttemptId

INPUTS_FILE = "inputs.pb"
OUTPUTS_FILE = "outputs.pb"
ERROR_FILE = "error.pb"
DECK_FILE = "deck.html"
FUTURES_FILE = "futures.pb"
DYNAMIC_FILE = "dynamic_compiled.pb"
TASK_TEMPLATE_FILE = "task.pb"
CHECKPOINTS_DIR = "_flytecheckpoints"

_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def data_dir(state: ExecutionState, node: NodeState) -> str:
    """Return the directory of what all attempts of ``node`` share."""
    if node.parent is None:
        return f"{state.plan.metadata_prefix}/{node.node_id}/data"
    parent = state.nodes[node.parent]
    name = node.spec_node_id if node.item is None else node.item
    return f"{output_prefix(state, parent, node.retry_group or 0)}/{name}"


def inputs_uri(state: ExecutionState, node: NodeState) -> str:
    """Return the path of the node's ``inputs.pb``: one per node, whatever the attempt.

    An item that has no inputs of its own reads its array's.
    """
    if node.item is not None and node.parent is not None and node.inputs is None:
        return inputs_uri(state, state.nodes[node.parent])
    return f"{data_dir(state, node)}/{INPUTS_FILE}"


def output_prefix(state: ExecutionState, node: NodeState, attempt: int | None = None) -> str:
    """Return the directory that ``attempt`` (the current one if None) writes its outputs or error to."""
    return output_prefixes(state, node, attempt)[1]


def output_prefixes(state: ExecutionState, node: NodeState, attempt: int | None = None) -> tuple[str, str]:
    """Return the directory that the command line of ``attempt`` is told, and the one that it writes to.

    They differ for items of a map task of the older kind: flytekit appends the index itself, and knows nothing of
    attempts, so that later ones are given another directory.
    """
    number = node.attempt if attempt is None else attempt
    own = f"{data_dir(state, node)}/{number}"
    if node.item is None or node.parent is None or state.nodes[node.parent].kind is not NodeKind.MAP_TASK:
        return own, own
    told = own if number else data_dir(state, node).rpartition("/")[0]
    return told, f"{told}/{node.item}"


def outputs_uri(state: ExecutionState, node: NodeState) -> str:
    """Return the path of the current attempt's ``outputs.pb``."""
    return f"{output_prefix(state, node)}/{OUTPUTS_FILE}"


def dynamic_workflow_uri(state: ExecutionState, node: NodeState, attempt: int | None = None) -> str:
    """Return the path of the compiled workflow that ``attempt`` (the current one if None) produced."""
    return f"{output_prefix(state, node, attempt)}/{DYNAMIC_FILE}"


def futures_uri(state: ExecutionState, node: NodeState) -> str:
    """Return the path of the specification that the current attempt's workflow was compiled from."""
    return f"{output_prefix(state, node)}/{FUTURES_FILE}"


def execution_outputs_uri(plan: ExecutionPlan) -> str:
    """Return the path of the execution's own outputs: those of its end-node."""
    return f"{plan.metadata_prefix}/{END_NODE_ID}/data/0/{OUTPUTS_FILE}"


def raw_output_prefix(prefix: str, attempt: AttemptId) -> str:
    """Return the directory for the attempt's raw data below ``prefix``, spread over 1296 two-character shards."""
    name = generated_name(attempt)
    shard = fnv1a_32(name) % (36 * 36)
    return f"{prefix.rstrip('/')}/{_BASE_36[shard // 36]}{_BASE_36[shard % 36]}/{name}"


def checkpoint_prefix(prefix: str, attempt: AttemptId) -> str:
    """Return the directory for the attempt's checkpoints; ``prefix`` is that of all raw data of the execution."""
    return f"{raw_output_prefix(prefix, attempt)}/{CHECKPOINTS_DIR}"
