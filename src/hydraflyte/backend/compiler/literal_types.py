"""The type of a literal, as far as the literal itself tells.

Follows flytepropeller (pkg/compiler/validators/utils.go). The one rule: a literal that says nothing (an empty
list) gets a type that fits anywhere its kind does.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.core.types_pb2 import LiteralType, SimpleType, UnionType

_MSGPACK_TAG = "msgpack"
_PRIMITIVE_TYPES = {
    "integer": SimpleType.INTEGER,
    "float_value": SimpleType.FLOAT,
    "string_value": SimpleType.STRING,
    "boolean": SimpleType.BOOLEAN,
    "datetime": SimpleType.DATETIME,
    "duration": SimpleType.DURATION,
}
_PLAIN_SCALAR_TYPES = {
    "none_type": SimpleType.NONE,
    "error": SimpleType.ERROR,
    "generic": SimpleType.STRUCT,
}


def literal_type(literal: Literal) -> LiteralType | None:
    """Return the type of ``literal``, or None if it holds no value.

    >>> literal_type(Literal(scalar=Scalar(primitive=Primitive(integer=3)))) == LiteralType(simple="INTEGER")
    True
    """
    kind = literal.WhichOneof("value")
    if kind == "scalar":
        return scalar_type(literal.scalar)
    if kind == "collection":
        item_type = _common_type(literal.collection.literals)
        return None if item_type is None else LiteralType(collection_type=item_type)
    if kind == "map":
        item_type = _common_type(list(literal.map.literals.values()))
        return None if item_type is None else LiteralType(map_value_type=item_type)
    if kind == "offloaded_metadata":
        return literal.offloaded_metadata.inferred_type
    return None


def scalar_type(scalar: Scalar) -> LiteralType | None:
    """Return the type of ``scalar``, or None if it holds no value. That of a union value is a union of one."""
    kind = scalar.WhichOneof("value") or ""
    if kind in _PLAIN_SCALAR_TYPES:
        return LiteralType(simple=_PLAIN_SCALAR_TYPES[kind])
    if kind == "primitive":
        return _primitive_type(scalar.primitive)
    if kind == "binary":
        is_struct = scalar.binary.tag == _MSGPACK_TAG
        return LiteralType(simple=SimpleType.STRUCT if is_struct else SimpleType.BINARY)
    if kind == "blob":
        return LiteralType(blob=scalar.blob.metadata.type)
    if kind == "schema":
        return LiteralType(schema=scalar.schema.type)
    if kind == "structured_dataset":
        return LiteralType(structured_dataset_type=scalar.structured_dataset.metadata.structured_dataset_type)
    if kind == "union":
        return LiteralType(union_type=UnionType(variants=[scalar.union.type]))
    return None


def _primitive_type(primitive: Primitive) -> LiteralType | None:
    kind = primitive.WhichOneof("value")
    return None if kind is None else LiteralType(simple=_PRIMITIVE_TYPES[kind])


def _common_type(items: Sequence[Literal]) -> LiteralType | None:
    """Return the one type of all items, or a union of their types; NONE if there are no items."""
    if not items:
        return LiteralType(simple=SimpleType.NONE)
    by_text: dict[bytes, LiteralType] = {}
    for item in items:
        item_type = literal_type(item)
        if item_type is None:
            return None
        by_text[item_type.SerializeToString(deterministic=True)] = item_type
    types = [by_text[text] for text in sorted(by_text)]
    return types[0] if len(types) == 1 else LiteralType(union_type=UnionType(variants=types))
