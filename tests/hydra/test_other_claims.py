"""Another package that claims the same launcher name."""

from __future__ import annotations

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
