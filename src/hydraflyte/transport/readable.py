"""Literals as people read them: plain values instead of protobuf's nesting.

For eyes only: kinds that look alike (an int and an integral float of a Struct, a path and a text) are not told
apart. Configs travel as msgpack with the plain tree on top; what the tree cannot say is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timezone
from typing import Any

import msgpack
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from google.protobuf.json_format import MessageToDict

Readable = Any  # a JSON-like tree of None, bool, int, float, str, list and dict

_NOTES_OF_CONFIGS = "__hydraflyte__"


def readable_map(literals: LiteralMap) -> dict[str, Readable]:
    """Return each literal by name as a plain value, names in order."""
    return {name: readable(literals.literals[name]) for name in sorted(literals.literals)}


def readable(literal: Literal) -> Readable:
    """Return the literal as a plain value; what cannot be shown as one is described in brackets."""
    match literal.WhichOneof("value"):
        case "scalar":
            return _scalar(literal.scalar)
        case "collection":
            return [readable(item) for item in literal.collection.literals]
        case "map":
            return readable_map(literal.map)
        case "offloaded_metadata":
            return f"<offloaded to {literal.offloaded_metadata.uri}>"
        case _:
            return None


def _scalar(scalar: Scalar) -> Readable:
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive(scalar.primitive)
        case "generic":
            return MessageToDict(scalar.generic)
        case "binary":
            return _binary(scalar.binary.value, scalar.binary.tag)
        case "blob":
            return scalar.blob.uri
        case "schema":
            return scalar.schema.uri
        case "structured_dataset":
            return scalar.structured_dataset.uri
        case "union":
            return readable(scalar.union.value)
        case "error":
            return scalar.error.message
        case _:
            return None


def _primitive(primitive: Primitive) -> Readable:
    kind = primitive.WhichOneof("value")
    match kind:
        case "datetime":
            return primitive.datetime.ToDatetime(timezone.utc).isoformat()
        case "duration":
            return str(primitive.duration.ToTimedelta())
        case None:
            return None
        case _:
            return getattr(primitive, kind)


def _binary(value: bytes, tag: str) -> Readable:
    if tag != "msgpack":
        return f"<{len(value)} bytes, {tag or 'untagged'}>"
    try:
        tree = msgpack.unpackb(value, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        return f"<{len(value)} bytes that are no msgpack>"
    if isinstance(tree, Mapping):
        return {str(key): item for key, item in tree.items() if key != _NOTES_OF_CONFIGS}
    return tree
