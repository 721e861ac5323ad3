"""Runs the command line of an image builder: streams what it says, keeps its last lines, and stops all of it in time.

One rule: when this returns or raises, no process of the command is left. A command is a list of arguments, never a
shell's text; what must not be seen by others travels in the environment and is masked in what is shown.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.building import Say, never
from hydraflyte.launcher.redaction import HIDDEN

KEPT_LINES = 50
"""How many of the last lines an error shows."""
_GRACE_S = 5.0
_LOOK_S = 0.2
_READ_BYTES = 65536
_LONGEST_LINE = 4000
_SHORTEST_MASKED = 4
"""Shorter values are no secrets, and masking a ``1`` would make a log unreadable."""
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """How a command ended.

    Attributes:
        code: exit status; negative where a signal ended it.
        last_lines: the last lines of its output and errors as they came, values masked.
    """

    code: int
    last_lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The last lines as one text."""
        return "\n".join(self.last_lines)


class CommandTimeoutError(ImageError):
    """A builder was stopped because its time was up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What is run, and with what around it.

    Attributes:
        arguments: the program and its arguments; none of them is secret.
        environment: all variables of the process.
        folder: the working directory.
        masked: values that must not be shown, whoever prints them; of several lines, none of them.
        is_cancelled: asked a few times a second; once it says yes, the command is stopped.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    masked: Iterable[str] = field(default=(), repr=False)
    is_cancelled: Callable[[], bool] = never


def run_command(command: CommandLine, *, deadline: float, say: Say) -> CommandRun:
    """Run a command to its end; returns its exit status and its last lines.

    Args:
        deadline: of ``time.monotonic()``; at that time the command and all it started is stopped.
        say: gets every line as it comes.

    Raises:
        CommandTimeoutError: the deadline passed.
        ImageError: the program cannot be started, or was cancelled.
    """
    process = _start(command)
    lines = _Lines(say=say, masked=command.masked)
    try:
        is_in_time = _follow(process, lines, deadline, command.is_cancelled)
    finally:
        _stop_group(process)
    if not is_in_time:
        raise CommandTimeoutError(
            f"{program_of(command.arguments)} was stopped: its time was up. Its last lines:\n{lines.indented()}",
            hint="nothing was pushed. Give it longer, or look at what it was waiting for.",
        )
    return CommandRun(code=process.returncode, last_lines=lines.last())


def program_of(arguments: Sequence[str]) -> str:
    """Return the words of a command before its options, as people call it."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("-") or len(words) == 3:
            break
        words.append(word)
    return " ".join(words)


class _Lines:
    """Cuts bytes into lines, masks values, keeps the last ones."""

    def __init__(self, *, say: Say, masked: Iterable[str]) -> None:
        self._say = say
        parts = {line.strip() for text in masked for line in text.splitlines()}
        self._masked = sorted({part for part in parts if len(part) >= _SHORTEST_MASKED}, key=len, reverse=True)
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = re.split(rb"\r\n|\n|\r", self._rest + data)
        for line in whole:
            self._add(line)
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        rest, self._rest = self._rest, b""
        self._add(rest)

    def last(self) -> tuple[str, ...]:
        return tuple(self._kept)

    def indented(self) -> str:
        return "\n".join(f"  {line}" for line in self._kept) or "  (it said nothing)"

    def _add(self, raw: bytes) -> None:
        line = _TERMINAL_CODES.sub("", raw.decode("utf-8", "replace")).rstrip()
        if not line:
            return
        for text in self._masked:
            line = line.replace(text, HIDDEN)
        self._kept.append(line)
        self._say(line)


def _start(command: CommandLine) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command.arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=command.folder,
            env=dict(command.environment),
            start_new_session=True,  # one group, to be stopped as one
        )
    except OSError as error:
        raise ImageError(
            f"{command.arguments[0]} cannot be started: {error.strerror}.",
            hint="install it, or take another builder; builder=append needs no program.",
        ) from error


def _follow(process: subprocess.Popen[bytes], lines: _Lines, deadline: float, is_cancelled: Callable[[], bool]) -> bool:
    """Read until the command has ended; returns False if its time was up before.

    Raises:
        ImageError: it was cancelled.
    """
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if is_cancelled():
                raise ImageError("The build was cancelled.", hint="nothing was pushed by it.")
            if selector.select(min(left, _LOOK_S)):
                data = os.read(descriptor, _READ_BYTES)
                if not data:
                    break
                lines.feed(data)
            elif process.poll() is not None:  # what it left running holds the pipe open: that is not waited for
                if selector.select(0):  # its last words, written since the look before
                    lines.feed(os.read(descriptor, _READ_BYTES))
                break
    lines.end()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(deadline - time.monotonic(), 0))
    return process.poll() is not None


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """End all processes of the group: asked first, so that a builder can end the containers that it runs."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _drained(process, time.monotonic() + _GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _drained(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Wait for the end while reading on: a builder that tells of its end must not block at a full pipe."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            os.read(process.stdout.fileno(), _READ_BYTES)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
