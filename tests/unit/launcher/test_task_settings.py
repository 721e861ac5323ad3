"""Settings of tasks in a job's config: which task a key means, and what is said about one that means none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydraflyte.errors import ConfigError
from hydraflyte.launcher.task_settings import TaskSettings, read_task_settings, settings_text

MAPPED = "pkg.map_each_0123456789abcdef0123456789abcdef-arraynode"
TASKS = ("pkg.train.fit", "pkg.train.test", "pkg.other.test", MAPPED)


def read(tasks: Any) -> dict[str, TaskSettings]:
    return read_task_settings(OmegaConf.create({"flyte": {"tasks": tasks}}), TASKS)


@pytest.mark.parametrize(
    ("tasks", "name"),
    [
        ({"fit": {"cpu": 2}}, "pkg.train.fit"),
        ({"pkg.train.fit": {"cpu": 2}}, "pkg.train.fit"),
        ({"pkg": {"train": {"fit": {"cpu": 2}}}}, "pkg.train.fit"),
        ({"pkg": {"other": {"test": {"cpu": 2}}}}, "pkg.other.test"),
        ({"each": {"cpu": 2}}, MAPPED),
    ],
)
def test_a_task_is_known_by_its_last_name_its_whole_one_and_the_function_that_it_maps(tasks: Any, name: str) -> None:
    found = read(tasks)

    assert {task: settings.cpu for task, settings in found.items()} == {name: "2"}


def test_a_config_without_settings_has_none() -> None:
    assert read_task_settings(OmegaConf.create({"lr": 1}), TASKS) == {}
    assert read({}) == {}
    assert read({"fit": {}}) == {}


def test_what_is_requested_is_allowed_too_unless_said_otherwise() -> None:
    settings = read({"fit": {"cpu": 0.5, "mem": "1Gi", "limits": {"cpu": 2}}})["pkg.train.fit"]

    assert settings.wanted_resources() == ({"cpu": "0.5", "mem": "1Gi"}, {"cpu": "2", "mem": "1Gi"})


def test_the_same_settings_have_the_same_text() -> None:
    first = read({"fit": {"retries": 1, "cpu": 2, "env": {"B": 1, "A": "x"}}})
    second = read({"pkg": {"train": {"fit": {"env": {"A": "x", "B": 1}, "cpu": "2", "retries": 1}}}})

    assert settings_text(first) == "pkg.train.fit: cpu=2, retries=1, env.A=x, env.B=1"
    assert settings_text(second) == settings_text(first)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_a_timeout_has_a_unit(text: str, seconds: int) -> None:
    assert read({"fit": {"timeout": text}})["pkg.train.fit"].timeout_value() == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ({"fitt": {}}, "flyte.tasks.fitt: the workflow has no task of this name; did you mean fit?"),
        ({"test": {"cpu": 1}}, "several tasks end in this name: pkg.other.test, pkg.train.test; write the whole one"),
        ({"fit": {"cpus": 1}}, "flyte.tasks.fit.cpus: no such key; did you mean cpu?"),
        ({"fit": {"limits": {"memm": 1}}}, "flyte.tasks.fit.limits.memm: no such resource; did you mean mem?"),
        ({"fit": {"mem": "lots"}}, "flyte.tasks.fit.mem: 'lots' is no quantity such as 2, 500m or 4Gi"),
        ({"fit": {"retries": "many"}}, "flyte.tasks.fit.retries: Value 'many'"),
        ({"fit": {"retries": -1}}, "flyte.tasks.fit.retries: -1 is below 0"),
        ({"fit": {"timeout": "soon"}}, "flyte.tasks.fit.timeout: 'soon' is no duration such as 90s, 30m or 2h"),
        ({"fit": 3}, "flyte.tasks.fit is 3, and not a mapping"),
    ],
)
def test_what_means_nothing_is_named_with_what_was_meant(tasks: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tasks)

    assert problem in caught.value.message
    assert "tasks of the workflow: each, fit, test" in caught.value.message


def test_there_is_nothing_but_tasks_below_the_key() -> None:
    with pytest.raises(ConfigError, match=r"flyte\.task: there is only flyte\.tasks"):
        read_task_settings(OmegaConf.create({"flyte": {"task": {"fit": {"cpu": 1}}}}), TASKS)
