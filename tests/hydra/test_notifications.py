"""Notifications from the launcher's config, delivered by the embedded backend and by the launcher itself."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.hydra.programs import NO_YAML, run_program, write_program

pytestmark = pytest.mark.usefixtures("flyte_backend")

_PATIENCE_S = 60.0


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
