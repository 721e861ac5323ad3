"""``results.csv``, ``.json`` and ``.parquet``: one row a job, whatever became of it.

Plain values only: what is no number, text, list or dict stays the URI or the text that the backend has for it. A
table's columns are ``overrides.<key>`` and ``outputs.<name>``, so that no two can collide.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

_FIRST = ("job", "phase", "duration_s")
_LAST = ("execution", "link", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """What became of a job.

    Attributes:
        overrides: without the secrets in them.
        phase: of its execution, by flyteidl's name; ``not started`` if it has none.
        outputs: plain values by name; empty unless it succeeded.
        error: why it did not succeed, else empty.
    """

    number: int
    overrides: tuple[str, ...]
    phase: str
    duration: timedelta | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)  # Any: a JSON-like tree
    execution: str = ""
    link: str = ""
    error: str = ""

    def as_document(self) -> dict[str, Any]:  # Any: a JSON-like tree
        """Return the row as JSON has it."""
        return {
            "job": self.number,
            "overrides": _by_key(self.overrides),
            "outputs": dict(self.outputs),
            "phase": self.phase,
            "duration_s": None if self.duration is None else round(self.duration.total_seconds(), 3),
            "execution": self.execution,
            "link": self.link,
            "error": self.error,
        }

    def as_columns(self) -> dict[str, Any]:  # Any: a value that a table takes
        """Return the row as a table has it: no value is a dict."""
        document = self.as_document()
        overrides = {f"overrides.{key}": text for key, text in document.pop("overrides").items()}
        outputs = {f"outputs.{name}": value for name, value in _flat(document.pop("outputs"))}
        return {**{key: document[key] for key in _FIRST}, **overrides, **outputs, **{k: document[k] for k in _LAST}}


def write_results(folder: Path, rows: Sequence[ResultRow]) -> tuple[Path, ...]:
    """Write the files; returns their paths. ``results.parquet`` is there if pyarrow works."""
    in_order = sorted(rows, key=lambda row: row.number)
    texts = {"results.csv": to_csv(in_order), "results.json": to_json(in_order)}
    for name, text in texts.items():
        _write_whole(folder / name, text.encode())
    paths = [folder / name for name in texts]
    if has_parquet():
        _write_whole(folder / "results.parquet", to_parquet(in_order))
        paths.append(folder / "results.parquet")
    return tuple(paths)


def to_csv(rows: Sequence[ResultRow]) -> str:
    """Return the rows as comma-separated values, a heading first."""
    columns = _columns(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.as_columns().items()} for row in rows)
    return text.getvalue()


def to_json(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a JSON list; numbers that JSON does not know (nan, inf) are texts."""
    return json.dumps([json_safe(row.as_document()) for row in rows], indent=1, allow_nan=False, default=str) + "\n"


def has_parquet() -> bool:
    """Tell whether ``to_parquet`` has what it needs; a pyarrow that cannot be imported is none."""
    if importlib.util.find_spec("pyarrow") is None:
        return False
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:  # made for another numpy, for example
        return False
    return True


def to_parquet(rows: Sequence[ResultRow]) -> bytes:
    """Return the rows as a Parquet file. A column of mixed kinds is one of texts."""
    import pyarrow
    import pyarrow.parquet

    tables = [row.as_columns() for row in rows]
    arrays = {column: _array([table.get(column) for table in tables]) for column in _columns(rows)}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _array(values: list[Any]) -> Any:  # Any: pyarrow has no types
    import pyarrow

    kind = _arrow_type(values)
    if kind is not None:
        try:
            return _read_array(values, kind)
        except ValueError:  # nan and inf, which JSON does not know; numbers beyond 64 bits
            with suppress(pyarrow.ArrowInvalid, OverflowError):
                return pyarrow.array(values, type=kind)
    return _read_array([None if value is None else str(_cell(value)) for value in values], pyarrow.string())


def _read_array(values: list[Any], kind: Any) -> Any:  # Any: pyarrow has no types
    """Return the values as an array, by the reader of JSON: ``pyarrow.array`` imports pandas, which takes a second."""
    import pyarrow.json

    lines = "".join(json.dumps({"_": value}, allow_nan=False) + "\n" for value in values).encode()
    table = pyarrow.json.read_json(
        io.BytesIO(lines),
        read_options=pyarrow.json.ReadOptions(block_size=len(lines) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=pyarrow.schema([("_", kind)])),
    )
    return table.column(0)


def _arrow_type(values: list[Any]) -> Any:  # Any: pyarrow has no types
    """Return the type that all the values have, but for those that are missing; None if there is none."""
    import pyarrow

    present = [value for value in values if value is not None]
    if present and all(isinstance(value, list) for value in present):
        item = _arrow_type([item for value in present for item in value])
        return None if item is None else pyarrow.list_(item)
    types = {type(value) for value in present}
    if types <= {str}:
        return pyarrow.string()
    by_types = {
        frozenset({bool}): pyarrow.bool_(),
        frozenset({int}): pyarrow.int64(),
        frozenset({float}): pyarrow.float64(),
        frozenset({int, float}): pyarrow.float64(),
    }
    return by_types.get(frozenset(types))


def _columns(rows: Sequence[ResultRow]) -> list[str]:
    found = dict.fromkeys(key for row in rows for key in row.as_columns())
    middle = sorted((key for key in found if key not in _FIRST + _LAST), key=lambda key: key.startswith("outputs."))
    return [*_FIRST, *middle, *_LAST]


def _by_key(overrides: Sequence[str]) -> dict[str, str]:
    parts = (override.partition("=") for override in overrides)
    return {key.lstrip("+~"): value for key, _, value in parts}


def _flat(outputs: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in outputs.items():
        if isinstance(value, Mapping) and value:
            flat.extend(_flat(value, f"{prefix}{key}."))
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _cell(value: Any) -> Any:
    return json.dumps(json_safe(value), default=str) if isinstance(value, Mapping | list) else value


def json_safe(value: Any) -> Any:
    """Return a tree that strict JSON can write: nan and inf are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    return [json_safe(item) for item in value] if isinstance(value, list | tuple) else value


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
