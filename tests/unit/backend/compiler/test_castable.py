from __future__ import annotations

import pytest
from flyteidl.core.literals_pb2 import (
    Binary,
    Blob,
    BlobMetadata,
    Literal,
    LiteralMap,
    LiteralOffloadedMetadata,
    Scalar,
    Union,
)
from flyteidl.core.types_pb2 import (
    BlobType,
    EnumType,
    Error,
    LiteralType,
    SchemaType,
    SimpleType,
    StructuredDatasetType,
    TypeStructure,
)
from google.protobuf.struct_pb2 import Struct
from tests.unit.backend.workflows import (
    ERROR,
    FLOAT,
    INT,
    NONE,
    STRING,
    STRUCT,
    list_of,
    literal,
    literals,
    map_of,
    union_of,
)

from hydraflyte.backend.compiler.castable import is_castable
from hydraflyte.backend.compiler.literal_types import literal_type

COLOURS = LiteralType(enum_type=EnumType(values=["red", "green"]))
SHADES = LiteralType(enum_type=EnumType(values=["dark"]))


def tagged(literal_type: LiteralType, tag: str) -> LiteralType:
    copy = LiteralType()
    copy.CopyFrom(literal_type)
    copy.structure.CopyFrom(TypeStructure(tag=tag))
    return copy


def described(literal_type: LiteralType) -> LiteralType:
    copy = LiteralType()
    copy.CopyFrom(literal_type)
    copy.metadata.update({"title": "T"})
    copy.annotation.annotations.update({"a": 1})
    return copy


def blob(form: str, dimensionality: int = BlobType.SINGLE) -> LiteralType:
    return LiteralType(blob=BlobType(format=form, dimensionality=dimensionality))  # type: ignore[arg-type]  # enums are ints


def schema(**columns: int) -> LiteralType:
    parts = [SchemaType.SchemaColumn(name=name, type=kind) for name, kind in columns.items()]  # type: ignore[arg-type]  # enums are ints
    return LiteralType(schema=SchemaType(columns=parts))


def dataset(form: str = "", **columns: LiteralType) -> LiteralType:
    parts = [StructuredDatasetType.DatasetColumn(name=name, literal_type=kind) for name, kind in columns.items()]
    return LiteralType(structured_dataset_type=StructuredDatasetType(format=form, columns=parts))


