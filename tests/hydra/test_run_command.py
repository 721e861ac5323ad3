"""``hydraflyte run SCRIPT``: the launch of a script, whatever its own config says of launchers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hydra.programs import NO_YAML, write_program

WITHOUT_LAUNCHER = NO_YAML.replace(
    'config_path=None, config_name="hydra/launcher/flyte"', 'config_path="conf", config_name="config"'
)

DRY_RUN = "hydra.launcher.dry_run=true"


def hydraflyte(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hydraflyte", "run", *arguments]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.usefixtures("flyte_backend")
def test_a_script_that_names_no_launcher_is_launched(tmp_path: Path) -> None:
    write_program(tmp_path, f"{WITHOUT_LAUNCHER}\n# of {tmp_path}\n", config="x: 2.0\n")

    result = hydraflyte(tmp_path, "program.py", "x=3,-1", "hydra.sweep.dir=sweep")

    assert "job 0 [x=3] SUCCEEDED" in result.stdout, result.stderr
    assert "job 1 [x=-1] FAILED" in result.stdout
    assert result.returncode == 1
    assert (tmp_path / "sweep" / "results.csv").is_file()


@pytest.mark.usefixtures("flyte_backend")
def test_a_script_without_yaml_is_launched_too(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_program(tmp_path / "folder", f"{NO_YAML}\n# of {tmp_path}\n")

    result = hydraflyte(tmp_path, "folder/program.py", "+x=3", "-m", "--json")

    assert result.returncode == 0, result.stderr
    assert "job 0 [+x=3] SUCCEEDED" in result.stderr
    told = json.loads(result.stdout)
    assert (told["status"], told["reason"], told["registered"]["workflow"]) == (0, None, "program.squares")
    (job,) = told["jobs"]
    assert (job["overrides"], job["phase"], job["error"]) == ({"x": "3"}, "SUCCEEDED", "")


def test_a_script_that_launches_nothing_is_an_error_in_json_too(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('words')\nraise SystemExit(3)\n")

    result = hydraflyte(tmp_path, "--json", "program.py")

    assert json.loads(result.stdout) == {
        "error": "The script ended with status 3, and no launch of it came to its end.",
        "hint": "standard error has what it said; `hydraflyte sweeps list` shows what was submitted, if anything was.",
    }
    assert "words" in result.stderr
    assert result.returncode == 1


@pytest.mark.usefixtures("flyte_backend")
def test_the_version_is_the_same_whichever_name_of_the_interpreter_is_used(tmp_path: Path) -> None:
    write_program(tmp_path, NO_YAML)

    plans = [
        hydraflyte(tmp_path, "--python", str(Path(sys.executable).with_name(name)), "program.py", "+x=3", DRY_RUN)
        for name in ("python", "python3")
    ]

    first, second = (re.search(r"^version: (\S+)", plan.stdout, re.MULTILINE) for plan in plans)
    assert first
    assert second
    assert first[1] == second[1]


def test_options_of_hydra_and_a_launcher_that_is_named_go_to_the_script_as_they_are(tmp_path: Path) -> None:
    write_program(tmp_path, WITHOUT_LAUNCHER, config="x: 2.0\n")

    shown = hydraflyte(tmp_path, "program.py", "hydra/launcher=basic", "--cfg", "hydra", "-p", "hydra.launcher")

    assert "hydra._internal.core_plugins.basic_launcher.BasicLauncher" in shown.stdout, shown.stderr
    assert shown.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("progam.py",), "did you mean program.py?"),
        (("conf",), "name the file: conf/train.py"),
        (("--python", "/no/such/python", "program.py"), "The interpreter /no/such/python cannot be started"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    write_program(tmp_path, WITHOUT_LAUNCHER, config="x: 2.0\n")

    result = hydraflyte(tmp_path, *arguments)

    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == 1
