"""The container of a pod template that a task runs in, as plain protobuf structures. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.tasks_pb2 import Resources, TaskTemplate
from google.protobuf.struct_pb2 import Struct, Value

_NAMES = {Resources.CPU: "cpu", Resources.MEMORY: "memory", Resources.GPU: "nvidia.com/gpu"}
_PRIMARY_CONTAINER_KEY = "primary_container_name"


def primary_container_name(task: TaskTemplate) -> str:
    """Return the name that the task says its container has; older tasks keep it in their config."""
    return task.k8s_pod.primary_container_name or task.config.get(_PRIMARY_CONTAINER_KEY, "")


def primary_container(task: TaskTemplate) -> Struct | None:
    """Return the container that runs the task, or None if the pod has none of that name."""
    wanted = primary_container_name(task)
    containers = [item.struct_value for item in list_of(task.k8s_pod.pod_spec, "containers")]
    return next((container for container in containers if text_of(container, "name") == wanted), None)


def set_resources(task: TaskTemplate, resources: Resources) -> None:
    """Give the container that runs the task these requests and limits instead of its own."""
    container = primary_container(task)
    if container is None:
        return
    for side in ("requests", "limits"):
        entries = getattr(resources, side)
        if entries:
            amounts = {_NAMES.get(entry.name, ""): entry.value for entry in entries}
            amounts.pop("", None)
            container.get_or_create_struct("resources").get_or_create_struct(side).update(amounts)


def list_of(struct: Struct, key: str) -> Sequence[Value]:
    """Return the list under this key; an empty one if there is none."""
    # `in` first: indexing a protobuf map adds the missing key to it
    return struct.fields[key].list_value.values if key in struct.fields else ()


def struct_of(struct: Struct | None, key: str) -> Struct:
    """Return the structure under this key; an empty one if there is none."""
    return struct.fields[key].struct_value if struct is not None and key in struct.fields else Struct()


def text_of(struct: Struct, key: str) -> str:
    """Return the text under this key, or ``""``."""
    return struct.fields[key].string_value if key in struct.fields else ""
