"""Two ends of the same thing: are their outputs the same?

Pure but for files of this machine, which are compared by content. One rule: what cannot be compared is neither the
same nor different.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from flyteidl.core import literals_pb2

from hydraflyte.launcher.literal_uris import local_path, uri_of
from hydraflyte.launcher.reproduction.places import digest_of
from hydraflyte.transport.readable import readable

_LONGEST = 80


class Verdict(Enum):
    """How an output compares with the recorded one."""

    SAME = "the same"
    DIFFERENT = "different"
    UNKNOWN = "cannot be compared"  # files elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output, before and now."""

    name: str
    verdict: Verdict
    text: str


def compare(before: literals_pb2.LiteralMap, now: literals_pb2.LiteralMap) -> tuple[OutputComparison, ...]:
    """Return one comparison per output, by name."""
    return tuple(_compared(before, now))


def _compared(before: literals_pb2.LiteralMap, now: literals_pb2.LiteralMap) -> Iterator[OutputComparison]:
    for name in sorted({*before.literals, *now.literals}):
        if name not in before.literals or name not in now.literals:
            text = "only then" if name in before.literals else "only now"
            yield OutputComparison(name=name, verdict=Verdict.DIFFERENT, text=text)
            continue
        old, new = before.literals[name], now.literals[name]
        verdict = _verdict(old, new)
        text = _short(new) if verdict is Verdict.SAME else f"{_short(old)} -> {_short(new)}"
        yield OutputComparison(name=name, verdict=verdict, text=text)


def _verdict(old: literals_pb2.Literal, new: literals_pb2.Literal) -> Verdict:
    if old.WhichOneof("value") != new.WhichOneof("value"):
        return Verdict.DIFFERENT
    match old.WhichOneof("value"):
        case "collection":
            items = old.collection.literals, new.collection.literals
            if len(items[0]) != len(items[1]):
                return Verdict.DIFFERENT
            return _worst([_verdict(*pair) for pair in zip(*items, strict=True)])
        case "map":
            if old.map.literals.keys() != new.map.literals.keys():
                return Verdict.DIFFERENT
            return _worst([_verdict(old.map.literals[key], new.map.literals[key]) for key in old.map.literals])
        case "scalar" if old.scalar.HasField("union") and new.scalar.HasField("union"):
            return _verdict(old.scalar.union.value, new.scalar.union.value)
    uris = uri_of(old), uri_of(new)
    if uris[0] is not None and uris[1] is not None:
        return _of_files(uris[0], uris[1])
    return Verdict.SAME if _content(old) == _content(new) else Verdict.DIFFERENT


def _content(literal: literals_pb2.Literal) -> bytes:
    bare = literals_pb2.Literal()
    bare.CopyFrom(literal)
    bare.ClearField("hash")
    bare.ClearField("metadata")
    content: bytes = bare.SerializeToString(deterministic=True)  # NaN equals itself in bytes
    return content


def _of_files(old: str, new: str) -> Verdict:
    if old == new:
        return Verdict.SAME
    paths = local_path(old), local_path(new)
    if paths[0] is None or paths[1] is None:
        return Verdict.UNKNOWN
    digests = digest_of(paths[0]), digest_of(paths[1])
    if None in digests:
        return Verdict.UNKNOWN
    return Verdict.SAME if digests[0] == digests[1] else Verdict.DIFFERENT


def _worst(verdicts: list[Verdict]) -> Verdict:
    for verdict in (Verdict.DIFFERENT, Verdict.UNKNOWN):
        if verdict in verdicts:
            return verdict
    return Verdict.SAME


def _short(literal: literals_pb2.Literal) -> str:
    text = repr(readable(literal))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