C_INT, C_STR = SchemaType.SchemaColumn.INTEGER, SchemaType.SchemaColumn.STRING
OPTIONAL_INT = union_of(tagged(INT, "int"), tagged(NONE, "none"))


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        (INT, INT),
        (INT, described(INT)),
        (described(STRUCT), STRUCT),
        (NONE, NONE),
        (COLOURS, COLOURS),
        (COLOURS, STRING),
        (STRING, COLOURS),
        (list_of(INT), list_of(INT)),
        (list_of(NONE), list_of(INT)),
        (list_of(NONE), list_of(map_of(STRING))),
        (map_of(NONE), map_of(INT)),
        (map_of(list_of(INT)), map_of(list_of(described(INT)))),
        (blob("csv"), blob("csv")),
        (blob("csv"), blob("")),
        (blob(""), blob("csv")),
        (blob("csv"), blob("csv", BlobType.MULTIPART)),
        (schema(a=C_INT, b=C_STR), schema(a=C_INT)),
        (schema(), schema(a=C_INT)),
        (schema(a=C_INT), schema()),
        (dataset(a=INT), dataset(a=INT)),
        (dataset("parquet"), dataset("PARQUET")),
        (dataset("csv"), dataset()),
        (schema(a=C_INT), dataset("parquet", a=INT)),
        (dataset(a=INT, b=STRING), schema(a=C_INT)),
        (NONE, dataset()),
        (INT, union_of(INT, STRING)),
        (INT, OPTIONAL_INT),
        (NONE, OPTIONAL_INT),
        (OPTIONAL_INT, OPTIONAL_INT),
        (OPTIONAL_INT, union_of(tagged(INT, "int"), tagged(NONE, "none"), tagged(STRING, "str"))),
        (union_of(INT), INT),
        (tagged(INT, "t"), tagged(INT, "t")),
        (INT, tagged(INT, "t")),
        (ERROR, ERROR),
    ],
)
def test_these_fit(upstream: LiteralType, downstream: LiteralType) -> None:
    assert is_castable(upstream, downstream)


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        (INT, FLOAT),
        (FLOAT, INT),
        (STRING, LiteralType(simple=SimpleType.DATETIME)),
        (NONE, INT),
        (INT, NONE),
        (COLOURS, SHADES),
        (COLOURS, INT),
        (INT, COLOURS),
        (list_of(INT), list_of(FLOAT)),
        (list_of(INT), INT),
        (list_of(INT), map_of(INT)),
        (map_of(INT), map_of(STRING)),
        (blob("csv"), blob("json")),
        (blob("csv"), STRING),
        (schema(a=C_INT), schema(b=C_INT)),
        (schema(a=C_INT), schema(a=C_STR)),
        (dataset("csv"), dataset("parquet")),
        (dataset("csv"), schema()),
        (dataset(a=INT), dataset(a=FLOAT)),
        (schema(a=C_INT), blob("")),
        (FLOAT, union_of(INT, STRING)),
        (INT, union_of(INT, INT)),
        (OPTIONAL_INT, tagged(INT, "int")),
        (OPTIONAL_INT, union_of(tagged(STRING, "str"), tagged(NONE, "none"))),
        (tagged(INT, "t"), INT),
        (tagged(INT, "t"), tagged(INT, "u")),
        (STRUCT, INT),
    ],
)
def test_these_do_not_fit(upstream: LiteralType, downstream: LiteralType) -> None:
    assert not is_castable(upstream, downstream)


def test_asking_changes_nothing() -> None:
    upstream, downstream = described(list_of(INT)), list_of(described(INT))
    before = upstream.SerializeToString(deterministic=True), downstream.SerializeToString(deterministic=True)

    is_castable(upstream, downstream)

    assert (upstream.SerializeToString(deterministic=True), downstream.SerializeToString(deterministic=True)) == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (literal(3), INT),
        (literal(3.0), FLOAT),
        (literal("s"), STRING),
        (literal(True), LiteralType(simple=SimpleType.BOOLEAN)),
        (literal(None), NONE),
        (literal([1, 2]), list_of(INT)),
        (literal([]), list_of(NONE)),
        (literal([[1], []]), list_of(union_of(list_of(NONE), list_of(INT)))),
        (Literal(map=literals(a="x")), map_of(STRING)),
        (Literal(map=LiteralMap()), map_of(NONE)),
        (Literal(scalar=Scalar(generic=Struct())), STRUCT),
        (Literal(scalar=Scalar(binary=Binary(tag="msgpack"))), STRUCT),
        (Literal(scalar=Scalar(binary=Binary())), LiteralType(simple=SimpleType.BINARY)),
        (Literal(scalar=Scalar(error=Error(message="m"))), ERROR),
        (Literal(scalar=Scalar(blob=Blob(metadata=BlobMetadata(type=BlobType(format="csv"))))), blob("csv")),
        (Literal(scalar=Scalar(union=Union(value=literal(1), type=INT))), union_of(INT)),
        (Literal(offloaded_metadata=LiteralOffloadedMetadata(inferred_type=list_of(INT))), list_of(INT)),
    ],
)
def test_a_literal_tells_its_type(value: Literal, expected: LiteralType) -> None:
    assert literal_type(value) == expected


def test_mixed_lists_are_lists_of_a_union_in_a_fixed_order() -> None:
    first, second = literal_type(literal([1, "a", 2])), literal_type(literal(["b", 1]))

    assert first == second
    assert first is not None
    assert [variant.simple for variant in first.collection_type.union_type.variants] == [INT.simple, STRING.simple]


@pytest.mark.parametrize("empty", [Literal(), Literal(scalar=Scalar())])
def test_an_empty_literal_has_no_type(empty: Literal) -> None:
    assert literal_type(empty) is None
