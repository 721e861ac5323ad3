"""Sweepers that choose the next jobs by the results of the last get real numbers; each runs if it is installed."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from tests.hydra.programs import run_program, write_program

pytestmark = pytest.mark.usefixtures("flyte_backend")

PARABOLA = """
from typing import NamedTuple

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


class Scores(NamedTuple):
    loss: float
    size: float


@task
def score(x: float) -> tuple[float, float]:
    return (x - 2) ** 2, x


@workflow
def scores(x: float) -> Scores:
    loss, size = score(x=x)
    return Scores(loss=loss, size=size)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> Scores:
    return scores(**cfg)


if __name__ == "__main__":
    main()
"""
BUDGETS = {
    "optuna": ("hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"),
    "ax": ("hydra.sweeper.ax_config.max_trials=4",),
    "nevergrad": ("hydra.sweeper.optim.budget=4", "hydra.sweeper.optim.num_workers=2"),
}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_program(tmp_path, PARABOLA)


def needs(sweeper: str) -> None:
    if importlib.util.find_spec(f"hydra_plugins.hydra_{sweeper}_sweeper") is None:
        pytest.skip(f"hydra-{sweeper}-sweeper is not installed")


def rows_of(program: Path) -> list[dict[str, dict[str, float]]]:
    rows: list[dict[str, dict[str, float]]] = json.loads((program.parent / "sweep" / "results.json").read_text())
    return rows


@pytest.mark.parametrize("sweeper", BUDGETS)
def test_an_optimiser_gets_the_objective_of_every_job(program: Path, sweeper: str) -> None:
    needs(sweeper)

    result = run_program(
        program,
        *("-m", f"hydra/sweeper={sweeper}", *BUDGETS[sweeper], "+x=interval(0,4)"),
        *("hydra.launcher.objective=loss", "hydra.sweep.dir=sweep"),
    )

    assert result.returncode == 0, result.stdout + result.stderr
    rows = rows_of(program)
    assert [row["job"] for row in rows] == list(range(len(rows)))
    assert len(rows) >= 4
    assert all(row["outputs"]["loss"] == (row["outputs"]["size"] - 2) ** 2 for row in rows)
    assert "submitted" in result.stdout
    assert len(set(re.findall(r"sweep (k[0-9a-f]{8}): results", result.stdout))) == 1
    best = min(row["outputs"]["loss"] for row in rows)
    assert sweeper != "optuna" or f"Best value: {best}" in result.stdout


def test_optuna_optimises_several_objectives(program: Path) -> None:
    needs("optuna")

    result = run_program(
        program,
        *("-m", "hydra/sweeper=optuna", *BUDGETS["optuna"], "+x=interval(0,4)"),
        *("hydra.launcher.objective=[loss,size]", "hydra.sweeper.direction=[minimize,maximize]"),
        "hydra.sweep.dir=sweep",
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Number of Pareto solutions:" in result.stdout
    assert len(rows_of(program)) == 4


def test_an_optimiser_that_would_not_wait_is_refused_in_one_sentence(program: Path) -> None:
    needs("optuna")

    result = run_program(
        program, "-m", "hydra/sweeper=optuna", *BUDGETS["optuna"], "+x=interval(0,4)", "hydra.launcher.wait=false"
    )

    assert result.returncode == 1
    assert "hydra.launcher.wait=false gives OptunaSweeper no results to optimise by." in result.stderr
    assert "submitted" not in result.stdout
