from __future__ import annotations

from datetime import datetime, timedelta, timezone

import msgpack
import pytest
from flyteidl.core.literals_pb2 import Binary, Blob, Literal, LiteralMap, Primitive, Scalar, Schema, Union
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from tests.unit.backend.workflows import literal, literals

from hydraflyte.backend.engine.templates import (
    TemplateError,
    TemplateValues,
    asks_for_task_template,
    duration_text,
    render,
)


def values(inputs: LiteralMap | None = None, *, prev: str = "", name: str = "e1-n0-0") -> TemplateValues:
    return TemplateValues(
        input="/d/inputs.pb",
        input_prefix="/d",
        output_prefix="/d/0",
        raw_output_prefix="/raw",
        checkpoint_prefix="/raw/_flytecheckpoints",
        prev_checkpoint_prefix=prev,
        generated_name=name,
        task_template_path="/d/task.pb",
        namespace="p-d",
        inputs=inputs or LiteralMap(),
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.input}}", "/d/inputs.pb"),
        ("{{ .Input }}", "/d/inputs.pb"),
        ("{{$input}}", "/d/inputs.pb"),
        ("{{.inputPrefix}}", "/d"),
        ("{{.INPUTPREFIX}}", "/d"),
        ("{{.outputPrefix}}/x", "/d/0/x"),
        ("{{.rawOutputDataPrefix}}", "/raw"),
        ("{{.checkpointOutputPrefix}}", "/raw/_flytecheckpoints"),
        ("{{.prevCheckpointPrefix}}", '""'),
        ("{{.perRetryUniqueKey}}", "e1_n0_0"),
        ("{{.taskTemplatePath}}", "/d/task.pb"),
        ("{{.namespace}}", "p-d"),
        ("{{.unknown}} {{ .input", "{{.unknown}} {{ .input"),
        ("{{.input}}:{{.namespace}}", "/d/inputs.pb:p-d"),
    ],
)
def test_variables_are_replaced_in_any_case_and_unknown_ones_left_alone(template: str, text: str) -> None:
    assert render([template], values()) == (text,)


def test_an_earlier_checkpoint_is_passed_on() -> None:
    assert render(["{{.prevCheckpointPrefix}}"], values(prev="/old")) == ("/old",)


def test_a_unique_key_begins_with_a_letter() -> None:
    assert render(["{{.perRetryUniqueKey}}"], values(name="1-2e-3")) == ("ae_3",)


def scalar(**value: object) -> Literal:
    return Literal(scalar=Scalar(**value))  # type: ignore[arg-type]  # one of Scalar's own fields


def timestamp(at: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(at)
    return message


def plain_struct() -> Struct:
    struct = Struct()
    struct.update({"a": "b"})
    return struct


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (literal(3), "3"),
        (literal(1.5), "1.5"),
        (literal(2.0), "2"),
        (literal(1e20), "100000000000000000000"),
        (literal(1e21), "1e+21"),
        (literal(1e-7), "1e-07"),
        (literal(True), "true"),
        (literal("s t"), "s t"),
        (literal([1, 2]), "[1,2]"),
        (literal([]), "[]"),
        (
            scalar(primitive=Primitive(datetime=timestamp(datetime(2026, 1, 2, tzinfo=timezone.utc)))),
            "2026-01-02T00:00:00Z",
        ),
        (scalar(primitive=Primitive(duration=Duration(seconds=90))), "1m30s"),
        (scalar(blob=Blob(uri="/a/b")), "/a/b"),
        (scalar(schema=Schema(uri="/s")), "/s"),
        (scalar(generic=plain_struct()), '{"a": "b"}'),
        (scalar(binary=Binary(value=msgpack.packb({"a": 1}), tag="msgpack")), "{'a': 1}"),
        (scalar(union=Union(value=literal(4))), "4"),
    ],
)
def test_inputs_are_written_as_text(value: Literal, text: str) -> None:
    assert render(["--x={{.inputs.x}}"], values(LiteralMap(literals={"x": value}))) == (f"--x={text}",)


def test_names_of_inputs_keep_their_case() -> None:
    assert render(["{{.Inputs.Foo}}"], values(literals(Foo=1, foo=2))) == ("1",)


@pytest.mark.parametrize(
    "value", [Literal(map=literals(a=1)), Literal(), scalar(binary=Binary(value=b"x")), literal(None)]
)
def test_values_without_a_text_are_refused(value: Literal) -> None:
    with pytest.raises(TemplateError, match="asks for the input 'x'"):
        render(["{{.inputs.x}}"], values(LiteralMap(literals={"x": value})))


def test_a_missing_input_is_refused() -> None:
    with pytest.raises(TemplateError, match="asks for the input 'y', which is not bound"):
        render(["{{.inputs.y}}"], values(literals(x=1)))


def test_only_those_who_ask_get_the_task_template() -> None:
    assert asks_for_task_template(["a", "{{ .TaskTemplatePath }}"])
    assert not asks_for_task_template(["{{.input}}"])


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(microseconds=1), "1µs"),
        (timedelta(milliseconds=1500), "1.5s"),
        (timedelta(milliseconds=12), "12ms"),
        (timedelta(minutes=1), "1m0s"),
        (timedelta(hours=26, seconds=1), "26h0m1s"),
        (-timedelta(seconds=5), "-5s"),
    ],
)
def test_durations_read_as_in_go(duration: timedelta, text: str) -> None:
    message = Duration()
    message.FromTimedelta(duration)

    assert duration_text(message) == text
