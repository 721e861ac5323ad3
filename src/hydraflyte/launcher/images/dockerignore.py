"""`.dockerignore`: which paths of a build context a builder does not get to see. Pure but for reading that file.

As in moby's patternmatcher: patterns count from the context's root, a match means all that is below, the last line that
matches wins. Knows nothing of `.flyteignore`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import ImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerIgnore:
    """The lines of one file: each a pattern, and whether it leaves out or takes back in."""

    lines: tuple[tuple[re.Pattern[str], bool], ...]

    @property
    def may_take_back(self) -> bool:
        """Whether something below a folder that is left out may be wanted all the same."""
        return any(not leaves_out for _, leaves_out in self.lines)

    def leaves_out(self, name: str) -> bool:
        """Tell whether ``name``, relative to the context, is left out, by itself or with a folder above it."""
        parts = name.split("/")
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        is_out = False
        for pattern, leaves_out in self.lines:
            if any(pattern.fullmatch(path) for path in paths):
                is_out = leaves_out
        return is_out


def read_docker_ignore(context: Path, dockerfile: Path) -> DockerIgnore:
    """Return the rules for a build: ``<Dockerfile>.dockerignore`` beside the Dockerfile, else the context's own.

    Raises:
        ImageError: the file cannot be read, or a pattern cannot be one.
    """
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        try:
            return parse_docker_ignore(path.read_text(encoding="utf-8").splitlines(), origin=str(path))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"{path} cannot be read: {error}.", hint="Make it a readable text file.") from error
    return DockerIgnore(lines=())


def parse_docker_ignore(lines: Iterable[str], *, origin: str = ".dockerignore") -> DockerIgnore:
    """Return the rules in ``lines``.

    Raises:
        ImageError: a pattern cannot be one.
    """
    found = []
    for line in lines:
        text = line.strip().removeprefix("\ufeff")
        if not text or text.startswith("#"):
            continue
        leaves_out = not text.startswith("!")
        pattern = posixpath.normpath(text.removeprefix("!").strip()).lstrip("/")
        try:
            found.append((re.compile(_translated(pattern), re.DOTALL), leaves_out))
        except re.error as error:
            raise ImageError(
                f"The line {line!r} of {origin} is no pattern: {error}.", hint="Correct it, or remove it."
            ) from error
    return DockerIgnore(lines=tuple(found))


def _translated(pattern: str) -> str:
    """Return the regular expression: `**` is any number of folders, `*` and `?` stay inside one."""
    result, rest = "", pattern
    while rest:
        if rest.startswith("**"):
            rest = rest[2:].removeprefix("/")
            result += "(?:.*/)?" if rest else ".*"
        elif rest[0] in "*?":
            result += "[^/]*" if rest[0] == "*" else "[^/]"
            rest = rest[1:]
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]", 2) if rest.startswith("[]") else rest.index("]")
            result += rest[: end + 1]
            rest = rest[end + 1 :]
        elif rest[0] == "\\" and len(rest) > 1:
            result += re.escape(rest[1])
            rest = rest[2:]
        else:
            result += re.escape(rest[0])
            rest = rest[1:]
    return result
