"""The command line that makes an attempt's container, as docker and podman both understand it. Pure.

Rule: what a task must not lose on its way to a cluster stays the image's (entrypoint, working directory, programs);
paths of the blob store are the same inside as outside, so that what a task writes down is true for everybody. No value
of a variable is an argument: arguments can be seen by every user of the machine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.pods import list_of, primary_container, text_of
from hydraflyte.backend.executor.environment import PYTHON_VARIABLE
from hydraflyte.backend.executor.runtimes import ContainerRuntime
from hydraflyte.backend.executor.workplaces import Assignment
from hydraflyte.errors import HydraFlyteError
from hydraflyte.task_runtime import TaskRuntime

HOME_LABEL = "hydraflyte.home"
ATTEMPT_LABEL = "hydraflyte.attempt"
_FAST_EXECUTE = "pyflyte-fast-execute"
_DESTINATIONS = ("--dest-dir", "--dynamic-dest-dir")
_FOLDER_OPTIONS = ("--checkpoint-path", "--prev-checkpoint")
_LEAST_CPU_MILLIS = 10  # runtimes refuse less
_LOCAL_REGISTRIES = ("localhost", "127.0.0.1", "[::1]")
_MOST_BYTES_OF_A_LINE = 60_000  # docker reads a file of variables in lines of at most 64 KiB
_READ_BY_CLIENTS = ("CONTAINER", "DOCKER_", "BUILDKIT_", "LD_", "XDG_", "GODEBUG", "SSL_", "_CONTAINERS_")


class ContainerError(HydraFlyteError):
    """No container can be made for this task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is the same for every container of a backend.

    Attributes:
        home: told to the runtime as a label.
        blobs: folder that every task may read and write.
        shown: files that every task may read, such as how to reach the backend.
        env: variables of every task; its own ones win over them.
        client_env: names of variables that the runtime's own program is started with.
        user: uid and gid of the backend.
        processors: of this machine; no container can be promised more.
    """

    home: Path
    blobs: Path
    shown: tuple[Path, ...]
    env: Mapping[str, str]
    client_env: frozenset[str]
    user: tuple[int, int]
    processors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """A container's variables, by the way that they take.

    Attributes:
        lines: content of a file for ``--env-file``.
        passed: handed on by the runtime's program from its own environment: values that no line can hold.
    """

    lines: str
    passed: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """A file or folder of this machine at another path inside."""

    source: str
    target: str
    is_readonly: bool = False


def image_of(task: TaskTemplate) -> str:
    """Return the reference of the image that the task names, or ``""``."""
    if task.WhichOneof("target") == "container":
        return task.container.image
    container = primary_container(task)
    return "" if container is None else text_of(container, "image")


def container_name(home: Path, attempt: str) -> str:
    """Return the container's name: no two attempts have the same one, and no attempt has two."""
    digest = hashlib.sha256(f"{home}\0{attempt}".encode("utf-8", errors="surrogateescape")).hexdigest()
    return f"hydraflyte-{digest[:32]}"


def is_from_this_machine(image: str) -> bool:
    """Tell whether the image's registry listens on loopback, where nobody has certificates."""
    host = image.partition("/")[0]
    return "/" in image and (host in _LOCAL_REGISTRIES or host.rpartition(":")[0] in _LOCAL_REGISTRIES)


def registry_options(runtime: ContainerRuntime, image: str) -> tuple[str, ...]:
    """Return what podman needs to be told of a registry on loopback; docker knows it by itself."""
    is_plain = runtime.kind is TaskRuntime.PODMAN and is_from_this_machine(image)
    return ("--tls-verify=false",) if is_plain else ()


def split_variables(variables: Mapping[str, str], client_env: frozenset[str]) -> Variables:
    """Return the variables by the way that they take into the container.

    Raises:
        ContainerError: a value cannot be handed over, because the runtime's program would take it for its own.
    """
    lines, passed = [], {}
    for name, value in sorted(variables.items()):
        if _fits_a_line(name, value):
            lines.append(f"{name}={value}\n")
        elif name in client_env or name.startswith(_READ_BY_CLIENTS):
            raise ContainerError(
                f"The variable {name} of the task has a value with line breaks, or a very long one, which the container"
                " runtime would take for its own.",
                hint="Give the variable another name, or its value one line.",
            )
        else:
            passed[name] = value
    return Variables(lines="".join(lines), passed=passed)


def variables_of(assignment: Assignment, surroundings: Surroundings, runtime: ContainerRuntime) -> dict[str, str]:
    """Return the whole environment that is added to the image's own."""
    foreign = {} if runtime.is_root_ours else {"HOME": "/tmp"}  # the user is in no passwd of the image
    env = {**foreign, **surroundings.env, **assignment.spec.env, **assignment.mount.env}
    env.pop(PYTHON_VARIABLE, None)  # an interpreter of this machine, not of the image
    return env


