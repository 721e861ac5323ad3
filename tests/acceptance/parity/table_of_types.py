"""Cases of values: every type that flytekit can send, as an input, from task to task, and as an output."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import parity_frames
import parity_values
import pyarrow as pa
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from google.protobuf.struct_pb2 import Struct
from parity_values import Colour, Layer, Network, Plain, Rate, Settings, WithFile
from tests.acceptance.parity.cases import Case

NOON = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
PIXEL = b"\x89PNG\r\n\x1a\n"


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def csv_folder(folder: Path) -> str:
    written(folder, "data/one.csv", "1")
    written(folder, "data/two.csv", "2")
    return str(folder / "data")


def message(**fields: float | str) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct


def network() -> Network:
    return Network(
        layers=[Layer(1), Layer(2, 0.5, ["a", "b"])],
        best=Layer(3),
        by_name={"x": Layer(4)},
        colour=Colour.BLUE,
        note="said",
        made_at=datetime(2026, 1, 2, tzinfo=timezone.utc),
        number="seven",
    )


NETWORK = {
    "layers": [{"width": 1, "scale": 1.0, "names": []}, {"width": 2, "scale": 0.5, "names": ["a", "b"]}],
    "best": {"width": 3, "scale": 1.0, "names": []},
    "by_name": {"x": {"width": 4, "scale": 1.0, "names": []}},
    "colour": Colour.BLUE,
    "note": "said",
    "made_at": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "number": "seven",
}
FRAME = {"name": ["row 0", "row 1", "row 2"], "number": [0, 1, 2]}

VALUES = (
    Case(
        name="an integer larger than a float can hold",
        covers=("primitives",),
        workflow=parity_values.integers,
        inputs={"x": 2**53 + 1},
        outputs={"o0": 9007199254740993},
    ),
    Case(
        name="a float",
        covers=("primitives",),
        workflow=parity_values.floats,
        inputs={"x": 0.1},
        outputs={"o0": 0.1},
    ),
    Case(
        name="a boolean",
        covers=("primitives",),
        workflow=parity_values.booleans,
        inputs={"x": False},
        outputs={"o0": False},
    ),
    Case(
        name="a text with quotes and line ends",
        covers=("primitives",),
        workflow=parity_values.texts,
        inputs={"x": "é \"'{}\n\t☃ $x {{.inputs.x}}"},
        outputs={"o0": "é \"'{}\n\t☃ $x {{.inputs.x}}"},
    ),
    Case(
        name="an empty text", covers=("primitives",), workflow=parity_values.texts, inputs={"x": ""}, outputs={"o0": ""}
    ),
    Case(
        name="an instant in another time zone",
        covers=("datetime, date, timedelta",),
        workflow=parity_values.instants,
        inputs={"x": NOON},
        outputs={"o0": datetime(2026, 3, 1, 7, 0, 15, 123456, tzinfo=timezone.utc)},
    ),
    Case(
        name="a date",
        covers=("datetime, date, timedelta",),
        workflow=parity_values.dates,
        inputs={"x": date(2024, 2, 29)},
        outputs={"o0": date(2024, 2, 29)},
    ),
    Case(
        name="a negative duration",
        covers=("datetime, date, timedelta",),
        workflow=parity_values.durations,
        inputs={"x": timedelta(days=-3, microseconds=1)},
        outputs={"o0": timedelta(days=-3, microseconds=1)},
    ),
    Case(
        name="an enum",
        covers=("enums",),
        workflow=parity_values.enums,
        inputs={"x": Colour.BLUE},
        outputs={"o0": Colour.BLUE},
    ),
    Case(
        name="an enum that may be absent",
        covers=("enums", "unions"),
        workflow=parity_values.optional_enums,
        inputs={"x": None},
        outputs={"o0": None},
    ),
    Case(
        name="a dataclass of dataclasses",
        covers=("dataclasses",),
        workflow=parity_values.dataclasses,
        inputs={"x": network()},
        outputs={"o0": NETWORK},
    ),
    Case(
        name="a dataclass whose fields are absent",
        covers=("dataclasses",),
        workflow=parity_values.dataclasses,
        inputs={"x": Network(layers=[])},
        outputs={
            "o0": {
                "layers": [],
                "best": None,
                "by_name": {},
                "colour": Colour.RED,
                "note": None,
                "made_at": None,
                "number": 0,
            }
        },
    ),
    Case(
        name="a pydantic model",
        covers=("pydantic",),
        workflow=parity_values.models,
        inputs={
            "x": Settings(
                rate=Rate(start=0.1, steps=7),
                colour=Colour.BLUE,
                tags=["t"],
                warm_up=Rate(start=1),
                others={"slow": Rate(start=0.01)},
            )
        },
        outputs={
            "o0": {
                "rate": {"start": 0.1, "steps": 7},
                "colour": Colour.BLUE,
                "tags": ["t"],
                "warm_up": {"start": 1.0, "steps": 1},
                "others": {"slow": {"start": 0.01, "steps": 1}},
            }
        },
    ),
    Case(
        name="a list of lists",
        covers=("lists and dicts",),
        workflow=parity_values.lists,
        inputs={"x": [[1], [], [2, 3]]},
        outputs={"o0": [[1], [], [2, 3]]},
    ),
    Case(
        name="an empty list",
        covers=("lists and dicts",),
        workflow=parity_values.lists,
        inputs={"x": []},
        outputs={"o0": []},
    ),
    Case(
        name="a dict of lists",
        covers=("lists and dicts",),
        workflow=parity_values.dicts,
        inputs={"x": {"a": [0.5], "b": []}},
        outputs={"o0": {"a": [0.5], "b": []}},
    ),
    Case(
        name="a dict of anything",
        covers=("JSON",),
        workflow=parity_values.json_objects,
        inputs={"x": {"a": [1, "two", None, {"b": 1.5}], "c": True}},
        outputs={"o0": {"a": [1, "two", None, {"b": 1.5}], "c": True}},
    ),
    Case(
        name="a dict with integer keys",
        covers=("JSON",),
        workflow=parity_values.integer_keys,
        inputs={"x": {1: "one", 2: "two"}},
        outputs={"o0": {1: "one", 2: "two"}},
    ),
    Case(
        name="an optional that is given and one that is not",
        covers=("unions", "unions and optionals"),
        workflow=parity_values.optionals,
        inputs={"x": 3},
        outputs={"o0": 3, "o1": None},
    ),
    Case(
        name="a union of an integer and a dataclass",
        covers=("unions", "unions and optionals"),
        workflow=parity_values.unions,
        inputs={"a": 1, "b": Layer(2)},
        outputs={"o0": 1, "o1": {"width": 2, "scale": 1.0, "names": []}},
    ),
    Case(
        name="a union of a text and a list",
        covers=("unions", "unions and optionals"),
        workflow=parity_values.unions,
        inputs={"a": "one", "b": [2]},
        outputs={"o0": "one", "o1": [2]},
    ),
    Case(
        name="a list of unions",
        covers=("unions",),
        workflow=parity_values.lists_of_unions,
        inputs={"x": [1, "two", None]},
        outputs={"o0": [1, "two", None]},
    ),
    Case(
        name="dicts of lists of dataclasses",
        covers=("dataclasses", "lists and dicts"),
        workflow=parity_values.nested_containers,
        inputs={"x": {"a": [network()], "b": []}},
        outputs={"o0": {"a": [NETWORK], "b": []}},
    ),
    Case(
        name="named outputs",
        covers=("named outputs",),
        workflow=parity_values.named_outputs,
        inputs={"x": 5},
        outputs={"o0": "5 5 5", "o1": {"width": 5, "scale": 1.0, "names": []}},
    ),
    Case(
        name="a file with a format",
        covers=("FlyteFile",),
        workflow=parity_values.files,
        inputs=lambda folder: {"x": written(folder, "in.txt", "in a file")},
        outputs={"o0": "in a file"},
    ),
    Case(
        name="an image",
        covers=("FlyteFile",),
        workflow=parity_values.images,
        inputs=lambda folder: {"x": written(folder, "in.png", PIXEL)},
        outputs={"o0": PIXEL.decode(errors="replace")},
    ),
    Case(
        name="a file made by a task",
        covers=("FlyteFile",),
        workflow=parity_values.made_files,
        inputs={"text": "made\n"},
        outputs={"o0": "made\n", "o1": "made\n"},
    ),
    Case(
        name="a path",
        covers=("pickle",),
        workflow=parity_values.paths,
        inputs=lambda folder: {"x": Path(written(folder, "in.txt", "at a path"))},
        outputs={"o0": "at a path"},
    ),
    Case(
        name="a list of files",
        covers=("FlyteFile",),
        workflow=parity_values.lists_of_files,
        inputs=lambda folder: {"x": [written(folder, "1.txt", "one"), written(folder, "2.txt", "two")]},
        outputs={"o0": ["one", "two"]},
    ),
    Case(
        name="a file in a dataclass",
        covers=("FlyteFile", "dataclasses"),
        workflow=parity_values.files_in_dataclasses,
        inputs=lambda folder: {"x": WithFile(FlyteFile(path=written(folder, "in.txt", "ab")), 2)},
        outputs={"o0": "abab"},
    ),
    Case(
        name="a directory",
        covers=("FlyteDirectory",),
        workflow=parity_values.directories,
        inputs=lambda folder: {"x": FlyteDirectory(path=csv_folder(folder))},
        outputs={"o0": {"one.csv": "1", "two.csv": "2"}},
    ),
    Case(
        name="a directory with a format",
        covers=("FlyteDirectory",),
        workflow=parity_values.typed_directories,
        inputs=lambda folder: {"x": csv_folder(folder)},
        outputs={"o0": ["1", "2"]},
    ),
    Case(
        name="a directory of directories made by a task",
        covers=("FlyteDirectory",),
        workflow=parity_values.made_directories,
        outputs={"o0": ["deep/two.txt=2", "one.txt=1"], "o1": {"deep/two.txt": "2", "one.txt": "1"}},
    ),
    Case(
        name="an array",
        covers=("numpy",),
        workflow=parity_values.arrays,
        inputs={"x": np.arange(6).reshape(2, 3)},
        outputs={"o0": [[0, 4, 8], [12, 16, 20]]},
    ),
    Case(
        name="an object of a class unknown to Flyte",
        covers=("pickle",),
        workflow=parity_values.pickles,
        inputs={"x": Plain(7)},
        outputs={"o0": Plain(7)},
    ),
    Case(
        name="a pickle by name",
        covers=("pickle",),
        workflow=parity_values.flyte_pickles,
        inputs={"x": Plain(8)},
        outputs={"o0": Plain(8)},
    ),
    Case(
        name="a value of any type",
        covers=("pickle",),
        workflow=parity_values.anything,
        inputs={"x": {1, 2}},
        outputs={"o0": {1, 2}},
    ),
    Case(
        name="a protobuf message",
        covers=("protobuf",),
        workflow=parity_values.messages,
        inputs={"x": message(a=1.5, b="c")},
        outputs={"o0": {"a": 1.5, "b": "c"}},
    ),
    Case(
        name="an iterator over JSON",
        covers=("iterators", "JSON"),
        workflow=parity_values.json_iterators,
        inputs={"n": 2},
        outputs={"o0": [{"seen": {"number": 0}}, {"seen": {"number": 1}}]},
    ),
    Case(
        name="an iterator over files",
        covers=("iterators", "FlyteFile"),
        workflow=parity_values.file_iterators,
        inputs=lambda folder: {"x": [written(folder, "1.txt", "one"), written(folder, "2.txt", "two")]},
        outputs={"o0": ["one", "two"]},
    ),
    Case(
        name="an annotated integer",
        covers=("annotated types",),
        workflow=parity_values.annotated,
        inputs={"x": 4},
        outputs={"o0": 4},
    ),
    Case(
        name="a value with a hash of its own",
        covers=("annotated types", "cache: hashes of literals"),
        workflow=parity_values.hashed,
        inputs={"x": "quiet"},
        outputs={"o0": "quiet"},
    ),
)

FRAMES = (
    Case(
        name="a pandas frame",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.pandas_frames,
        inputs={"x": pd.DataFrame(FRAME)},
        outputs={"o0": FRAME},
    ),
    Case(
        name="a pandas frame made by a task",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.made_frames,
        inputs={"n": 3},
        outputs={"o0": FRAME},
    ),
    Case(
        name="a structured dataset",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.datasets,
        inputs={"n": 3},
        outputs={"o0": {"name": ["row 0", "row 1", "row 2"], "number": [0, 4, 8]}},
    ),
    Case(
        name="one column of a structured dataset",
        covers=("StructuredDataset and FlyteSchema", "annotated types"),
        workflow=parity_frames.columns,
        inputs={"n": 3},
        outputs={"o0": 3},
    ),
    Case(
        name="an arrow table",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.arrow_tables,
        inputs={"x": pa.table(FRAME)},
        outputs={"o0": {"name": ["row 2"], "number": [2]}},
    ),
    Case(
        name="a polars frame",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.polars_frames,
        inputs={"n": 3},  # as an input, flytekitplugins-polars 1.16 sends it without an address
        outputs={"o0": {"name": ["row 0", "row 1", "row 2"], "number": [2, 3, 4]}},
    ),
    Case(
        name="a pandas frame read as arrow and as polars",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.one_as_another,
        inputs={"n": 3},
        outputs={"o0": 3, "o1": {"name": ["row 0", "row 1", "row 2"], "number": [1, 2, 3]}},
    ),
    Case(
        name="a schema",
        covers=("StructuredDataset and FlyteSchema",),
        workflow=parity_frames.schemas,
        inputs={"n": 2},
        outputs={"o0": {"name": ["row 0", "row 1"], "number": [100, 101]}},
    ),
)

TYPES = (*VALUES, *FRAMES)
