"""Outputs are compared by value, files by content, and what cannot be seen is not judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.json_format import ParseDict

from hydraflyte.launcher.reproduction.comparison import Verdict, compare


def value(number: float | str) -> dict[str, object]:
    return {"scalar": {"primitive": {"floatValue": number}}}


def file(uri: object) -> dict[str, object]:
    return {"scalar": {"blob": {"uri": str(uri)}}}


def verdict(before: dict[str, object], now: dict[str, object]) -> Verdict:
    old, new = (LiteralMap(literals={"o": ParseDict(each, Literal())}) for each in (before, now))
    (compared,) = compare(old, new)
    return compared.verdict


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (value(1.0), value(1.0), Verdict.SAME),
        (value(1.0), value(1.5), Verdict.DIFFERENT),
        (value("NaN"), value("NaN"), Verdict.SAME),
        (value(1.0), {"collection": {"literals": [value(1.0)]}}, Verdict.DIFFERENT),
        ({**value(1.0), "hash": "a"}, {**value(1.0), "hash": "b"}, Verdict.SAME),
        ({"collection": {"literals": [value(1)]}}, {"collection": {"literals": []}}, Verdict.DIFFERENT),
        ({"map": {"literals": {"a": value(1)}}}, {"map": {"literals": {"b": value(1)}}}, Verdict.DIFFERENT),
        (file("s3://b/1"), file("s3://b/2"), Verdict.UNKNOWN),
        (file("s3://b/1"), file("s3://b/1"), Verdict.SAME),
        (file("/nowhere/1"), file("/nowhere/2"), Verdict.UNKNOWN),
        (
            {"collection": {"literals": [file("s3://b/1"), value(1)]}},
            {"collection": {"literals": [file("s3://b/2"), value(2)]}},
            Verdict.DIFFERENT,
        ),
        (
            {"scalar": {"union": {"value": file("s3://b/1")}}},
            {"scalar": {"union": {"value": file("s3://b/2")}}},
            Verdict.UNKNOWN,
        ),
    ],
)
def test_outputs_are_compared(before: dict[str, object], now: dict[str, object], expected: Verdict) -> None:
    assert verdict(before, now) is expected


def test_files_of_this_machine_are_compared_by_their_content(tmp_path: Path) -> None:
    for name, content in {"a": "1", "b": "1", "c": "2"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)

    assert verdict(file(tmp_path / "a"), file(tmp_path / "b")) is Verdict.SAME
    assert verdict(file(tmp_path / "a"), file(tmp_path / "c")) is Verdict.DIFFERENT
    assert verdict(file(tmp_path / "a" / "file"), file(tmp_path / "b" / "file")) is Verdict.SAME


def test_an_output_that_only_one_has_is_different() -> None:
    (compared,) = compare(LiteralMap(literals={"o": ParseDict(value(1), Literal())}), LiteralMap())

    assert (compared.verdict, compared.text) == (Verdict.DIFFERENT, "only then")
