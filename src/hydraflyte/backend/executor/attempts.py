"""Where the files of an attempt are: one directory each, readable by this user only.

Rule: every part of such a path is one plain name; an id that would reach elsewhere is refused. Knows paths and
files, no processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hydraflyte.backend.engine.events import LogLink
from hydraflyte.errors import HydraFlyteError
from hydraflyte.identifiers import AttemptId

STREAMS = ("stdout", "stderr")
EXIT_FILE = "exit.json"
REFUSED_FILE = "refused.json"
_TAIL_BYTES = 8 * 1024
_TAIL_LINES = 20


class UnsafeNameError(HydraFlyteError):
    """A name that would lead out of the attempts' directory, or to a stream that does not exist."""


def attempt_dir(home: Path, attempt: AttemptId) -> Path:
    """Return the attempt's own directory, ``attempts/{project}/{domain}/{execution}/{node}/{attempt}`` below ``home``.

    Raises:
        UnsafeNameError: a part of the id is not one plain file name.
    """
    return home.joinpath("attempts", *_names(attempt))


def log_path(home: Path, attempt: AttemptId, stream: str) -> Path:
    """Return the file that captures a stream (``stdout`` or ``stderr``) of the attempt.

    Raises:
        UnsafeNameError: a part of the id is not one plain file name, or there is no such stream.
    """
    if stream not in STREAMS:
        raise UnsafeNameError(f"an attempt has no stream {stream!r}", hint=f"Use one of: {', '.join(STREAMS)}.")
    return attempt_dir(home, attempt) / f"{stream}.log"


def log_links(attempt: AttemptId) -> tuple[LogLink, ...]:
    """Return the links under which the HTTP application serves the attempt's streams."""
    folder = "/".join(_names(attempt))
    return tuple(LogLink(name=stream, uri=f"/logs/{folder}/{stream}") for stream in STREAMS)


def prepare(directory: Path) -> None:
    """Make the directory with empty ``work`` and ``tmp``; what an interrupted start left there is removed.

    Raises:
        OSError: the disk is full, or the directory cannot be written.
    """
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700, parents=True)
    for name in ("work", "tmp"):
        (directory / name).mkdir(mode=0o700)


def prepare_checkpoint(argv: Sequence[str]) -> None:
    """Make the folder of the previous attempt's checkpoint if that attempt never wrote one.

    flytekit tells the task that there is a previous checkpoint, and fails if its folder is not there.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    for option, value in pairwise(argv):
        if option == "--prev-checkpoint" and os.path.isabs(value):
            os.makedirs(value, mode=0o700, exist_ok=True)


def remove_scratch(directory: Path) -> None:
    """Remove the attempt's temporary files; the work directory and the logs stay."""
    shutil.rmtree(directory / "tmp", ignore_errors=True)


def read_tail(path: Path) -> str:
    """Return the last lines of a log file, or an empty text if there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:]).strip()
    return ""


def _names(attempt: AttemptId) -> tuple[str, ...]:
    item = "" if attempt.index is None else f"-{attempt.index}"
    execution = attempt.execution
    names = (execution.project, execution.domain, execution.name, attempt.node, f"{attempt.attempt}{item}")
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise UnsafeNameError(f"{name!r} is no name for a directory", hint="Use letters, digits, '-', '_' and '.'.")
    return names