def create_arguments(
    runtime: ContainerRuntime,
    surroundings: Surroundings,
    assignment: Assignment,
    variables: Sequence[str],
    exchanged: Sequence[Exchanged] = (),
) -> list[str]:
    """Return the arguments of ``create`` that follow the file of variables.

    Args:
        variables: names of those that come from the environment of the runtime's program.
        exchanged: what a raw container exchanges with Flyte.
    """
    spec = assignment.spec
    image = image_of(spec.task)
    has_code_of_its_own = not runtime.is_root_ours and _FAST_EXECUTE in spec.argv
    argv = _with_destination_here(spec.argv) if has_code_of_its_own else spec.argv
    options = [
        "--name",
        container_name(surroundings.home, assignment.key),
        "--label",
        f"{HOME_LABEL}={surroundings.home}",
        "--label",
        f"{ATTEMPT_LABEL}={assignment.key}",
        "--network=host",
        "--log-driver=none",
        "--security-opt=label=disable",
        *registry_options(runtime, image),
        *_user_options(runtime, surroundings),
        *_resource_options(runtime, surroundings, assignment),
        *_mount_options(surroundings, assignment),
    ]
    if has_code_of_its_own:
        work = str(assignment.directory / "work")
        options += [_bind(work), f"--workdir={work}"]
    options += [_bind(each.source, each.target, is_readonly=each.is_readonly) for each in exchanged]
    for name in variables:
        options += ["--env", name]
    command, args = _command_and_args(spec.task, argv)
    if command:
        options += ["--entrypoint", command[0]]
    return [*options, image, *command[1:], *args]


def outside_folders(spec: AttemptSpec, blobs: Path) -> tuple[str, ...]:
    """Return the folders outside the blob store that the attempt writes to, or reads what was before it from."""
    options = [value for option, value in pairwise(spec.argv) if option in _FOLDER_OPTIONS]
    named = (os.path.dirname(spec.inputs_uri), spec.output_prefix, spec.raw_output_prefix, *options)
    outside = {path for path in named if os.path.isabs(path) and not _is_below(path, str(blobs))}
    return tuple(sorted(path for path in outside if not any(_is_below(path, other) for other in outside - {path})))


def _is_below(path: str, folder: str) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep)


def _fits_a_line(name: str, value: str) -> bool:
    text = f"{name}={value}"
    try:
        return not {"\n", "\r"} & set(text) and len(text.encode()) <= _MOST_BYTES_OF_A_LINE
    except UnicodeEncodeError:  # bytes that are no UTF-8: docker refuses the whole file
        return False


def _user_options(runtime: ContainerRuntime, surroundings: Surroundings) -> list[str]:
    if runtime.is_root_ours:
        return ["--user=0:0"]
    uid, gid = surroundings.user
    return [f"--user={uid}:{gid}"]


def _resource_options(runtime: ContainerRuntime, surroundings: Surroundings, assignment: Assignment) -> list[str]:
    needs = assignment.needs
    options = []
    if needs.memory_limit_bytes is not None and runtime.limits_memory:
        options += [f"--memory={needs.memory_limit_bytes}", f"--memory-swap={needs.memory_limit_bytes}"]
    if needs.cpu_limit_millis is not None and runtime.limits_cpu:
        millis = max(_LEAST_CPU_MILLIS, min(needs.cpu_limit_millis, 1000 * surroundings.processors))
        options.append(f"--cpus={millis / 1000:g}")
    if assignment.devices and runtime.kind is TaskRuntime.DOCKER:
        options.append(f'--gpus="device={",".join(assignment.devices)}"')
    elif assignment.devices:
        options += [f"--device=nvidia.com/gpu={device}" for device in assignment.devices]
    return options


def _mount_options(surroundings: Surroundings, assignment: Assignment) -> list[str]:
    spec = assignment.spec
    options = [_bind(str(surroundings.blobs))]
    options += [_bind(path) for path in outside_folders(spec, surroundings.blobs)]
    options += [_bind(str(path), is_readonly=True) for path in surroundings.shown]
    if os.path.isabs(spec.bundle_uri) and not _is_below(spec.bundle_uri, str(surroundings.blobs)):
        options.append(_bind(spec.bundle_uri, is_readonly=True))
    if assignment.mount.folder is not None:
        options.append(_bind(str(assignment.mount.folder), is_readonly=True))
    return options


def _bind(path: str, target: str | None = None, *, is_readonly: bool = False) -> str:
    inside = target or path
    for each in (path, inside):
        if "," in each or '"' in each:
            raise ContainerError(
                f"The path {each!r} cannot be shown to a container.",
                hint="Use paths without commas and quotation marks.",
            )
    return f"--mount=type=bind,source={path},target={inside}" + (",readonly" if is_readonly else "")


def _command_and_args(task: TaskTemplate, argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what replaces the image's entrypoint, and what it is given; as Kubernetes tells the two apart."""
    if task.WhichOneof("target") == "container":
        size = len(task.container.command)
    else:
        container = primary_container(task)
        size = 0 if container is None else len(list_of(container, "command"))
    return tuple(argv[:size]), tuple(argv[size:])


def _with_destination_here(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments with the code bundle unpacked into the working directory, wherever it was to go."""
    result = list(argv)
    end = result.index("--resolver") if "--resolver" in result else len(result)
    for index in range(min(end, len(result) - 1)):
        if result[index] in _DESTINATIONS:
            result[index + 1] = "."
    return tuple(result)
