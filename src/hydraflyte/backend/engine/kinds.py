"""What a node of a compiled workflow is.

The one rule: whoever adds a kind says here which of the sets below it belongs to.
"""

from __future__ import annotations

from enum import Enum

from flyteidl.core.workflow_pb2 import Node

START_NODE_ID = "start-node"
END_NODE_ID = "end-node"


class NodeKind(str, Enum):
    """What a node of a compiled workflow is."""

    START = "start"  # the workflow's inputs as a node
    END = "end"  # the workflow's outputs as a node
    TASK = "task"
    SUB_WORKFLOW = "sub_workflow"
    LAUNCH_PLAN = "launch_plan"
    BRANCH = "branch"
    GATE = "gate"
    ARRAY = "array"
    MAP_TASK = "map_task"  # a task of the older ``container_array`` kind: for clients one task, here an array


ARRAY_KINDS = frozenset({NodeKind.ARRAY, NodeKind.MAP_TASK})
"""Kinds of nodes that have items, begun by ``arrays`` and never by their level."""
SLOT_KINDS = frozenset({NodeKind.TASK, NodeKind.LAUNCH_PLAN, *ARRAY_KINDS})
"""Kinds of nodes that count towards ``max_parallelism`` while they are QUEUED or RUNNING."""

_KIND_BY_TARGET = {
    "task_node": NodeKind.TASK,
    "branch_node": NodeKind.BRANCH,
    "gate_node": NodeKind.GATE,
    "array_node": NodeKind.ARRAY,
}
_KIND_BY_REFERENCE = {"sub_workflow_ref": NodeKind.SUB_WORKFLOW, "launchplan_ref": NodeKind.LAUNCH_PLAN}


def kind_of(node: Node) -> NodeKind | None:
    """Return what ``node`` is, or None if it names nothing to run.

    The node alone does not tell a map task of the older kind from any other task: see ``graph``.
    """
    if node.id == START_NODE_ID:
        return NodeKind.START
    if node.id == END_NODE_ID:
        return NodeKind.END
    target = node.WhichOneof("target")
    if target == "workflow_node":
        return _KIND_BY_REFERENCE.get(node.workflow_node.WhichOneof("reference") or "")
    return _KIND_BY_TARGET.get(target or "")
