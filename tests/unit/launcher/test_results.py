"""A row for every job, in three formats."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from hydraflyte.launcher.records.results import ResultRow, to_csv, to_json, to_parquet, write_results

ROWS = [
    ResultRow(
        number=0,
        overrides=("+lr=0.1", "model/size=big"),
        phase="SUCCEEDED",
        duration=timedelta(seconds=1.5),
        outputs={"o0": {"loss": float("nan"), "curve": [1, 2]}},
        execution="wf-k1-0",
        link="http://c/0",
    ),
    ResultRow(number=1, overrides=("+lr=0.2",), phase="FAILED", error='ValueError: "a", b'),
]


def test_a_table_has_a_column_for_every_key_of_any_job() -> None:
    assert to_csv(ROWS) == (
        "job,phase,duration_s,overrides.lr,overrides.model/size,outputs.o0.loss,outputs.o0.curve,execution,link,error\n"
        '0,SUCCEEDED,1.5,0.1,big,nan,"[1, 2]",wf-k1-0,http://c/0,\n'
        '1,FAILED,,0.2,,,,,,"ValueError: ""a"", b"\n'
    )


def test_json_keeps_the_trees_and_is_strict() -> None:
    first, second = json.loads(to_json(ROWS))

    assert first["outputs"] == {"o0": {"loss": "nan", "curve": [1, 2]}}
    assert first["overrides"] == {"lr": "0.1", "model/size": "big"}
    assert second["duration_s"] is None


@pytest.mark.parametrize(
    ("values", "column", "kind"),
    [
        pytest.param([1, "a"], ["1", "a"], "string", id="of mixed kinds"),
        pytest.param([1, None], [1, None], "int64", id="of whole numbers"),
        pytest.param([1, 0.5], [1.0, 0.5], "double", id="of numbers"),
        pytest.param([math.inf, 0.5], [math.inf, 0.5], "double", id="of numbers that JSON does not know"),
        pytest.param([2**70, 1], ["1180591620717411303424", "1"], "string", id="of numbers beyond 64 bits"),
        pytest.param([True, False], [True, False], "bool", id="of truths"),
        pytest.param(["2026-01-01", "a\nb"], ["2026-01-01", "a\nb"], "string", id="of texts that look like dates"),
        pytest.param([[1, 2], []], [[1, 2], []], "list<item: int64>", id="of lists"),
        pytest.param([[1, "a"], [2]], ['[1, "a"]', "[2]"], "string", id="of lists of mixed kinds"),
        pytest.param([None, None], [None, None], "string", id="without values"),
    ],
)
def test_parquet_takes_columns(values: list[object], column: list[object], kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [ResultRow(number=n, overrides=(), phase="SUCCEEDED", outputs={"o0": v}) for n, v in enumerate(values)]

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(rows)))

    assert table["outputs.o0"].to_pylist() == column
    assert str(table.schema.field("outputs.o0").type).replace("element", "item") == kind
    assert table["job"].to_pylist() == [0, 1]


def test_parquet_is_written_without_importing_pandas() -> None:
    program = (
        "import sys; from hydraflyte.launcher.records.results import ResultRow, to_parquet;"
        "to_parquet([ResultRow(number=0, overrides=('lr=1',), phase='SUCCEEDED', outputs={'o0': 0.5})]);"
        "print('pandas' in sys.modules)"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"


def test_rows_are_written_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    paths = write_results(tmp_path, [ROWS[1], ROWS[0]])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json", "results.parquet"]
    assert [path.name for path in paths] == ["results.csv", "results.json", "results.parquet"]
    assert [row["job"] for row in json.loads(paths[1].read_text())] == [0, 1]


def test_a_pyarrow_that_cannot_be_imported_costs_no_results(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    (tmp_path / "sweep").mkdir()
    program = (
        "from pathlib import Path; from hydraflyte.launcher.records.results import ResultRow, write_results;"
        "paths = write_results(Path('sweep'), [ResultRow(number=0, overrides=(), phase='SUCCEEDED')]);"
        "print(*paths)"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)

    assert ended.stdout == "sweep/results.csv sweep/results.json\n", ended.stderr
