"""The manifest of a sweep: what is written is read, whole, whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from hydraflyte.errors import SweepError
from hydraflyte.launcher.records.manifest import Manifest, ManifestJob, read_manifest, write_manifest

JOB = ManifestJob(number=0, overrides=("x=1",), inputs_digest="aa", executions=("wf-k1-0",))
MANIFEST = Manifest(
    sweep_id="k1",
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    endpoint="unix:/s",
    project="p",
    domain="d",
    workflow="train.wf",
    version="main-1a2b",
    command=("train.py", "-m", "x=1"),
    jobs=(JOB,),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, MANIFEST)

    assert path == tmp_path / "sweep.json"
    assert read_manifest(path) == MANIFEST
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.json"]


def test_a_job_that_is_submitted_anew_gets_a_further_name() -> None:
    anew = replace(JOB, executions=("wf-k1-0", "wf-k1-0-r1"))
    further = ManifestJob(number=1, overrides=("x=2",), inputs_digest="bb", executions=("wf-k1-1",))

    jobs = MANIFEST.with_jobs({1: further, 0: anew}).jobs

    assert jobs == (anew, further)


def test_the_manifest_of_another_sweep_is_kept(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)

    write_manifest(tmp_path, replace(MANIFEST, sweep_id="k2"))

    assert read_manifest(tmp_path / "sweep-k1.json").sweep_id == "k1"
    assert read_manifest(tmp_path / "sweep.json").sweep_id == "k2"


def test_a_manifest_that_cannot_be_written_leaves_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_manifest(tmp_path, MANIFEST)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_manifest(tmp_path, MANIFEST.with_jobs({1: replace(JOB, number=1)}))

    assert read_manifest(path) == MANIFEST
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "jobs": [{}]}'])
def test_a_damaged_manifest_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.json"
    path.write_text(text)

    with pytest.raises(SweepError, match="is no manifest of a sweep"):
        read_manifest(path)


def test_a_manifest_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, MANIFEST)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))

    with pytest.raises(SweepError, match="written by another version of hydraflyte"):
        read_manifest(path)
