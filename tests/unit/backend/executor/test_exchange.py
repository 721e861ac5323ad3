"""What Flyte's copilot does: inputs become files, files become outputs, and what it cannot do fails."""

from __future__ import annotations

import json

import pytest
import yaml
from flyteidl.core.interface_pb2 import VariableMap
from flyteidl.core.literals_pb2 import (
    Binary,
    Blob,
    BlobMetadata,
    Literal,
    LiteralCollection,
    LiteralMap,
    Primitive,
    Scalar,
    Schema,
    Void,
)
from flyteidl.core.tasks_pb2 import DataLoadingConfig
from flyteidl.core.types_pb2 import BlobType, LiteralType, SchemaType, SimpleType
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from hydraflyte.backend.executor.exchange import ExchangeError, collect, fill

CONFIG = DataLoadingConfig(enabled=True, input_path="/var/inputs", output_path="/var/outputs")


def primitive(**value):
    return Literal(scalar=Scalar(primitive=Primitive(**value)))


def moment(text):
    made = primitive()
    made.scalar.primitive.datetime.FromJsonString(text)
    return made


def span(text):
    made = primitive()
    made.scalar.primitive.duration.FromJsonString(text)
    return made


def filled(folder, **literals):
    return fill(LiteralMap(literals=literals), CONFIG, folder)


def collected(folder, raw, **kinds):
    outputs = VariableMap()
    for name, kind in kinds.items():
        outputs.variables[name].type.CopyFrom(kind if isinstance(kind, LiteralType) else LiteralType(simple=kind))
    return collect(outputs, folder, str(raw))


@pytest.mark.parametrize(
    ("literal", "content", "in_json"),
    [
        (primitive(integer=-7), "-7", -7),
        (primitive(float_value=3.0), "3", 3.0),
        (primitive(float_value=1e-7), "0.0000001", 1e-7),
        (primitive(string_value="a b\n"), "a b\n", "a b\n"),
        (primitive(boolean=False), "false", False),
        (moment("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        (span("90s"), "1m30s", None),
        (Literal(scalar=Scalar(none_type=Void())), "null", None),
        (Literal(scalar=Scalar(generic=ParseDict({"a": [1, "b"]}, Struct()))), '{"a": [1.0, "b"]}', {"a": [1.0, "b"]}),
        (Literal(scalar=Scalar(binary=Binary(value=b"\x00\x01"))), "\x00\x01", "AAE="),
    ],
)
def test_a_value_is_a_file_of_its_text_and_a_value_in_json(tmp_path, literal, content, in_json):
    mounts = filled(tmp_path, x=literal)

    assert mounts == ()
    assert (tmp_path / "x").read_text() == content
    assert json.loads((tmp_path / "inputs.json").read_text()) == {"x": in_json}
    assert LiteralMap.FromString((tmp_path / "inputs.pb").read_bytes()).literals["x"] == literal


def test_files_are_mounted_under_their_names_and_the_literals_say_so(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "data").write_text("1")
    metadata = BlobMetadata(type=BlobType(format="csv"))
    file = Literal(scalar=Scalar(blob=Blob(uri=str(tmp_path / "data"), metadata=metadata)))
    several = Literal(collection=LiteralCollection(literals=[primitive(integer=1), file]))

    mounts = filled(tmp_path / "in", file=file, several=several)

    assert mounts == (
        (str(tmp_path / "data"), "/var/inputs/file"),
        (str(tmp_path / "data"), "/var/inputs/several/1"),
    )
    assert (tmp_path / "in/several/0").read_text() == "1"
    inside = LiteralMap.FromString((tmp_path / "in/inputs.pb").read_bytes())
    assert inside.literals["file"].scalar.blob == Blob(uri="/var/inputs/file", metadata=metadata)
    assert json.loads((tmp_path / "in/inputs.json").read_text()) == {
        "file": "/var/inputs/file",
        "several": [1, "/var/inputs/several/1"],
    }


def test_the_inputs_may_be_wanted_as_yaml(tmp_path):
    config = DataLoadingConfig(enabled=True, input_path="/in", format=DataLoadingConfig.YAML)

    fill(LiteralMap(literals={"x": primitive(integer=7)}), config, tmp_path)

    assert yaml.safe_load((tmp_path / "inputs.yaml").read_text()) == {"x": 7}
    assert not (tmp_path / "inputs.json").exists()


@pytest.mark.parametrize(
    ("name", "literal", "text"),
    [
        ("x", Literal(scalar=Scalar(schema=Schema(uri="/x"))), "unsupported scalar type [schema]"),
        ("x", Literal(scalar=Scalar(blob=Blob(uri="s3://bucket/x"))), "Failed to download from ref [s3://bucket/x]"),
        ("x", Literal(scalar=Scalar(blob=Blob(uri="/no/such/file"))), "Failed to download from ref [/no/such/file]"),
        ("x", Literal(), "unsupported literal type [None]"),
        ("../x", primitive(integer=1), "'../x' is no name for a file"),
    ],
)
def test_what_cannot_be_handed_over_is_named(tmp_path, name, literal, text):
    with pytest.raises(ExchangeError) as caught:
        filled(tmp_path, **{name: literal})

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (SimpleType.INTEGER, "42\n", primitive(integer=42)),
        (SimpleType.FLOAT, "2.5e3", primitive(float_value=2500.0)),
        (SimpleType.STRING, " a b\n", primitive(string_value="a b")),
        (SimpleType.BOOLEAN, "T", primitive(boolean=True)),
        (SimpleType.BOOLEAN, "0", primitive(boolean=False)),
        (SimpleType.DATETIME, "2026-01-02T03:04:05Z", moment("2026-01-02T03:04:05Z")),
        (SimpleType.DURATION, "-1h30m0.5s", span("-5400.5s")),
        (SimpleType.NONE, "", Literal(scalar=Scalar(none_type=Void()))),
        (SimpleType.STRUCT, '{"a": 1}', Literal(scalar=Scalar(generic=ParseDict({"a": 1}, Struct())))),
    ],
)
def test_a_file_is_read_as_the_outputs_type(tmp_path, kind, content, expected):
    (tmp_path / "y").write_text(content)

    assert collected(tmp_path, tmp_path / "raw", y=kind).literals["y"] == expected


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (SimpleType.INTEGER, "many", "y holds no INTEGER: 'many'"),
        (SimpleType.INTEGER, "1_000", "y holds no INTEGER"),
        (SimpleType.INTEGER, "9" * 30, "y holds no INTEGER"),
        (SimpleType.BOOLEAN, "yes", "y holds no BOOLEAN: 'yes'"),
        (SimpleType.DURATION, "5 minutes", "y holds no DURATION"),
        (SimpleType.DATETIME, "yesterday", "y holds no DATETIME"),
        (SimpleType.STRUCT, "{", "y holds no STRUCT"),
        (SimpleType.STRING, "x" * 1025, "maximum allowed filesize is [1024], but found [1025]"),
    ],
)
def test_a_file_that_is_not_of_the_outputs_type_is_named(tmp_path, kind, content, text):
    (tmp_path / "y").write_text(content)

    with pytest.raises(ExchangeError) as caught:
        collected(tmp_path, tmp_path / "raw", y=kind)

    assert text in str(caught.value)


