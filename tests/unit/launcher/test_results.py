"""A row for every job, in three formats."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

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


def test_parquet_takes_columns_of_mixed_kinds() -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [ResultRow(number=n, overrides=(), phase="SUCCEEDED", outputs={"o0": v}) for n, v in enumerate([1, "a"])]

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(rows)))

    assert table["outputs.o0"].to_pylist() == ["1", "a"]
    assert table["job"].to_pylist() == [0, 1]


def test_rows_are_written_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    paths = write_results(tmp_path, [ROWS[1], ROWS[0]])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json", "results.parquet"]
    assert [path.name for path in paths] == ["results.csv", "results.json", "results.parquet"]
    assert [row["job"] for row in json.loads(paths[1].read_text())] == [0, 1]
