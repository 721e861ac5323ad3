"""Dockerfiles whose last layer is the code: there, new code needs a new layer and no build. Read from the text; pure.

One rule: only what gives the same files as a build would counts; whatever is not understood means that a build is
needed.
"""

from __future__ import annotations

import fnmatch
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hydraflyte.launcher.code.files import BundledFile, FileSet
from hydraflyte.launcher.images.dockerfiles import instructions_of

_ONLY_SETTINGS = frozenset({
    "ENV", "CMD", "ENTRYPOINT", "LABEL", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK", "MAINTAINER", "SHELL",
})  # fmt: skip
_SPECIAL = frozenset("$*?[]\\\"'<")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCopy:
    """The last ``COPY`` of a Dockerfile, which makes the image's last layer.

    Attributes:
        source: the folder of the context that is copied; empty for all of it.
        folder: where to, as written.
        earlier: patterns of what earlier instructions take from the context.
    """

    source: str
    folder: str
    earlier: tuple[str, ...]

    def code_of(self, files: FileSet) -> FileSet:
        """Return the files that the last layer holds, named from ``folder`` on."""
        top = f"{self.source}/" if self.source else ""
        code = tuple(replace(file, name=file.name[len(top) :]) for file in files.files if file.name.startswith(top))
        return replace(files, files=code)

    def below_code_of(self, files: FileSet) -> FileSet:
        """Return the files that the layers below it may depend on."""
        return replace(files, files=tuple(file for file in files.files if self._is_below(file)))

    def folder_in(self, working_directory: str) -> str:
        """Return the absolute folder that the code is in."""
        return posixpath.normpath(posixpath.join("/", working_directory, self.folder))

    def _is_below(self, file: BundledFile) -> bool:
        parts = file.name.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(pattern == "." or fnmatch.filter(above, pattern) for pattern in self.earlier)


def code_copy_of(text: str, files: FileSet) -> CodeCopy | None:
    """Return the ``COPY`` whose layer is the last one, or ``None`` where the image must be built for new code.

    Args:
        text: the Dockerfile's.
        files: the context.
    """
    instructions = list(instructions_of(text))
    layered = [at for at, (keyword, _) in enumerate(instructions) if keyword not in _ONLY_SETTINGS]
    if not layered or instructions[layered[-1]][0] != "COPY":
        return None
    words = _plain_words(instructions[layered[-1]][1])
    earlier = _taken_by(instructions[: layered[-1]])
    if words is None or len(words) != 2 or earlier is None:
        return None
    source = posixpath.normpath(words[0]).lstrip("/")
    source = "" if source == "." else source
    if source.startswith("..") or (source and not any(file.name.startswith(f"{source}/") for file in files.files)):
        return None  # a single file: COPY may rename it
    return CodeCopy(source=source, folder=words[1], earlier=tuple(earlier))


def _plain_words(rest: str) -> list[str] | None:
    """Return the words of a ``COPY`` without options and special characters."""
    if rest.startswith(("-", "[")) or set(rest) & _SPECIAL:
        return None
    return rest.split()


def _taken_by(instructions: Sequence[tuple[str, str]]) -> list[str] | None:
    """Return patterns of what these instructions take from the context; ``None`` where that cannot be told."""
    found: list[str] = []
    for keyword, rest in instructions:
        if keyword == "RUN" and "--mount=" in rest and _may_bind_context(rest):
            return None
        if keyword == "ONBUILD":
            return None
        if keyword not in ("COPY", "ADD"):
            continue
        words = shlex.split(rest.replace("[", " ").replace("]", " ").replace('",', '" '))
        if any(word.startswith("--from=") for word in words):
            continue
        sources = [word for word in words if not word.startswith("--")][:-1]
        if any(set(source) & set("$<") for source in sources) or not sources:
            return None
        found += [posixpath.normpath(source).lstrip("/") or "." for source in sources]
    return found


def _may_bind_context(rest: str) -> bool:
    mounts = [word.removeprefix("--mount=") for word in rest.split() if word.startswith("--mount=")]
    return any(
        "from=" not in mount and not any(f"type={kind}" in mount for kind in ("cache", "secret", "ssh", "tmpfs"))
        for mount in mounts
    )
