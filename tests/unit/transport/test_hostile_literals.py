"""Whoever may create an execution may send any bytes: the answer is one clear error, in bounded time and memory."""

from __future__ import annotations

import dataclasses
import enum
import os
import sys
import tracemalloc
import warnings

import msgpack
import omegaconf
import pytest
from flytekit.core.type_engine import TypeTransformerFailedError
from flytekit.models.literals import Binary, Literal, Primitive, Scalar
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydraflyte.transport import TransportError, TransportSettings, TransportWarning, using


class Shade(enum.Enum):
    DARK = 1


@dataclasses.dataclass
class Conf:
    value: int = 1


def binary(packed: bytes, tag: str = "msgpack") -> Literal:
    return Literal(scalar=Scalar(binary=Binary(value=packed, tag=tag)))


def with_shapes(tree: dict, shapes: list, root: object = 1, form: object = 1) -> Literal:
    return binary(msgpack.packb({**tree, "__hydraflyte__": {"form": form, "root": root, "shapes": shapes}}))


def struct(**fields: object) -> Literal:
    data = Struct()
    data.update(fields)
    return Literal(scalar=Scalar(generic=data))


DAMAGED = {
    "no bytes at all": binary(b""),
    "truncated": binary(msgpack.packb({"a": [1, 2, 3]})[:-1]),
    "bytes after the end": binary(msgpack.packb({"a": 1}) + b"\x00"),
    "a byte that msgpack never uses": binary(b"\xc1"),
    "text that is no UTF-8": binary(b"\x81\xa1a\xa2\xff\xfe"),
    "an array that claims four billion items": binary(b"\xdd\xff\xff\xff\xff\x01"),
    "a string that claims four gigabytes": binary(b"\xdb\xff\xff\xff\xffx"),
    "nested a thousand times": binary(b"\x81\xa1a" * 1000 + b"\x01"),
    "nested a hundred thousand times": binary(b"\x91" * 100_000 + b"\x01"),
    "an extension type": binary(msgpack.packb({"a": msgpack.ExtType(5, b"x")})),
    "a time stamp": binary(msgpack.packb({"a": msgpack.Timestamp(1)})),
    "a list as key": binary(b"\x81\x91\x01\x01"),
    "None as key": binary(msgpack.packb({None: 1})),
    "another tag": binary(msgpack.packb({"a": 1}), tag="pickle"),
    "an envelope that is none": binary(msgpack.packb({"__hydraflyte__": 3})),
    "a form of the future": with_shapes({"a": 1}, [{"node": "dict"}], form=99),
    "a root that is not there": with_shapes({"a": 1}, [{"node": "dict"}], root=2),
    "a root that is no number": with_shapes({"a": 1}, [{"node": "dict"}], root="x"),
    "a shape of itself": with_shapes({"a": {"a": 1}}, [{"node": "dict", "fields": {"a": 1}}]),
    "two shapes of each other": with_shapes(
        {"a": {"a": 1}}, [{"node": "dict", "fields": {"a": 2}}, {"node": "dict", "fields": {"a": 1}}]
    ),
    "a negative shape": with_shapes({"a": 1}, [{"node": "dict", "each": -1}]),
    "a shape that is none": with_shapes({"a": 1}, [3]),
    "an unknown node": with_shapes({"a": 1}, [{"node": "gadget"}]),
    "an unknown conversion": with_shapes({"a": 1}, [{"node": "any", "value": "eval"}, {"node": "dict", "each": 1}], 2),
    "a list where a dict belongs": with_shapes({"a": [1]}, [{"node": "dict"}, {"node": "dict", "each": 1}], 2),
    "text where a number belongs": with_shapes({"a": "x"}, [{"node": "int"}, {"node": "dict", "each": 1}], 2),
    "a map where a number belongs": with_shapes({"a": {}}, [{"node": "int"}, {"node": "dict", "each": 1}], 2),
    "a number that is none": with_shapes(
        {"a": "1e9"}, [{"node": "int", "value": "int"}, {"node": "dict", "each": 1}], 2
    ),
    "a class that is no text": with_shapes({"a": 1}, [{"node": "dict", "object_type": ["class", 1, 2]}]),
    "a class without a name": with_shapes({"a": 1}, [{"node": "dict", "object_type": ["class"]}]),
    "a type of nothing": with_shapes({"a": 1}, [{"node": "dict", "ref_type": ["Dict"]}]),
    "a type that is none": with_shapes({"a": 1}, [{"node": "dict", "ref_type": {"os": "system"}}]),
    "flags that are none": with_shapes({"a": 1}, [{"node": "dict", "flags": {"readonly": "yes"}}]),
    "a key type that is no class": with_shapes({"a": 1}, [{"node": "dict", "key_type": ["Dict", "str", "int"]}]),
    "an enum without annotation": with_shapes({"a": 1}, [{"node": "enum"}, {"node": "dict", "each": 1}], 2),
    "pairs that are none": with_shapes({"a": [[1]]}, [{"node": "dict", "pairs": True}, {"node": "dict", "each": 1}], 2),
    "an older literal without its types": struct(base_dataclass="builtins.dict", **{"values.a": 1.0}, types="x"),
    "an older literal with a value that is none": struct(base_dataclass="builtins.dict", **{"types.a": "builtins.int"}),
    "an older list with more types than values": struct(types=["builtins.int"], values=[]),
}


