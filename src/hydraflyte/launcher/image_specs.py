"""Images that tasks describe themselves, as flytekit's ``ImageSpec``: built when they are used, or only named.

One rule: where no image is built, nobody is asked whether one exists; no Docker, no registry, no network. Knows nothing
of the images that the launcher's config names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.legacy_map_task import MapPythonTask
from flytekit.core.python_auto_container import PythonAutoContainerTask
from flytekit.image_spec.image_spec import ImageSpec


@contextmanager
def image_specs(entities: Sequence[object], *, are_built: bool) -> Iterator[None]:
    """While inside, flytekit builds the images that tasks describe, and fails if it cannot tell whether one exists.

    Args:
        entities: tasks, and others that are passed over.
        are_built: False: every description is replaced by the name of its image, and put back afterwards.
    """
    with ExitStack() as stack:
        for task in map(_inner_task, entities):
            if isinstance(task, PythonAutoContainerTask) and isinstance(task._container_image, ImageSpec):
                stack.enter_context(_failing_fast(task._container_image) if are_built else _only_named(task))
        yield


def _inner_task(entity: Any) -> Any:  # Any: flytekit has no types
    if isinstance(entity, ArrayNodeMapTask):
        return entity.python_function_task
    return entity._run_task if isinstance(entity, MapPythonTask) else entity


@contextmanager
def _only_named(task: Any) -> Iterator[None]:  # Any: flytekit has no types
    described = task._container_image
    task._container_image = described.image_name()
    try:
        yield
    finally:
        task._container_image = described


@contextmanager
def _failing_fast(described: Any) -> Iterator[None]:  # Any: flytekit has no types
    """What ``FLYTE_IMG_FAST_FAIL`` does, which flytekit reads when the user's module is imported."""
    before = described._fast_fail
    described._fast_fail = True
    try:
        yield
    finally:
        described._fast_fail = before
