"""The text of a failed execution, made readable: the user's own frames, under the paths of the user's own files.

Works on the text alone, because text is all that the API carries. Looks at no file but to see whether it exists.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePath

_HEAD = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<path>[^"]+)", line \d+')
_FRAMEWORK = re.compile(r"[/\\](site-packages|dist-packages)[/\\](flytekit|omegaconf|hydra|hydraflyte)[/\\]")
_EXCEPTION = re.compile(r"(?:\w+\.)+(?=\w+(:|$))")
_ENDED = re.compile(r"terminated with exit code \(.*\)\. Reason \[.*\]\. Message:\s*$")
_WRAPPED = "Error Message: "
"""What flytekit puts before the text of the error that it wraps."""
_PYTHONS_OWN = re.compile(r"[/\\]lib[/\\]python\d[\d.]*[/\\](?!site-packages|dist-packages)")
_INSTALLED = re.compile(r"[/\\](site-packages|dist-packages)[/\\]|[/\\]lib[/\\]python\d")


def readable_failure(message: str, source_root: Path) -> str:
    """Return the error message of an execution without flytekit's wrapping, and the frames of flytekit and Hydra.

    Where only frames of Python itself are left, all are shown.

    Args:
        message: what the backend reports; a traceback inside it may be indented, and have text around it.
        source_root: where the user's code is on this machine; frames in unpacked copies of it point here.
    """
    lines = _unwrapped(message)
    kept = list(_without_framework(lines))
    frames = [frame["path"] for line in kept if (frame := _FRAME.match(line)) is not None]
    if all(_PYTHONS_OWN.search(path) for path in frames):
        kept = lines
    return "\n".join(_pointing_home(line, source_root) for line in kept)


def brief_failure(message: str) -> str:
    """Return in one line what the error message of an execution says."""
    return last_line("\n".join(_unwrapped(message)))


def last_line(text: str) -> str:
    """Return the exception's type and what its text begins with.

    Without a traceback it is the last line, behind the code that a process ended with.
    """
    lines = text.strip().splitlines()
    raised = _raised(lines)
    if not raised:
        ended = next((line for line in lines[:-1] if _ENDED.search(line)), "")
        return " ".join([ended.strip(), lines[-1].strip()]).strip() if lines else ""
    first, *others = raised
    first = _EXCEPTION.sub("", first, count=1) if _EXCEPTION.match(first) else first
    wrapped = [line.removeprefix(_WRAPPED) for line in others if line.startswith(_WRAPPED)]
    if wrapped:
        return f"{first} {wrapped[-1]}"
    for line in others:
        if not first.endswith(":"):
            break
        first = f"{first} {line.strip()}".rstrip()
    return first


def _unwrapped(message: str) -> list[str]:
    """Return the lines of the message from its traceback on, if it has one, without what flytekit puts around that."""
    start = message.find(_HEAD)
    if start < 0:
        return message.strip().splitlines()
    block = message[message.rfind("\n", 0, start) + 1 :]
    return textwrap.dedent(block.split("\nMessage:", 1)[0]).rstrip().splitlines()


def _raised(lines: list[str]) -> list[str]:
    """Return the text of the exception that was raised last, which begins where the indented frames end."""
    last_frame = max((at for at, line in enumerate(lines) if _FRAME.match(line)), default=None)
    if last_frame is None:
        return []
    return list(itertools.dropwhile(lambda line: line.startswith(" "), lines[last_frame:]))


def _without_framework(lines: list[str]) -> Iterator[str]:
    """Yield the lines but those of the framework's frames; a frame goes on until a line is not indented."""
    skipping = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            skipping = _FRAMEWORK.search(frame["path"]) is not None
        elif not line.startswith("  "):
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
