"""Starting and stopping the embedded backend as a process of its own.

The backend outlives whoever starts it: the child leads its own session, writes to the home's log file, and
says through a pipe when it serves or why it cannot. Imports neither grpc nor flytekit.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.catch_up import CatchUp
from hydraflyte.errors import BackendStartError
from hydraflyte.home import Home, RunningBackend
from hydraflyte.task_runtime import TaskRuntime

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
_EXIT_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """How to start a backend.

    Attributes:
        port: port of the gRPC API; None takes the default one, or a free one if that is taken.
        host: loopback address to listen on.
        python: interpreter for tasks that do not name one; None means this one.
        auth: False lets every local process in (``--no-auth``).
        catch_up: what becomes of fire times that schedules missed, for launch plans that do not say.
        cpus: processors that tasks may ask for, as a quantity; None means those of the machine.
        memory: memory that tasks may ask for, as a quantity; None means that of the machine.
        gpus: devices that tasks may ask for, a number or ids; None means those found.
        runtime: whether tasks are processes, or containers of their images and whose.
    """

    port: int | None = None
    host: str = "127.0.0.1"
    python: str | None = None
    auth: bool = True
    catch_up: CatchUp = CatchUp.LAST
    cpus: str | None = None
    memory: str | None = None
    gpus: str | None = None
    runtime: TaskRuntime = TaskRuntime.PROCESS

    def as_arguments(self) -> list[str]:
        """Return the options as arguments of ``hydraflyte up``."""
        arguments = ["--host", self.host, f"--catch-up={self.catch_up.value}"]
        arguments.append(f"--runtime={self.runtime.value}")
        for name in ("port", "python", "cpus", "memory", "gpus"):
            if getattr(self, name) is not None:
                arguments.append(f"--{name}={getattr(self, name)}")
        if not self.auth:
            arguments.append("--no-auth")
        return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBackend:
    """A backend that serves. ``started`` tells whether this call started it."""

    running: RunningBackend
    started: bool

    @property
    def endpoint(self) -> str:
        """Target of a gRPC channel for this user's own tools: a Unix socket, no token needed."""
        return f"unix:{self.running.socket}"

    @property
    def console_url(self) -> str:
        return self.running.console_url

    @property
    def config_path(self) -> Path:
        return Path(self.running.config)


def ensure_backend(
    home: Path | None = None, *, options: BackendOptions | None = None, environ: Mapping[str, str] | None = None
) -> EmbeddedBackend:
    """Return this user's backend, starting one if none serves the home.

    Raises:
        BackendStartError: it cannot start, or does not serve within 30 seconds.
    """
    place = Home.resolve(home, os.environ if environ is None else environ)
    running = place.running()
    if running is not None:
        return EmbeddedBackend(running=running, started=False)
    try:
        return EmbeddedBackend(running=start_backend(place, options or BackendOptions()), started=True)
    except BackendStartError:
        running = _wait_for_other_starter(place)
        if running is None:
            raise
        return EmbeddedBackend(running=running, started=False)


def start_backend(home: Home, options: BackendOptions) -> RunningBackend:
    """Start a backend on this home in the background; returns once it serves.

    Raises:
        BackendStartError: it cannot start (also: another one serves this home), or is too slow.
    """
    home.prepare()
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "hydraflyte", "up", "--foreground", "--home", str(home.root)]
    command += [*options.as_arguments(), "--ready-fd", str(writer)]
    with open(home.log_file, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log_file:
        subprocess.run(
            ["/bin/sh", "-c", '"$0" "$@" &', *command],  # the shell ends at once: nobody has to reap the backend
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            pass_fds=[writer],
            start_new_session=True,
            cwd=home.root,
            check=True,
        )
    os.close(writer)
    try:
        return _await_readiness(reader, home)
    finally:
        os.close(reader)


def stop_backend(home: Home) -> bool:
    """Stop the backend of this home; returns False if none runs.

    Raises:
        BackendStartError: it does not stop.
    """
    pid = home.holder()
    if pid is None or not home.is_locked():
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    if not _holds_within(lambda: not home.is_locked(), _STOP_TIMEOUT_S):
        raise BackendStartError(
            f"The backend (pid {pid}) does not stop.",
            hint=f"see {home.log_file}; `kill -9 {pid}` ends it and loses nothing.",
        )
    _holds_within(lambda: not _is_alive(pid), _EXIT_PATIENCE_S)  # a container's init may leave a zombie: no error
    return True


def _holds_within(condition: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _await_readiness(reader: int, home: Home) -> RunningBackend:
    """Read the one message the backend sends: how it is reached, or why it cannot serve."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    received = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise BackendStartError(
                f"The backend did not serve within {_START_TIMEOUT_S:.0f} s.",
                hint=f"its log is {home.log_file}; `hydraflyte down` stops it.",
            )
        chunk = os.read(reader, 65536)
        received += chunk
        if not chunk:
            return _parse_readiness(received, home)


def _parse_readiness(received: bytes, home: Home) -> RunningBackend:
    if not received:
        raise BackendStartError(
            f"The backend ended at start: {_last_line(home.log_file)}", hint=f"its log is {home.log_file}."
        )
    message = json.loads(received)
    if "error" in message:
        raise BackendStartError(message["error"], hint=message["hint"])
    return RunningBackend(**message)


def _wait_for_other_starter(home: Home) -> RunningBackend | None:
    """Two launchers may start a backend at the same moment: wait for the one that won."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while home.is_locked() and time.monotonic() < deadline:
        running = home.running()
        if running is not None:
            return running
        time.sleep(0.05)
    return None


def _last_line(log_file: Path) -> str:
    lines: Sequence[str] = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "(no output)"
