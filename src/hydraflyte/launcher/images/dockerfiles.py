"""What can be told from a Dockerfile's text without running it: the images that it takes from registries. Pure.

One rule: what is not certain is left out, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")
_GIVEN_BASE = frozenset({"BASE_IMAGE", "BASE_VERSION"})


def instructions_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions: the keyword in capitals, and the rest in one line. Heredocs are skipped."""
    pending = ""
    heredoc_ends: list[str] = []
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", text, re.IGNORECASE) else "\\"
    for line in text.splitlines():
        if heredoc_ends:
            if line.strip() == heredoc_ends[0]:
                heredoc_ends.pop(0)
            continue
        stripped = line.strip()
        if stripped.startswith("#") or not (stripped or pending):
            continue
        if stripped.endswith(escape):
            pending += stripped[: -len(escape)] + " "
            continue
        keyword, _, rest = (pending + stripped).strip().partition(" ")
        pending = ""
        if keyword:
            if keyword.upper() in ("RUN", "COPY", "ADD"):
                heredoc_ends = re.findall(r"<<-?[\"']?(\w+)[\"']?", rest)
            yield keyword.upper(), rest.strip()


def bases_named_in(text: str, arguments: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images of ``FROM`` and ``--from=`` that are known by name, each once, in their order.

    Stages, ``scratch``, and what depends on ``BASE_IMAGE`` are no such images.

    Args:
        text: the Dockerfile's.
        arguments: build arguments, which win over the defaults of ``ARG``.
    """
    known: dict[str, str] = {}
    stages: set[str] = set()
    found: list[str] = []
    for keyword, rest in instructions_of(text):
        if keyword == "ARG" and not stages and not found:
            name, equals, default = rest.partition("=")
            if equals or name in arguments:
                known[name] = arguments.get(name, default.strip("\"'"))
        elif keyword == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            found += _external(words[:1], known, stages)
            stages.add(words[2].lower() if len(words) == 3 else f"#{len(stages)}")
        elif keyword in ("COPY", "ADD", "RUN"):
            found += _external(re.findall(r"(?:--from=|--mount=\S*\bfrom=)([^,\s]+)", rest), known, stages)
    return tuple(dict.fromkeys(found))


def _external(names: list[str], known: Mapping[str, str], stages: set[str]) -> list[str]:
    external = []
    for name in names:
        mentioned = {plain or braced for plain, braced, _, _ in _VARIABLE.findall(name)}
        full = _substituted(name, known)
        if mentioned & _GIVEN_BASE or full is None or full == "scratch" or full.isdigit() or full.lower() in stages:
            continue
        external.append(full)
    return external


def _substituted(text: str, known: Mapping[str, str]) -> str | None:
    """Return ``text`` with its variables replaced; ``None`` where one is not known."""
    is_known = True

    def value(match: re.Match[str]) -> str:
        nonlocal is_known
        name, operator, word = match[1] or match[2], match[3], match[4]
        if operator in ("-", ":-"):
            return known.get(name) or word
        if operator is not None or name not in known:
            is_known = False
            return ""
        return known[name]

    result = _VARIABLE.sub(value, text)
    return result if is_known and result and "$" not in result else None
