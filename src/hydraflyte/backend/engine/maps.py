"""How an array node runs its items, read from the compiled node once.

flytekit says "map" in three ways: a map task (its process picks the element out of the whole lists), an array over a
launch plan or a reference task (each item is given its own inputs), and the older ``container_array`` task. The one
rule: where these differ is said here, as data; what runs items asks, and does not know which of them it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import ArrayNode, Node
from flyteidl.plugins.array_job_pb2 import ArrayJob
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from hydraflyte.backend.engine.kinds import NodeKind, kind_of

OLDER_TASK_TYPE = "container_array"
OLDER_TASK_VERSION = 1  # of that type; of version 0, inputs lie where no flytekit of today puts them


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """What all items of one array node have in common.

    Attributes:
        array: criteria, parallelism and bound inputs, wherever they were written down.
        item_kind: TASK or LAUNCH_PLAN.
        gives_elements: whether each item has its own inputs; else it reads the whole lists, and picks.
        appends_index: whether the process of an item appends its index to its output prefix.
        outputs: names of the outputs that are known, whatever the items give.
    """

    array: ArrayNode
    item_kind: NodeKind
    gives_elements: bool
    appends_index: bool
    outputs: tuple[str, ...]


def array_spec(node: Node, task: TaskTemplate | None, wanted: Iterable[str]) -> MapSpec:
    """Return how ``node``, an array node, runs its items.

    Args:
        task: that it maps over; None if it maps over a launch plan.
        wanted: outputs that other nodes take from it: all that is known of a launch plan's.
    """
    array = node.array_node
    item_kind = kind_of(array.node)
    assert item_kind in (NodeKind.TASK, NodeKind.LAUNCH_PLAN), f"{node.id} maps over neither a task nor a launch plan"
    return MapSpec(
        array=array,
        item_kind=item_kind,
        gives_elements=gives_elements(array),
        appends_index=False,
        outputs=tuple(sorted(wanted if task is None else task.interface.outputs.variables)),
    )


def map_task_spec(task: TaskTemplate) -> MapSpec:
    """Return how a map task of the older kind runs its items; its settings are those of a plugin."""
    return MapSpec(
        array=older_settings(task),
        item_kind=NodeKind.TASK,
        gives_elements=False,
        appends_index=True,
        outputs=tuple(sorted(task.interface.outputs.variables)),
    )


def gives_elements(array: ArrayNode) -> bool:
    """Return whether what is mapped over takes and gives single values, so that lists must be taken apart for it."""
    return array.is_original_sub_node_interface.value or kind_of(array.node) is NodeKind.LAUNCH_PLAN


def is_older_map_task(task: TaskTemplate) -> bool:
    """Return whether ``task`` is a map task of the older kind (``flytekit.core.legacy_map_task``)."""
    return task.type == OLDER_TASK_TYPE


def older_settings(task: TaskTemplate) -> ArrayNode:
    """Return the settings of a map task of the older kind as an array node's.

    Raises:
        ValueError: they are none that the plugin reads.
    """
    job = ArrayJob()
    try:
        ParseDict(MessageToDict(task.custom), job)
    except ParseError as error:
        raise ValueError(str(error)) from error
    array = ArrayNode(parallelism=max(0, job.parallelism))
    if job.WhichOneof("success_criteria") == "min_successes":
        array.min_successes = job.min_successes
    elif job.min_success_ratio:
        array.min_success_ratio = job.min_success_ratio
    return array
