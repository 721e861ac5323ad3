"""``hydraflyte init``: what it writes works, tests itself, and is what the CI services read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.hydra.programs import QUIET

from hydraflyte.cli.main import main

FILES = [
    ".dockerignore",
    ".flyteignore",
    ".github/workflows/flyte.yaml",
    ".gitignore",
    "Dockerfile",
    "README.md",
    "cloudbuild.yaml",
    "conf/config.yaml",
    "conf/model/large.yaml",
    "conf/model/small.yaml",
    "points.py",
    "pytest.ini",
    "requirements-test.txt",
    "requirements.txt",
    "tests/conftest.py",
    "tests/test_train.py",
    "train.py",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "My Project")]) == 0
    return tmp_path / "My Project"


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *QUIET, *command], cwd=project, capture_output=True, text=True, timeout=150, check=False
    )


def test_it_writes_a_project_and_lists_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["init", str(tmp_path / "new"), "--json"])

    assert status == 0
    assert json.loads(capsys.readouterr().out) == {"directory": str(tmp_path / "new"), "files": FILES}
    written = sorted(
        str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()
    )
    assert written == FILES


def test_no_mark_of_a_template_is_left(project: Path) -> None:
    left = [file for file in FILES if re.search(r"@(project|hydraflyte|python)@", (project / file).read_text())]

    assert left == []
    assert "flyte/my-project" in (project / "cloudbuild.yaml").read_text()


def test_its_own_tests_pass(project: Path) -> None:
    result = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert "2 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "schema"),
    [(".github/workflows/flyte.yaml", "vendor.github-workflows"), ("cloudbuild.yaml", "vendor.cloudbuild")],
)
def test_its_ci_files_follow_the_services_schemas(project: Path, file: str, schema: str) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")

    result = subprocess.run(
        [checker, "--builtin-schema", schema, project / file], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout


def test_the_steps_of_its_ci_file_run(project: Path, tmp_path: Path) -> None:
    """The two steps of the job ``test`` that need nothing of the runner, as bash runs them there."""
    workflow = yaml.safe_load((project / ".github/workflows/flyte.yaml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HYDRAFLYTE_HOME": str(tmp_path / "hf"),
        "PYTHONWARNINGS": "ignore",
        "CI": "true",
    }

    try:
        ended = subprocess.run(
            ["bash", "-euc", commands[-1]], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["hydraflyte", "down"], env=environment, capture_output=True, check=False)

    assert commands[:2] == ["pip install -r requirements-test.txt", "pytest"]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (project / "sweep" / "results.json").is_file()


def test_what_its_image_is_made_of_is_there(project: Path) -> None:
    copied = re.findall(r"^COPY (\S+) ", (project / "Dockerfile").read_text(), re.MULTILINE)

    assert copied == ["requirements.txt", "."]
    assert (project / "requirements.txt").read_text().startswith("hydraflyte>=")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("mine")

    status = main(["init", str(tmp_path)])

    assert status == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path} is not empty: it holds mine.py.\n"
        "hint: name a folder that does not exist yet, or an empty one.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")

    assert main(["init", str(tmp_path / "taken")]) == 1
    assert "is there already and is no folder" in capsys.readouterr().err


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")

    assert main(["init", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be written" in capsys.readouterr().err
