"""Notifications from the launcher's config, delivered by the embedded backend and by the launcher itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.hydra.programs import NO_YAML, QUIET, run_program, write_program

pytestmark = pytest.mark.usefixtures("flyte_backend")

_PATIENCE_S = 60.0


def project(tmp_path: Path, source: str) -> Path:
    """A program in a folder of its own: what lies beside it would change its version."""
    folder = tmp_path / "project"
    folder.mkdir()
    return write_program(folder, f"{source}\n# of {tmp_path}\n")


def test_each_job_and_the_sweep_are_told_of(tmp_path: Path) -> None:
    program = write_program(tmp_path, f"{NO_YAML}\n# of {tmp_path}\n")
    each, whole = tmp_path / "each.jsonl", tmp_path / "whole.jsonl"
    notifications = (
        f"[{{type: file, phases: [FAILED], recipients: ['{each}']}},"
        f"{{type: file, recipients: ['{whole}'], once_per_sweep: true}}]"
    )

    result = run_program(program, "-m", "+x=-1,2", f"hydra.launcher.notifications={notifications}")

    assert result.returncode == 1
    (line,) = whole.read_text().splitlines()
    told = json.loads(line)
    assert (told["phase"], told["jobs"], told["succeeded"]) == ("FAILED", 2, 1)
    assert told["others"][0]["overrides"] == ["+x=-1"]
    assert told["text"].endswith("of program.squares FAILED: 1 of 2 jobs succeeded")
    deadline = time.monotonic() + _PATIENCE_S  # the backend delivers after the execution has ended
    while not each.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    messages = each.read_text().splitlines()
    assert len(messages) == 1
    assert "FAILED" in messages[0]


def test_each_end_of_a_sweep_is_told_once_also_when_it_is_gone_on_with(tmp_path: Path) -> None:
    flag, whole = tmp_path / "may-be-negative", tmp_path / "whole.jsonl"
    source = NO_YAML.replace("if x < 0", f"if x < 0 and not __import__('os').path.exists({str(flag)!r})")
    program = project(tmp_path, source)
    told = f"hydra.launcher.notifications=[{{type: file, recipients: ['{whole}'], once_per_sweep: true}}]"
    resume = "hydra.launcher.resume=last"

    def messages() -> list[tuple[str, int]]:
        documents = [json.loads(line) for line in whole.read_text().splitlines()]
        return [(each["phase"], each["succeeded"]) for each in documents]

    run_program(program, "-m", "+x=2,-1", told, "hydra.sweeper.max_batch_size=1")
    assert messages() == [("FAILED", 1)]
    flag.touch()
    run_program(program, "-m", "+x=2,-1", told, resume, "hydra.sweep.dir=again")
    assert messages() == [("FAILED", 1), ("SUCCEEDED", 2)]
    nothing_left = run_program(program, "-m", "+x=2,-1", told, resume, "hydra.sweep.dir=once-more")
    assert nothing_left.stdout.count("found SUCCEEDED") == 2
    assert messages() == [("FAILED", 1), ("SUCCEEDED", 2)]


def test_a_sweep_that_is_left_has_not_ended_and_whoever_goes_on_with_it_tells(tmp_path: Path) -> None:
    flag, whole = tmp_path / "go", tmp_path / "whole.jsonl"
    waiting = f"while not __import__('os').path.exists({str(flag)!r}): __import__('time').sleep(0.05)\n    if x < 0:"
    program = project(tmp_path, NO_YAML.replace("if x < 0:", waiting))
    told = f"hydra.launcher.notifications=[{{type: file, recipients: ['{whole}'], once_per_sweep: true}}]"
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+x=1", told],
        cwd=program.parent,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    while "submitted" not in process.stdout.readline():
        pass

    process.send_signal(signal.SIGINT)
    left, _ = process.communicate(timeout=60)
    was_told = whole.exists()
    flag.touch()
    run_program(program, "-m", "+x=1", told, "hydra.launcher.resume=last")

    assert process.returncode == 130
    assert "the sweep has not ended, so nobody is notified" in left
    assert not was_told
    (message,) = whole.read_text().splitlines()
    assert json.loads(message)["phase"] == "SUCCEEDED"


def test_what_only_the_embedded_backend_delivers_is_refused_elsewhere(tmp_path: Path) -> None:
    program = write_program(tmp_path, NO_YAML)
    webhook = "[{type: webhook, recipients: ['http://example.org/x']}]"

    result = run_program(
        program, "-m", "+x=1", "hydra.launcher.endpoint=127.0.0.1:1", f"hydra.launcher.notifications={webhook}"
    )

    assert result.returncode == 1
    assert (
        "type=webhook is delivered by the embedded backend only, and this launch goes to 127.0.0.1:1" in result.stderr
    )
