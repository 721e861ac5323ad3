from __future__ import annotations

import msgpack
import pytest
from flyteidl.core.literals_pb2 import (
    Binary,
    BindingData,
    BindingDataMap,
    Literal,
    LiteralMap,
    LiteralOffloadedMetadata,
    Scalar,
    Union,
)
from google.protobuf.struct_pb2 import Struct
from tests.unit.backend.workflows import bind, collect, const, literal, literals, ref

from hydraflyte.backend.engine.bindings import BindingResolutionError, resolve, resolve_binding


def packed(value: object) -> Literal:
    return Literal(scalar=Scalar(binary=Binary(value=msgpack.packb(value), tag="msgpack")))


def struct(**fields: object) -> Literal:
    message = Struct()
    message.update(fields)
    return Literal(scalar=Scalar(generic=message))


def found(value: Literal, *path: str | int) -> Literal:
    outputs = LiteralMap(literals={"o0": value})
    return resolve_binding(ref("n0", "o0", *path), lambda node: outputs)


def test_each_binding_becomes_a_literal() -> None:
    bindings = bind({"a": const(3), "b": ref("n0"), "c": collect(const(1), ref("n1", "y"))})
    outputs = {"n0": literals(o0="zero"), "n1": literals(y=2)}

    assert resolve(bindings, outputs.__getitem__) == literals(a=3, b="zero", c=[1, 2])


def test_maps_are_resolved_entry_by_entry() -> None:
    data = BindingData(map=BindingDataMap(bindings={"k": ref("n0"), "l": const(2)}))

    resolved = resolve_binding(data, lambda node: literals(o0=1))

    assert resolved == Literal(map=literals(k=1, l=2))


def test_offloaded_literals_are_passed_on_by_address() -> None:
    offloaded = LiteralOffloadedMetadata(uri="/data/big", size_bytes=10)

    resolved = resolve_binding(BindingData(offloaded_metadata=offloaded), lambda node: literals())

    assert resolved.offloaded_metadata.uri == "/data/big"


def test_a_variable_may_name_an_element_of_a_list() -> None:
    resolved = resolve_binding(ref("n0", "[1].o0"), lambda node: literals(o0=[5, 6]))

    assert resolved == literal(6)


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        (literal([[1, 2], [3]]), (0, 1), literal(2)),
        (Literal(map=literals(k=[7])), ("k", 0), literal(7)),
        (packed({"a": {"b": [1, 2]}}), ("a", "b", 1), literal(2)),
        (packed({"a": 3}), ("a",), literal(3)),
        (packed({"a": 3.5}), ("a",), literal(3.5)),
        (packed({"a": True}), ("a",), literal(True)),
        (packed({"a": "s"}), ("a",), literal("s")),
        (packed({"a": None}), ("a",), literal(None)),
        (packed({"a": [1, "x"]}), ("a",), literal([1, "x"])),
        (packed({"a": {"b": 1}}), ("a",), packed({"b": 1})),
        (packed({7: "seven"}), (7,), literal("seven")),
        (struct(a=3), ("a",), literal(3.0)),
        (struct(a=[1, 2]), ("a", 1), literal(2.0)),
        (struct(a={"b": "x"}), ("a",), struct(b="x")),
        (struct(a=None), ("a",), literal(None)),
        (literal([[1]]), (), literal([[1]])),
    ],
)
def test_attribute_paths_lead_into_values(value: Literal, path: tuple[str | int, ...], expected: Literal) -> None:
    assert found(value, *path) == expected


def test_attribute_paths_lead_through_unions() -> None:
    union = Literal(scalar=Scalar(union=Union(value=packed({"a": 1}))))

    assert found(union, "a") == literal(1)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (literal([1]), (1,)),
        (literal([1]), (-1,)),
        (Literal(map=literals(k=1)), ("l",)),
        (packed({"a": [1]}), ("b",)),
        (packed({"a": [1]}), ("a", 5)),
        (struct(a=1), ("a", "b")),
        (literal(3), ("a",)),
    ],
)
def test_paths_that_lead_nowhere_are_refused(value: Literal, path: tuple[str | int, ...]) -> None:
    with pytest.raises(BindingResolutionError, match="PromiseAttributeResolveError"):
        found(value, *path)


def test_a_missing_output_is_named_with_those_that_exist() -> None:
    with pytest.raises(BindingResolutionError) as raised:
        resolve(bind({"x": ref("n0", "o1")}), lambda node: literals(o0=1))

    assert str(raised.value) == "input 'x': node 'n0' has no output 'o1' (it has: o0)"


def test_an_empty_binding_is_refused() -> None:
    with pytest.raises(BindingResolutionError, match="the binding is empty"):
        resolve_binding(BindingData(), lambda node: literals())
