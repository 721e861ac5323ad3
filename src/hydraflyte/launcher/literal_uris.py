"""Values that are passed by address: which literals are such, and which addresses mean this machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from flyteidl.core import literals_pb2

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local_path(uri: str) -> Path | None:
    """Return the path of a URI on this machine; None if it is elsewhere.

    Example:
        >>> local_path("s3://bucket/x"), str(local_path("file:///tmp/x"))
        (None, '/tmp/x')
    """
    bare = uri.removeprefix("file://")
    return None if _SCHEME.match(bare) else Path(bare)


def uri_of(literal: literals_pb2.Literal) -> str | None:
    """Return the address of a literal that is one; None for a value."""
    scalar = literal.scalar
    match scalar.WhichOneof("value"):
        case "blob":
            return str(scalar.blob.uri)
        case "schema":
            return str(scalar.schema.uri)
        case "structured_dataset":
            return str(scalar.structured_dataset.uri)
    return str(literal.offloaded_metadata.uri) if literal.HasField("offloaded_metadata") else None


def literals_with_uris(literal: literals_pb2.Literal) -> Iterator[literals_pb2.Literal]:
    """Yield the literals inside ``literal``, itself included, that are addresses."""
    if uri_of(literal) is not None:
        yield literal
    for item in literal.collection.literals:
        yield from literals_with_uris(item)
    for key in sorted(literal.map.literals):
        yield from literals_with_uris(literal.map.literals[key])
    if literal.scalar.HasField("union"):
        yield from literals_with_uris(literal.scalar.union.value)


def is_local(literal: literals_pb2.Literal) -> bool:
    """Tell whether a literal, or anything in it, is an address on this machine."""
    return any(local_path(uri_of(each) or "") is not None for each in literals_with_uris(literal))
