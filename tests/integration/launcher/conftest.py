"""Projects on disk, launched by real Hydra in a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).with_name("plugin")


class Project:
    """A directory with sources. ``launch`` runs a program of it with a launcher that reports what would be launched."""

    def __init__(self, root: Path, reports: Path) -> None:
        self.root = root
        self._reports = reports

    def write(self, files: Mapping[str, str]) -> Project:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def launch(
        self,
        *command: str,
        cwd: str = ".",
        python_path: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> dict[str, Any]:
        self._reports.mkdir(exist_ok=True)
        report = self._reports / f"report-{len(list(self._reports.iterdir()))}.json"
        paths = [str(PLUGIN), *[str(self.root / path) for path in python_path]]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FLYTE"))}
        ended = subprocess.run(
            [python, *command, "-m", "hydra/launcher=report", f"hydra.sweep.dir={self._reports}/sweep"],
            cwd=self.root / cwd,
            env={**kept, "PYTHONPATH": os.pathsep.join(paths), "REPORT": str(report), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert report.exists(), ended.stdout + ended.stderr
        result: dict[str, Any] = json.loads(report.read_text())
        result["output"] = ended.stdout + ended.stderr
        return result


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    return Project(root, tmp_path / "reports")
