"""The backend's end of one zygote process: starts it, talks to it, sees it end.

Rule: the backend is never forked; a new program is executed with one end of a socket pair, everything else closed.
Knows frames and processes, nothing of attempts, slots or results.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from hydraflyte.backend.executor.attempts import read_tail
from hydraflyte.backend.executor.zygote.frames import FrameError, FrameReader, Message, encode

_ZYGOTE = (str(Path(__file__).with_name("zygote") / "boot.py"),)


class ZygoteListener(Protocol):
    """Who is told what a zygote says. Called from the event loop's thread."""

    def on_message(self, zygote: ZygoteProcess, message: Message) -> None:
        """A complete message arrived."""
        ...

    def on_gone(self, zygote: ZygoteProcess) -> None:
        """The zygote has closed its end: it has died, or is about to. Called once, also after ``close``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where zygotes live.

    Attributes:
        folder: existing directory that receives a folder for each zygote.
        environ: what they all start with.
        program: arguments of their interpreter, to which the number of a socket's descriptor is added.
    """

    folder: Path
    environ: Mapping[str, str]
    program: tuple[str, ...] = _ZYGOTE


class ZygoteProcess(asyncio.Protocol):
    """One zygote.

    Args:
        python: absolute path of its interpreter.
        site: where it gets a folder of its own, made by ``start`` and removed by ``wait_gone``.
        listener: told of every message and of the end.
    """

    def __init__(self, *, python: str, site: Site, listener: ZygoteListener) -> None:
        self.python = python
        self._site = site
        self._directory: Path | None = None
        self._listener = listener
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, once started."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Execute the program and connect to it; returns before it is ready.

        Raises:
            OSError: the interpreter cannot be executed, or no process or socket can be had.
        """
        self._directory = Path(tempfile.mkdtemp(dir=self._site.folder))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                self._process = self._execute(theirs.fileno(), self._directory)
            except OSError:
                ours.close()
                raise
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    def _execute(self, descriptor: int, directory: Path) -> subprocess.Popen[bytes]:
        scratch = directory / "tmp"
        scratch.mkdir(mode=0o700)
        with (directory / "stderr.log").open("wb") as log:
            return subprocess.Popen(
                [self.python, *self._site.program, str(descriptor)],
                env={**self._site.environ, "TMPDIR": str(scratch)},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(descriptor,),
                start_new_session=True,  # a Ctrl-C at the backend's terminal is not for the tasks
            )

    def send(self, message: Message) -> None:
        """Hand over a message. After the zygote's end it goes nowhere; ``on_gone`` tells of that."""
        if self._transport is not None:
            self._transport.write(encode(message))

    def close(self) -> None:
        """Tell the zygote to kill its attempts and leave. Its end is reported as always."""
        if self._transport is not None:
            self._transport.close()

    def kill(self) -> None:
        """Kill the zygote itself at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def wait_gone(self, *, patience_s: float) -> str:
        """Return the last lines that the zygote itself printed, once its process is reaped and its folder removed.

        It is killed if it does not leave within ``patience_s``.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._bury, patience_s)

    def _bury(self, patience_s: float) -> str:
        if self._process is not None:
            self._reap(patience_s)
        if self._directory is None:
            return ""
        last_words = read_tail(self._directory / "stderr.log")
        shutil.rmtree(self._directory, ignore_errors=True)
        return last_words

    def _reap(self, patience_s: float) -> None:
        process = self._process
        assert process is not None
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # a socket's transport reads and writes

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._listener.on_message(self, message)
        except FrameError:  # something else wrote into the stream: this zygote can no longer be understood
            self.kill()
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.on_gone(self)


def kill_group(pid: int) -> None:
    """Kill what is left of an attempt's process group whose zygote is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrder:
    """The order to start an attempt.

    Attributes:
        env: what it may have in common with other attempts: those of equal ``env`` may share imported libraries.
        private_env: what no other process may see, and what only this attempt has; wins over ``env``.
        memory_limit_bytes: the most memory that its processes may use, or None.
    """

    attempt: str
    directory: Path
    argv: tuple[str, ...]
    env: Mapping[str, str]
    private_env: Mapping[str, str]
    memory_limit_bytes: int | None

    def as_message(self) -> dict[str, Any]:
        """Return it as the zygote reads it."""
        return {
            "type": "start",
            "id": self.attempt,
            "directory": str(self.directory),
            "argv": list(self.argv),
            "env": dict(self.env),
            "private_env": dict(self.private_env),
            "memory_limit": self.memory_limit_bytes,
        }


def abort_message(*, attempt: str, grace_s: float) -> dict[str, Any]:
    """Return the order to end an attempt: TERM, and KILL after ``grace_s``."""
    return {"type": "abort", "id": attempt, "grace_s": grace_s}
