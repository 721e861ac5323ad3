"""Whether a value of one type may flow into a variable of another.

Follows flytepropeller (pkg/compiler/validators/typing.go). The one rule: nothing is converted on the way (an
integer is no float), so a type fits only what its own kind, a union, or an empty literal allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.types_pb2 import BlobType, LiteralType, SchemaType, SimpleType, StructuredDatasetType
from google.protobuf.message import Message

_IGNORED_FIELDS = ("metadata", "structure", "annotation")
_PARQUET = "parquet"
_COLUMN_TYPES = {
    SchemaType.SchemaColumn.INTEGER: SimpleType.INTEGER,
    SchemaType.SchemaColumn.FLOAT: SimpleType.FLOAT,
    SchemaType.SchemaColumn.STRING: SimpleType.STRING,
    SchemaType.SchemaColumn.BOOLEAN: SimpleType.BOOLEAN,
    SchemaType.SchemaColumn.DATETIME: SimpleType.DATETIME,
    SchemaType.SchemaColumn.DURATION: SimpleType.DURATION,
}


def is_castable(upstream: LiteralType, downstream: LiteralType) -> bool:
    """Return whether a value of type ``upstream`` may be bound to a variable of type ``downstream``.

    >>> is_castable(LiteralType(simple=SimpleType.INTEGER), LiteralType(simple=SimpleType.FLOAT))
    False
    """
    upstream = _unwrapped(upstream)
    if downstream.WhichOneof("type") == "union_type":
        return _fits_union(upstream, downstream)
    if _is_none(upstream):
        return _takes_none(downstream)
    if _is_enum_as_string(upstream, downstream):
        return True
    if upstream.structure.tag and upstream.structure.tag != downstream.structure.tag:
        return False
    return _same_kind(upstream, downstream)


def fitting_variants(upstream: LiteralType, union: LiteralType) -> Sequence[LiteralType]:
    """Return the variants of ``union`` that a value of type ``upstream`` fits."""
    return [variant for variant in union.union_type.variants if is_castable(upstream, variant)]


def accepts_none(literal_type: LiteralType) -> bool:
    """Return whether the type is a union with NONE among its variants: such a variable may stay unbound."""
    return any(_is_none(variant) for variant in literal_type.union_type.variants)


def _unwrapped(literal_type: LiteralType) -> LiteralType:
    while len(literal_type.union_type.variants) == 1:
        literal_type = literal_type.union_type.variants[0]
    return literal_type


def _fits_union(upstream: LiteralType, downstream: LiteralType) -> bool:
    if upstream.WhichOneof("type") == "union_type":
        return all(fitting_variants(variant, downstream) for variant in upstream.union_type.variants)
    return len(fitting_variants(upstream, downstream)) == 1


def _is_none(literal_type: LiteralType) -> bool:
    return literal_type.WhichOneof("type") == "simple" and literal_type.simple == SimpleType.NONE


def _takes_none(downstream: LiteralType) -> bool:
    return _is_none(downstream) or downstream.WhichOneof("type") == "structured_dataset_type"


def _is_enum_as_string(upstream: LiteralType, downstream: LiteralType) -> bool:
    kinds = {upstream.WhichOneof("type"), downstream.WhichOneof("type")}
    return kinds == {"enum_type", "simple"} and SimpleType.STRING in (upstream.simple, downstream.simple)


def _same_kind(upstream: LiteralType, downstream: LiteralType) -> bool:
    kinds = (upstream.WhichOneof("type"), downstream.WhichOneof("type"))
    if kinds == ("collection_type", "collection_type"):
        return _fits_element(upstream.collection_type, downstream.collection_type)
    if kinds == ("map_value_type", "map_value_type"):
        return _fits_element(upstream.map_value_type, downstream.map_value_type)
    if kinds == ("blob", "blob"):
        return _fits_blob(upstream.blob, downstream.blob)
    if kinds == ("schema", "schema"):
        return _has_columns(_schema_columns(upstream.schema), _schema_columns(downstream.schema))
    if set(kinds) <= {"schema", "structured_dataset_type"}:
        return _fits_dataset(upstream, downstream)
    return _is_equal(upstream, downstream)


def _fits_element(upstream: LiteralType, downstream: LiteralType) -> bool:
    return _is_none(upstream) or is_castable(upstream, downstream)  # [NONE]: the type of an empty literal list


def _fits_blob(upstream: BlobType, downstream: BlobType) -> bool:
    return not upstream.format or not downstream.format or upstream.format == downstream.format


def _fits_dataset(upstream: LiteralType, downstream: LiteralType) -> bool:
    upstream_format, downstream_format = _format(upstream), _format(downstream)
    if upstream_format and downstream_format and upstream_format != downstream_format:
        return False
    return _has_columns(_columns(upstream), _columns(downstream))


def _format(literal_type: LiteralType) -> str:
    is_dataset = literal_type.WhichOneof("type") == "structured_dataset_type"
    return literal_type.structured_dataset_type.format.lower() if is_dataset else _PARQUET


def _columns(literal_type: LiteralType) -> dict[str, bytes]:
    if literal_type.WhichOneof("type") == "schema":
        return _schema_columns(literal_type.schema)
    return _dataset_columns(literal_type.structured_dataset_type)


def _schema_columns(schema: SchemaType) -> dict[str, bytes]:
    return {column.name: _bare(LiteralType(simple=_COLUMN_TYPES[column.type])) for column in schema.columns}


def _dataset_columns(dataset: StructuredDatasetType) -> dict[str, bytes]:
    return {column.name: _bare(column.literal_type) for column in dataset.columns}


def _has_columns(upstream: dict[str, bytes], downstream: dict[str, bytes]) -> bool:
    """Return whether all that is wanted downstream is there; a side that names no columns takes any."""
    return not upstream or not downstream or downstream.items() <= upstream.items()


def _is_equal(upstream: LiteralType, downstream: LiteralType) -> bool:
    # STRUCT to STRUCT is always accepted: JSON schemas live in the metadata, which is not looked at
    return _bare(upstream) == _bare(downstream)


def _bare(literal_type: LiteralType) -> bytes:
    bare = LiteralType()
    bare.CopyFrom(literal_type)
    for name in _IGNORED_FIELDS:
        bare.ClearField(name)
    return _canonical(bare)


def _canonical(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
