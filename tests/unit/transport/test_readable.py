"""Literals as people read them."""

import msgpack
import pytest
from flyteidl.core.literals_pb2 import (
    Binary,
    Blob,
    Literal,
    LiteralCollection,
    LiteralMap,
    Primitive,
    Scalar,
    Union,
    Void,
)

from hydraflyte.transport.readable import readable, readable_map


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def binary(value, tag="msgpack"):
    return Literal(scalar=Scalar(binary=Binary(value=value, tag=tag)))


CONFIG = msgpack.packb({"lr": 0.1, "layers": [8, 4], "__hydraflyte__": {"flags": 1}})


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (integer(42), 42),
        (Literal(scalar=Scalar(primitive=Primitive(boolean=False))), False),
        (Literal(scalar=Scalar(none_type=Void())), None),
        (Literal(scalar=Scalar(blob=Blob(uri="/data/x.csv"))), "/data/x.csv"),
        (Literal(scalar=Scalar(union=Union(value=integer(1)))), 1),
        (Literal(collection=LiteralCollection(literals=[integer(1), integer(2)])), [1, 2]),
        (binary(CONFIG), {"lr": 0.1, "layers": [8, 4]}),
        (binary(b"\xc1"), "<1 bytes that are no msgpack>"),
        (binary(b"abc", tag="pickle"), "<3 bytes, pickle>"),
        (Literal(), None),
    ],
)
def test_a_literal_reads_as_its_plain_value(literal, expected):
    assert readable(literal) == expected


def test_the_names_of_a_map_come_in_order():
    literals = LiteralMap(literals={"o1": integer(1), "o0": integer(0)})

    assert list(readable_map(literals).items()) == [("o0", 0), ("o1", 1)]
