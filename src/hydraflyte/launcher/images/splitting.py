"""A Dockerfile that ends by copying the code, parted in two: what has to be built, and what only has to be copied.

`COPY . .` as the last step that changes files is the common case, and then a change of code needs no builder: the part
above it is built once, and the code is a layer on top. One rule: where anything is in doubt, nothing is parted. Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from hydraflyte.launcher.files import FileSet
from hydraflyte.launcher.images.dockerfiles import instructions_of

_COPY_OF_ALL = re.compile(r"\s*COPY\s+\.?/?\.?/?\s+(?P<folder>\S+)\s*", re.IGNORECASE)
_CHANGES_FILES = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The two parts.

    Attributes:
        text: the Dockerfile without its last copy.
        sources: patterns of what it still takes from the context, relative to that; ``None`` means all of it.
    """

    text: str
    sources: tuple[str, ...] | None

    def needed_of(self, context: FileSet) -> FileSet:
        """Return the files of the context that the remaining Dockerfile reads."""
        if self.sources is None:
            return context
        kept = [file for file in context.files if any(_is_below(file.name, pattern) for pattern in self.sources)]
        return replace(context, files=tuple(kept))


def split_dockerfile(text: str) -> Split | None:
    """Return the two parts, or None where the code cannot be told from the rest.

    Example:
        >>> split = split_dockerfile("FROM a\\nWORKDIR /app\\nCOPY req.txt .\\nRUN pip install -rreq.txt\\nCOPY . .\\n")
        >>> split.sources
        ('req.txt',)
        >>> split_dockerfile("FROM python\\nWORKDIR /app\\nCOPY . .\\nRUN pip install .\\n") is None
        True
    """
    instructions = list(instructions_of(text))
    changing = [index for index, (keyword, _) in enumerate(instructions) if keyword in _CHANGES_FILES]
    is_simple = "<<" not in text and not any(keyword == "ONBUILD" for keyword, _ in instructions)
    if not changing or not is_simple or any(keyword == "FROM" for keyword, _ in instructions[changing[-1] :]):
        return None
    copied = _COPY_OF_ALL.fullmatch(" ".join(instructions[changing[-1]]))
    if copied is None or not _is_working_folder(copied["folder"], instructions[: changing[-1]], instructions):
        return None
    remaining = _without_last_copy(text)
    if remaining is None:
        return None
    return Split(text=remaining, sources=_sources(instructions[: changing[-1]]))


def _without_last_copy(text: str) -> str | None:
    """Return the text without the line of the last copy; None where that line belongs to another instruction."""
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if _COPY_OF_ALL.fullmatch(line)]
    if not places:
        return None
    before = [line.strip() for line in lines[: places[-1]] if line.strip() and not line.strip().startswith("#")]
    if before and before[-1].endswith(("\\", "`")):
        return None
    return "".join(lines[: places[-1]] + lines[places[-1] + 1 :])


def _is_working_folder(folder: str, before: list[tuple[str, str]], all_of_them: list[tuple[str, str]]) -> bool:
    """Tell whether the code is copied to the folder in which the image starts."""
    at_copy, at_end = _working_folder(before), _working_folder(all_of_them)
    if at_copy is None or at_copy != at_end:
        return False
    return posixpath.normpath(posixpath.join(at_copy, folder)) == at_copy


def _working_folder(instructions: list[tuple[str, str]]) -> str | None:
    """Return the absolute working folder of the last stage, or None where it cannot be told."""
    folder: str | None = None
    for keyword, rest in instructions:
        if keyword == "FROM":
            folder = None
        elif keyword == "WORKDIR":
            path = rest.strip("\"'")
            if "$" in path or (folder is None and not path.startswith("/")):
                return None
            folder = posixpath.normpath(posixpath.join(folder or "/", path))
    return folder


def _sources(instructions: list[tuple[str, str]]) -> tuple[str, ...] | None:
    """Return what the instructions take from the context, or None for all of it."""
    found: list[str] = []
    for keyword, rest in instructions:
        if keyword == "RUN" and "--mount" in rest and "type=cache" not in rest and "type=secret" not in rest:
            return None
        if keyword not in ("COPY", "ADD"):
            continue
        if "--from=" in rest:
            continue
        words = [word for word in rest.split() if not word.startswith("--")]
        if rest.lstrip().startswith("[") or any("$" in word or '"' in word for word in words) or len(words) < 2:
            return None
        found += _patterns(words[:-1])
    return None if "" in found else tuple(found)


def _patterns(words: list[str]) -> Iterator[str]:
    """Yield patterns of files in the context; ``""`` is all of it."""
    for word in words:
        if "://" not in word:
            path = posixpath.normpath(posixpath.join("/", word)).lstrip("/")
            yield "" if any(character in path.partition("/")[0] for character in "*?[") and "/" in path else path


def _is_below(name: str, pattern: str) -> bool:
    parts = name.split("/")
    return any(fnmatchcase("/".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))
