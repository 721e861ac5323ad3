"""The text of a failed execution, made readable: the user's own frames, under the paths of the user's own files.

Works on the text alone, because text is all that the API carries. Looks at no file but to see whether it exists.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePath

_HEAD = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<path>[^"]+)", line \d+')
_FRAMEWORK = re.compile(r"[/\\](site-packages|dist-packages)[/\\]flytekit[/\\]")
_INSTALLED = re.compile(r"[/\\](site-packages|dist-packages)[/\\]|[/\\]lib[/\\]python\d")


def readable_failure(message: str, source_root: Path) -> str:
    """Return the error message of an execution without flytekit's frames and wrapping.

    Args:
        message: what the backend reports; a traceback inside it may be indented, and have text around it.
        source_root: where the user's code is on this machine; frames in unpacked copies of it point here.
    """
    start = message.find(_HEAD)
    if start < 0:
        return message.strip()
    block = message[message.rfind("\n", 0, start) + 1 :]
    lines = textwrap.dedent(block.split("\nMessage:", 1)[0]).rstrip().splitlines()
    kept = list(_without_framework(lines))
    if not any(_FRAME.match(line) for line in kept):
        kept = lines
    return "\n".join(_pointing_home(line, source_root) for line in kept)


def last_line(text: str) -> str:
    """Return the exception's type and text: the last line of a readable failure."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _without_framework(lines: list[str]) -> Iterator[str]:
    """Yield the lines but those of flytekit's frames; a frame goes on until a line is indented less than its code."""
    skipping = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            skipping = _FRAMEWORK.search(frame["path"]) is not None
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            yield line


def _pointing_home(line: str, source_root: Path) -> str:
    frame = _FRAME.match(line)
    if frame is None or _INSTALLED.search(frame["path"]):
        return line
    parts = PurePath(frame["path"]).parts
    for start in range(1, len(parts)):
        candidate = source_root.joinpath(*parts[start:])
        if candidate.is_file():
            return line.replace(frame["path"], str(candidate), 1)
    return line
