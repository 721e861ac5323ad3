"""Another package that claims the same launcher name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hydra.programs import WITH_CONFIG, run_program, write_program

RIVAL = """
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


@dataclass
class RivalConf:
    _target_: str = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="flyte", node=RivalConf, provider="rival")
"""

HERE = "hydra.launcher.execution_environment=local"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "rival.py").write_text(RIVAL)
    return write_program(tmp_path, f"import rival\n{WITH_CONFIG}", config="lr: 1\n")


def test_the_name_is_the_other_packages_and_that_is_said_once(program: Path) -> None:
    result = run_program(program, "-m", "hydra/launcher=flyte")

    assert "Launching 1 jobs locally" in result.stdout
    assert result.stderr.count("hydra/launcher=flyte is hydra._internal.core_plugins.basic_launcher.BasicLauncher") == 1
    assert "choose hydra/launcher=hydraflyte for hydraflyte's launcher" in result.stderr
    assert result.returncode == 0


def test_our_own_name_is_ours_and_nothing_is_said(program: Path) -> None:
    result = run_program(program, "-m", "hydra/launcher=hydraflyte", HERE)

    assert "Running 1 job in this process" in result.stdout
    assert "choose hydra/launcher" not in result.stderr
    assert result.returncode == 0


def test_programs_that_choose_neither_hear_nothing(program: Path) -> None:
    result = run_program(program)

    assert result.stdout == "ran here: {'lr': 1}\n"
    assert "hydra/launcher" not in result.stderr


@pytest.mark.parametrize("package", ["aaa_rival", "zzz_rival"])
def test_a_rival_that_is_a_plugin_of_hydra_is_named_whichever_is_scanned_first(tmp_path: Path, package: str) -> None:
    plugin = tmp_path / "installed" / "hydra_plugins" / package
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(RIVAL)
    program = write_program(tmp_path, WITH_CONFIG, config="lr: 1\n")
    installed = {"PYTHONPATH": os.pathsep.join([str(plugin.parents[1]), *_own_paths()])}

    theirs = run_program(program, "-m", "hydra/launcher=flyte", environ=installed)
    ours = run_program(program, "-m", "hydra/launcher=hydraflyte", HERE, environ=installed)

    assert theirs.stderr.count("choose hydra/launcher=hydraflyte for hydraflyte's launcher") == 1
    assert "Running 1 job in this process" in ours.stdout
    assert (theirs.returncode, ours.returncode) == (0, 0)


def test_doctor_names_a_rival_that_is_installed(tmp_path: Path) -> None:
    metadata = tmp_path / "flyteplugins_hydra-2.12.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flyteplugins-hydra\nVersion: 2.12.1\n")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *_own_paths()])}
    command = [sys.executable, "-m", "hydraflyte", "doctor", "--json", "--home", str(tmp_path / "home")]

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    (finding,) = (each for each in json.loads(ended.stdout) if each["subject"] == "hydra/launcher=flyte")
    assert finding["text"] == "also claimed by flyteplugins-hydra"
    assert finding["hint"] == "choose `hydra/launcher=hydraflyte`, or uninstall the other package."
    assert ended.returncode == 1


def _own_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