def test_a_file_may_have_an_extension_and_moves_to_the_raw_data(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/y.csv").write_text("1,2")

    found = collected(tmp_path / "out", tmp_path / "raw", y=LiteralType(blob=BlobType())).literals["y"].scalar.blob

    assert found.uri == str(tmp_path / "raw/y")
    assert (tmp_path / "raw/y").read_text() == "1,2"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_becomes_files_beside_one_another(tmp_path):
    (tmp_path / "out/y/deep").mkdir(parents=True)
    (tmp_path / "out/y/a").write_text("a")
    (tmp_path / "out/y/deep/b").write_text("b")

    found = collected(tmp_path / "out", tmp_path / "raw", y=LiteralType(blob=BlobType())).literals["y"].scalar.blob

    assert found.metadata.type.dimensionality == BlobType.MULTIPART
    assert sorted(path.name for path in (tmp_path / "raw/y").iterdir()) == ["a", "b"]


def test_an_error_file_is_the_users_error(tmp_path):
    (tmp_path / "_ERROR").write_text("no data today")

    with pytest.raises(ExchangeError, match="User Error: no data today"):
        collected(tmp_path, tmp_path / "raw", y=SimpleType.INTEGER)


def test_a_missing_output_a_link_and_a_schema_fail(tmp_path):
    (tmp_path / "link").symlink_to("/etc/hostname")

    with pytest.raises(ExchangeError, match="the container left no y"):
        collected(tmp_path, tmp_path / "raw", y=SimpleType.STRING)
    with pytest.raises(ExchangeError, match="what the container left as link is a link"):
        collected(tmp_path, tmp_path / "raw", link=SimpleType.STRING)
    with pytest.raises(ExchangeError, match="currently CoPilot uploader does not support"):
        collected(tmp_path, tmp_path / "raw", y=LiteralType(schema=SchemaType()))
