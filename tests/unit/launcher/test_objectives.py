"""What a sweeper is given, and what is refused before anything runs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from flytekit.core.interface import Interface

from hydraflyte.config import LauncherConfig
from hydraflyte.errors import ConfigError, ExecutionError
from hydraflyte.launcher.sweeps.objectives import needs_numbers, objective_of, refuse_useless_settings

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OPTUNA = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"


class Scores(NamedTuple):
    loss: float
    accuracy: float


@dataclass
class Report:
    loss: float


def interface_of(**outputs: type) -> Interface:
    return Interface(inputs=OrderedDict(), outputs=OrderedDict(outputs))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (BASIC, False),
        (OPTUNA, True),
        ("hydra_plugins.hydra_ax_sweeper.ax_sweeper.AxSweeper", True),
        ("hydra_plugins.hydra_nevergrad_sweeper.nevergrad_sweeper.NevergradSweeper", True),
        ("my_company.axle_sweeper.AxleSweeper", False),
    ],
)
def test_sweepers_that_need_numbers_are_known_by_their_module(target: str, expected: bool) -> None:
    assert needs_numbers(target) is expected


@pytest.mark.parametrize(
    ("names", "value", "outputs", "expected"),
    [
        ((), "as it is", ("o0",), "as it is"),
        (("loss",), Scores(0.5, 0.9), ("loss", "accuracy"), 0.5),
        (("accuracy", "loss"), Scores(0.5, 0.9), ("loss", "accuracy"), (0.9, 0.5)),
        (("o0",), 3, ("o0",), 3.0),
        (("loss",), {"loss": 2}, ("o0",), 2.0),
        (("o0.train.loss",), {"train": {"loss": 4}}, ("o0",), 4.0),
        (("loss",), Report(loss=1.5), ("o0",), 1.5),
    ],
)
def test_objectives_are_numbers_among_the_outputs(
    names: tuple[str, ...], value: Any, outputs: tuple[str, ...], expected: Any
) -> None:
    assert objective_of(names, value, outputs) == expected


@pytest.mark.parametrize(
    ("names", "text"),
    [(("los",), "'los' is not among the outputs: loss, note"), (("note",), "'note' is no number, but str: 'ok'")],
)
def test_an_objective_that_is_missing_or_no_number_is_an_error(names: tuple[str, ...], text: str) -> None:
    with pytest.raises(ExecutionError, match=text):
        objective_of(names, (0.5, "ok"), ("loss", "note"))


def test_an_objective_that_no_output_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="objective=los: the workflow has no such output") as refused:
        refuse_useless_settings(LauncherConfig(objective="los"), BASIC, interface_of(loss=float, accuracy=float))

    assert refused.value.hint == "did you mean loss?"


def test_the_keys_of_a_dict_are_not_known_beforehand() -> None:
    refuse_useless_settings(LauncherConfig(objective=["anything"]), BASIC, interface_of(o0=dict))


@pytest.mark.parametrize("key", ["wait", "run"])
def test_an_optimiser_without_results_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=false gives OptunaSweeper no results to optimise by"):
        refuse_useless_settings(LauncherConfig(**{key: False}), OPTUNA, interface_of(o0=float))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_failures": 0}, "max_failures is 0"),
        ({"objective": 3}, "neither a name nor a list of names"),
        ({"objective": []}, "neither a name nor a list of names"),
        ({"resume_changed": True}, "there is nothing to go on with"),
    ],
)
def test_settings_of_sweeps_that_mean_nothing_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        LauncherConfig(**settings)
