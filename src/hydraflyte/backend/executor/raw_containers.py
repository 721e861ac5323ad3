"""Raw containers: what their image would have brought does not exist for a process, and Flyte's copilot for nobody.

Rule: what exchanges nothing through the container's folders runs, as a process if this machine has the program, or as a
container; everything else is refused before it starts, with one message that says why. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.tasks_pb2 import TaskTemplate

_AS_PYTHON = "Write it as a Python task that calls the program (subprocess, ShellTask)"


def refuse_as_process(task: TaskTemplate, argv: Sequence[str]) -> str | None:
    """Return why a raw container cannot run as a process, or None; tasks of flytekit's own entrypoint always can."""
    exchange = _exchange(task, argv)
    return exchange and (
        f"The task {task.id.name} is a container of its own, of the image {task.container.image}, that {exchange}: this"
        " backend runs tasks as processes, and only programs of this machine that exchange no files with Flyte."
        f" {_AS_PYTHON}, or run it on a cluster."
    )


def refuse_as_container(task: TaskTemplate, argv: Sequence[str]) -> str | None:
    """Return why a raw container cannot run in its image here, or None."""
    exchange = _exchange(task, argv)
    return exchange and (
        f"The task {task.id.name} is a container of its own, of the image {task.container.image}, that {exchange}: this"
        " backend has nothing that fills and empties these folders. Hand its inputs over as arguments"
        f' ("{{{{.inputs.x}}}}") and have it return nothing. {_AS_PYTHON}, or run it on a cluster.'
    )


def _exchange(task: TaskTemplate, argv: Sequence[str]) -> str | None:
    """Return what the task exchanges through folders, or None."""
    exchange = task.container.data_config
    if task.WhichOneof("target") != "container" or not exchange.enabled:
        return None
    outputs = sorted(task.interface.outputs.variables)
    if outputs:
        return f"writes {', '.join(outputs)} to {exchange.output_path}"
    reads_files = bool(exchange.input_path) and any(exchange.input_path in argument for argument in argv)
    return f"reads {exchange.input_path}" if reads_files else None
