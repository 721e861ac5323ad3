"""Raw containers as processes: what their image would have brought is not here, and neither is Flyte's copilot.

Rule: a program that this machine has, and that exchanges nothing through the container's folders, runs as a process;
everything else is refused before it starts, with one message that says why. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.tasks_pb2 import TaskTemplate


def refuse_as_process(task: TaskTemplate, argv: Sequence[str]) -> str | None:
    """Return why a raw container cannot run as a process, or None; tasks of flytekit's own entrypoint always can."""
    exchange = task.container.data_config
    if task.WhichOneof("target") != "container" or not exchange.enabled:
        return None
    outputs = sorted(task.interface.outputs.variables)
    reads_files = bool(exchange.input_path) and any(exchange.input_path in argument for argument in argv)
    if not outputs and not reads_files:
        return None
    needs = f"writes {', '.join(outputs)} to {exchange.output_path}" if outputs else f"reads {exchange.input_path}"
    return (
        f"The task {task.id.name} is a container of its own, of the image {task.container.image}, that {needs}: this"
        " backend runs tasks as processes, and only programs of this machine that exchange no files with Flyte."
        " Start it with `hydraflyte up --runtime docker` or `podman`, write the task as a Python task that calls the"
        " program (subprocess, ShellTask), or run it on a cluster."
    )