@pytest.mark.parametrize("literal", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_literal_is_refused_with_a_hint(literal, read):
    with pytest.raises(TransportError) as raised:
        read(literal)

    assert raised.value.hint
    assert len(str(raised.value)) < 1000


def test_a_literal_of_another_kind_is_refused_as_such(read):
    with pytest.raises(TypeError, match="holds no config"):
        read(Literal(scalar=Scalar(primitive=Primitive(integer=1))))


@pytest.mark.parametrize(
    "reference",
    [
        ["subprocess", "Popen"],
        ["os", "system"],
        ["antigravity", "geohash"],
        ["not.installed", "Thing"],
        ["flytekit", "pandas"],
        ["builtins", "eval"],
        ["builtins", "object"],
        ["", ""],
        ["a" * 10_000, "b.." * 1000],
    ],
)
def test_a_class_that_is_no_schema_is_neither_imported_nor_used(reference, read):
    before = set(sys.modules)
    literal = with_shapes({"a": 1}, [{"node": "dict", "object_type": ["class", *reference]}])

    with pytest.warns(TransportWarning):
        found = read(literal)

    assert set(sys.modules) == before
    assert OmegaConf.get_type(found) is dict
    assert found == {"a": 1}


def test_an_enum_is_no_schema_and_a_schema_no_enum(read):
    module = Shade.__module__
    as_schema = with_shapes({"a": 1}, [{"node": "dict", "object_type": ["class", module, "Shade"]}])
    how = {"node": "any", "value": "enum", "enum": [module, "Conf"], "name": "x"}
    as_enum = with_shapes({"a": 1}, [how, {"node": "dict", "each": 1}], 2)

    with pytest.warns(TransportWarning):
        assert OmegaConf.get_type(read(as_schema)) is dict
    with pytest.warns(TransportWarning):
        assert read(as_enum) == {"a": "x"}


@pytest.mark.skipif(hasattr(omegaconf, "TupleConfig"), reason="OmegaConf 2.4 has these nodes")
def test_nodes_of_a_newer_omegaconf_arrive_as_plain_ones(read):
    literal_node = {"node": "literal", "type": ["Literal", 1, 2], "optional": False}
    newer = [
        {"node": "tuple", "ref_type": ["Tuple", "int", "int"]},
        literal_node,
        {"node": "dict", "fields": {"t": 1, "l": 2}},
    ]

    with pytest.warns(TransportWarning, match="a tuple node of OmegaConf 2.4, a literal node"):
        found = read(with_shapes({"t": [1, 2], "l": 1}, newer, 3))

    assert found == {"t": [1, 2], "l": 1}


def test_settings_can_forbid_even_loaded_classes(trip):
    with using(TransportSettings(use_loaded_classes=False)), pytest.warns(TransportWarning, match="Conf"):
        found = trip(OmegaConf.structured(Conf))

    assert OmegaConf.get_type(found) is dict


@pytest.mark.parametrize("kind", ["enum", "literal"])
def test_a_class_of_another_kind_cannot_stand_for_the_values_of_a_leaf(kind, read):
    leaf = {"node": kind, "type": ["class", __name__, "Conf"]}
    literal = with_shapes({"a": 1}, [leaf, {"node": "dict", "fields": {"a": 1}}], root=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)  # an older OmegaConf has no literal nodes
        assert_error_or_config(literal.scalar.binary.value, read)


def test_a_small_literal_cannot_take_much_memory(read):
    many_zeros = binary(msgpack.packb([0] * 3_000_000))

    tracemalloc.start()
    try:
        with pytest.raises(TransportError, match="more than 2,000,000 values"):
            read(many_zeros, ListConfig)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 100_000_000


def test_limits_are_settings(read, write):
    config = OmegaConf.create({"a": {"b": [1, 2, 3]}})
    literal = write(config)

    for limits, what in (
        (TransportSettings(max_bytes=3), "bytes"),
        (TransportSettings(max_nodes=4), "values"),
        (TransportSettings(max_depth=1), "levels"),
    ):
        with using(limits):
            with pytest.raises(TransportError, match=what):
                read(literal)
            with pytest.raises(TransportError, match=what):
                write(config)


def test_fifty_levels_and_ten_megabytes_are_fine(trip):
    deep: dict = {"end": None}
    for _ in range(50):
        deep = {"k": deep, "l": [deep.get("end", 1)]}
    large = {f"key{n}": "x" * 1000 for n in range(10_500)}

    assert trip(OmegaConf.create(deep)) == deep
    found = trip(OmegaConf.create(large))
    assert len(found) == 10_500
    assert found.key10499 == "x" * 1000


fuzz = settings(
    max_examples=int(os.environ.get("HYDRAFLYTE_TRANSPORT_EXAMPLES", "1000")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def assert_error_or_config(packed, read):
    """Read what may be anything; the config that comes out, if one does, is of use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransportWarning)
        try:
            found = read(binary(packed))
        except (TransportError, TypeTransformerFailedError):  # the latter for a config of another kind
            return

    assert isinstance(found, DictConfig)
    assert repr(found)


plain_data = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.floats(), st.text(max_size=3), st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", 0, 1, "root"]), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(["any", "int", "float", "str", "enum", "literal", "path", "dict", "list", "tuple", "union"])
words = st.sampled_from(["Dict", "List", "Tuple", "Union", "Literal", "class", "enum", "int", "any", "unset", "..."])
types = st.recursive(
    st.one_of(words, plain_data, st.just(["class", __name__, "Conf"])), lambda inner: st.lists(inner, max_size=4)
)
numbers = st.one_of(st.integers(-1, 4), plain_data)
tables = st.one_of(st.dictionaries(st.sampled_from(["a", "b", 0, 1, "0"]), numbers, max_size=2), plain_data)
shapes = st.fixed_dictionaries(
    {"node": st.one_of(names, plain_data)},
    optional={
        "type": types,
        "ref_type": types,
        "object_type": types,
        "key_type": types,
        "element_type": types,
        "optional": plain_data,
        "flags": st.one_of(st.dictionaries(st.sampled_from(["readonly", "x"]), st.booleans(), max_size=1), plain_data),
        "fields": tables,
        "names": tables,
        "each": numbers,
        "inner": numbers,
        "pairs": plain_data,
        "value": st.one_of(st.sampled_from(["path", "int", "text", "enum", "escaped", "interpolation"]), plain_data),
        "enum": st.one_of(st.just([__name__, "Shade"]), plain_data),
        "name": st.one_of(st.just("DARK"), plain_data),
        "text": st.one_of(st.just("${a}"), plain_data),
    },
)


@fuzz
@given(tree=plain_data, found=st.lists(st.one_of(shapes, shapes, plain_data), max_size=4), root=numbers)
def test_any_forged_shapes_are_an_error_or_a_config(tree, found, root, read):
    envelope = {"form": 1, "root": root, "shapes": found}
    forged = {"__hydraflyte__": {**envelope, "tree": tree}}
    if isinstance(tree, dict):
        forged = {**tree, "__hydraflyte__": envelope}

    assert_error_or_config(msgpack.packb(forged), read)


@fuzz
@given(data=st.data())
def test_any_damage_to_a_literal_is_an_error_or_a_config(data, read, write):
    config = OmegaConf.structured(Conf)
    config._set_flag("struct", False)
    config.more = {1: None, "e": Shade.DARK, "i": "${value}", "n": 2**70}
    packed = bytearray(write(config).scalar.binary.value)
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))

    assert_error_or_config(bytes(packed), read)
