"""``doctor``: checks the installation and says how to fix what is wrong."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json
from hydraflyte.errors import BackendStartError
from hydraflyte.home import DEFAULT_PORT, Home
from hydraflyte.task_runtime import TaskRuntime

_LEAST_FREE_BYTES = 1_000_000_000
_CONTAINER_RUNTIMES = (TaskRuntime.DOCKER, TaskRuntime.PODMAN)
_SUPPORTED = {"flytekit": ("1.16", "1.17"), "hydra-core": ("1.3", "1.5"), "omegaconf": ("2.3", "2.5")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``hint`` is empty when all is well."""

    subject: str
    is_well: bool
    text: str
    hint: str = ""


def add_verbs(verbs: Verbs) -> None:
    """Add ``doctor``."""
    doctor = verbs.add_parser("doctor", help="check the installation and say how to fix it")
    add_home(doctor)
    add_json(doctor)
    doctor.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Print every finding; exit status 1 if something is wrong."""
    findings = list(examine(home_of(options)))
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok ' if finding.is_well else 'BAD'}  {finding.subject}: {finding.text}")
            if finding.hint:
                print(f"     hint: {finding.hint}")
    return 0 if all(finding.is_well for finding in findings) else 1


def examine(home: Home) -> Iterator[Finding]:
    """Look at interpreter, packages, the launcher's name, home, disk, backend and port, containers, image builders."""
    yield _python()
    for package, (oldest, first_unsupported) in _SUPPORTED.items():
        yield _package(package, oldest, first_unsupported)
    yield _launcher_name()
    yield _home(home)
    yield _backend(home)
    yield from _container_runtimes(home)
    yield _image_builders()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    is_well = (3, 10) <= sys.version_info[:2] < (3, 13)
    hint = (
        "" if is_well else "flytekit 1.16 supports Python 3.10 to 3.12; make a virtual environment with one of these."
    )
    return Finding(subject="python", is_well=is_well, text=f"{version} at {sys.executable}", hint=hint)


def _package(name: str, oldest: str, first_unsupported: str) -> Finding:
    install = f"pip install '{name}>={oldest},<{first_unsupported}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(subject=name, is_well=False, text="is not installed", hint=install)
    is_well = _numbers(oldest) <= _numbers(version) < _numbers(first_unsupported)
    return Finding(subject=name, is_well=is_well, text=version, hint="" if is_well else install)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _launcher_name() -> Finding:
    """Another package may claim ``hydra/launcher=flyte`` too; whichever Hydra scans last wins."""
    rivals = [name for name in ("flyteplugins-hydra", "mxm-scaffold") if _is_installed(name)]
    if not rivals:
        return Finding(subject="hydra/launcher=flyte", is_well=True, text="claimed by hydraflyte alone")
    return Finding(
        subject="hydra/launcher=flyte",
        is_well=False,
        text=f"also claimed by {', '.join(rivals)}",
        hint="choose `hydra/launcher=hydraflyte`, or uninstall the other package.",
    )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _home(home: Home) -> Finding:
    try:
        home.prepare()
    except BackendStartError as error:
        return Finding(subject="home", is_well=False, text=error.message, hint=error.hint)
    free_bytes = shutil.disk_usage(home.root).free
    if free_bytes < _LEAST_FREE_BYTES:
        return Finding(
            subject="home",
            is_well=False,
            text=f"{home.root} has only {free_bytes / 1e6:.0f} MB free",
            hint="free some space, or choose another folder with --home or HYDRAFLYTE_HOME.",
        )
    return Finding(
        subject="home", is_well=True, text=f"{home.root} is private and writable, {free_bytes / 1e9:.0f} GB free"
    )


def _backend(home: Home) -> Finding:
    running = home.running()
    if running is not None:
        return Finding(
            subject="backend",
            is_well=_answers(running.socket),
            text=f"pid {running.pid} at {running.endpoint}, tasks run by: {running.runtime}",
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        is_taken = probe.connect_ex(("127.0.0.1", DEFAULT_PORT)) == 0
    text = "not running (it starts by itself when needed)"
    if is_taken:
        text += f"; port {DEFAULT_PORT} is taken by something else, so it will choose a free one"
    return Finding(subject="backend", is_well=True, text=text)


def _container_runtimes(home: Home) -> Iterator[Finding]:
    """A runtime that is installed may not answer: that matters only to a backend that was started with it."""
    running = home.running()
    used = running.runtime.partition(" ")[0] if running is not None else ""
    installed = [each for each in _CONTAINER_RUNTIMES if each.value == used or shutil.which(each.value)]
    if not installed:
        yield Finding(subject="containers", is_well=True, text="neither docker nor podman is installed")
    for runtime in installed:
        yield _container_runtime(runtime, is_used=runtime.value == used)


def _container_runtime(runtime: TaskRuntime, *, is_used: bool) -> Finding:
    from hydraflyte.backend.executor.runtimes import find_runtime  # late: most commands need nothing of the backend

    try:
        found = find_runtime(runtime, os.environ)
    except BackendStartError as error:
        if is_used:
            return Finding(subject=runtime.value, is_well=False, text=error.message, hint=error.hint)
        text = f"installed, but of no use for tasks in containers; nothing needs it now ({error.message.rstrip('.')})"
        return Finding(subject=runtime.value, is_well=True, text=text)
    text = f"{found} can run tasks: hydraflyte up --runtime {runtime.value}"
    if not found.limits_memory:
        text += "; but it cannot limit their memory for this user"
    return Finding(subject=runtime.value, is_well=True, text=text)


def _image_builders() -> Finding:
    """None is needed as long as images are appended to, so that none is no fault."""
    from hydraflyte.launcher.images.cli_builders import usable_builders  # late: needed here only

    names = usable_builders(os.environ)
    text = f"{', '.join(names)} can build by a Dockerfile" if names else "none can build by a Dockerfile"
    return Finding(subject="image builders", is_well=True, text=f"{text}; append needs none")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return os.path.exists(path) and probe.connect_ex(path) == 0
