"""How a composed config becomes the inputs of one job."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from hydraflyte.errors import InputsError
from hydraflyte.launcher.inputs import Parameter, fit_inputs


class Color(Enum):
    RED = "r"
    BLUE = "b"


@dataclass
class Optimizer:
    lr: float = 0.1
    color: Color = Color.RED


@dataclass
class Training:
    epochs: int = MISSING
    optimizer: Optimizer = field(default_factory=Optimizer)


def fit(config: dict[str, Any], /, **parameters: Any) -> dict[str, Any]:
    """Fit ``config`` to parameters given as ``name=type`` or ``name=(type, default)``."""
    wanted = [
        Parameter(name=name, type=spec[0], default=spec[1])
        if isinstance(spec, tuple)
        else Parameter(name=name, type=spec)
        for name, spec in parameters.items()
    ]
    return dict(fit_inputs(OmegaConf.create(config), wanted).values)


@pytest.mark.parametrize("name", ["cfg", "config"])
def test_a_parameter_named_cfg_or_config_takes_the_whole_config(name: str) -> None:
    values = fit({"lr": 0.1, "model": {"depth": 2}}, **{name: DictConfig})

    assert values == {name: {"lr": 0.1, "model": {"depth": 2}}}
    assert isinstance(values[name], DictConfig)


@pytest.mark.parametrize("text", ["2026-01-31T02:30:00", "2026-01-31T02:30:00Z", "2026-01-31T03:30:00+01:00"])
def test_a_time_is_written_as_iso_8601_has_it_and_is_utc_unless_it_has_a_zone(text: str) -> None:
    values = fit({"kickoff_time": text, "day": "2026-01-31"}, kickoff_time=datetime, day=date)

    assert values == {"kickoff_time": datetime(2026, 1, 31, 2, 30, tzinfo=timezone.utc), "day": date(2026, 1, 31)}


def test_a_text_that_is_no_time_is_a_misfit() -> None:
    with pytest.raises(InputsError, match=r"kickoff_time: datetime cannot be made of it: .*'tomorrow'"):
        fit({"kickoff_time": "tomorrow"}, kickoff_time=datetime)


def test_the_whole_config_can_be_a_dataclass() -> None:
    values = fit({"epochs": 3, "optimizer": {"lr": 1, "color": "BLUE"}}, cfg=Training)

    assert values == {"cfg": Training(epochs=3, optimizer=Optimizer(lr=1.0, color=Color.BLUE))}


def test_the_whole_config_can_be_a_dict_with_interpolations_resolved() -> None:
    assert fit({"a": 1, "b": "${a}"}, cfg=dict) == {"cfg": {"a": 1, "b": 1}}


def test_a_config_key_named_cfg_wins_over_the_whole_config() -> None:
    assert fit({"cfg": {"a": 1}}, cfg=DictConfig) == {"cfg": {"a": 1}}


def test_parameters_beside_the_whole_config_come_from_their_own_keys() -> None:
    values = fit({"model": {"depth": 2}, "data": "digits"}, cfg=DictConfig, data=str)

    assert values == {"cfg": {"model": {"depth": 2}, "data": "digits"}, "data": "digits"}


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (str, 3, "3"),
        (bool, True, True),
        (Color, "BLUE", Color.BLUE),
        (Path, "/tmp", Path("/tmp")),
        (FlyteFile, "s3://bucket/file", "s3://bucket/file"),
        (FlyteDirectory, "/tmp", "/tmp"),
        (list[int], [1, 2], [1, 2]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (int | None, None, None),
        (int | None, 3, 3),
        (Optimizer, {"lr": 2}, Optimizer(lr=2.0)),
        (list[Optimizer], [{"lr": 2}], [Optimizer(lr=2.0)]),
        (Optimizer | None, {"lr": 2}, Optimizer(lr=2.0)),
    ],
)
def test_a_node_becomes_a_value_of_the_parameters_type(annotation: Any, given: Any, expected: Any) -> None:
    values = fit({"x": given}, x=annotation)

    assert values == {"x": expected}
    assert type(values["x"]) is type(expected)


def test_nodes_stay_omegaconf_nodes_where_the_parameter_wants_them() -> None:
    values = fit({"model": {"depth": 2}, "layers": [1, 2]}, model=DictConfig, layers=ListConfig)

    assert isinstance(values["model"], DictConfig)
    assert isinstance(values["layers"], ListConfig)


def test_a_node_that_refers_to_another_part_of_the_config_is_resolved() -> None:
    values = fit({"seed": 7, "model": {"seed": "${seed}"}}, seed=int, model=dict)

    assert values == {"seed": 7, "model": {"seed": 7}}


def test_a_structured_node_keeps_its_own_class() -> None:
    config = OmegaConf.create({"training": Training(epochs=2)})

    inputs = fit_inputs(config, [Parameter(name="training", type=Training)])

    assert inputs.values["training"] == Training(epochs=2)


def test_a_default_is_sent_explicitly() -> None:
    assert fit({}, epochs=(int, 5)) == {"epochs": 5}


def test_settings_of_the_job_itself_are_no_inputs() -> None:
    assert fit({"lr": 0.1, "flyte": {"tasks": {}}, "_shared": 1}, lr=float) == {"lr": 0.1}


def test_all_misfits_are_named_at_once_with_the_nearest_names_and_both_sides() -> None:
    with pytest.raises(InputsError) as caught:
        fit({"learning_rat": 0.1, "epochs": "many", "verbose": True}, learning_rate=float, epochs=int, data=str)

    text = str(caught.value)
    assert "learning_rate: missing in the config; the config has 'learning_rat'" in text
    assert "data: missing in the config" in text
    assert "learning_rat: no parameter of the workflow takes this config key; did you mean 'learning_rate'?" in text
    assert "verbose: no parameter of the workflow takes this config key" in text
    assert "epochs: int cannot be made of it: Value 'many' of type 'str' could not be converted to Integer" in text
    assert "parameters of the workflow: learning_rate: float, epochs: int, data: str" in text
    assert "keys of the config: learning_rat, epochs, verbose" in text


@pytest.mark.parametrize(
    ("config", "annotation", "path"),
    [
        ({"model": "???"}, str, "model"),
        ({"model": "???"}, DictConfig, "model"),
        ({"model": {"depth": "???"}}, dict, "model.depth"),
    ],
)
def test_a_value_that_is_not_given_is_named_with_what_to_write(
    config: dict[str, Any], annotation: Any, path: str
) -> None:
    with pytest.raises(InputsError) as caught:
        fit(config, model=annotation)

    expected = f"  - {path} has no value (it is ??? in the config): give one with {path}=…"
    assert expected in caught.value.message.splitlines()
    assert "missing in the config" not in caught.value.message
    assert "rename" not in caught.value.hint


@pytest.mark.parametrize(
    ("config", "annotation", "problem"),
    [
        ({"model": {"epochs": "many"}}, Training, "  - model.epochs: Value 'many' of type 'str' could not be"),
        ({"model": {"optimizer": {"lr": "x"}}}, Training, "  - model.optimizer.lr: Value 'x' of type 'str' could"),
    ],
)
def test_a_wrong_value_inside_a_node_is_named_by_its_whole_path(
    config: dict[str, Any], annotation: Any, problem: str
) -> None:
    with pytest.raises(InputsError) as caught:
        fit(config, model=annotation)

    assert problem in caught.value.message
    assert "rename" not in caught.value.hint


def test_an_unknown_key_inside_a_node_is_named_with_the_nearest_that_exists() -> None:
    with pytest.raises(InputsError, match=r"model.epohcs: .*; did you mean 'epochs'\?"):
        fit({"model": {"epohcs": 3}}, model=Training)


def test_a_list_where_a_config_is_wanted_is_refused() -> None:
    with pytest.raises(InputsError, match=r"model: DictConfig cannot be made of it: got ListConfig \[1\]"):
        fit({"model": [1]}, model=DictConfig)


def test_a_type_without_a_schema_is_left_to_flytekit() -> None:
    assert fit({"when": "2026-01-01"}, when=complex) == {"when": "2026-01-01"}
