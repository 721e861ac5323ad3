"""What cannot be the same again is said, each thing in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf.json_format import ParseDict

from hydraflyte.launcher.reproduction.differences import Present, differences_of
from hydraflyte.launcher.reproduction.interpreters import Installed
from hydraflyte.launcher.reproduction.recorded import Recorded

BEGUN = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
VERSIONS = "python 3.11.7, flytekit 1.16.31, hydra 1.3.8"
PACKAGES = {"numpy": "1.26.4", "flytekit": "1.16.31"}
CODE = {"container": {"args": ["pyflyte-fast-execute", "--additional-distribution", "s3://b/code.tar.gz", "--"]}}
NOW = Installed(python="3.11.7", packages={**PACKAGES, "hydra-core": "1.3.8"})


def recorded(
    *, packages: Mapping[str, str] = PACKAGES, environment: Mapping[str, str] | None = None, **task: object
) -> Recorded:
    execution = execution_pb2.Execution()
    execution.closure.created_at.FromDatetime(BEGUN.replace(tzinfo=None))
    execution.spec.annotations.values["hydraflyte.org/versions"] = VERSIONS
    for key, value in (environment or {}).items():
        execution.spec.envs.values.add(key=key, value=value)
    return Recorded(
        execution=execution,
        inputs=literals_pb2.LiteralMap(),
        outputs=None,
        launch_plan=launch_plan_pb2.LaunchPlan(),
        tasks=(ParseDict({"id": {"name": "m.t"}, **CODE, **task}, tasks_pb2.TaskTemplate()),),
        document={"packages": dict(packages)} if packages else {},
    )


def texts(recorded: Recorded, **present: Any) -> list[str]:  # Any: fields of Present
    there = Present(**{"python": "python3", "installed": NOW, **present})
    return [f"{each.kind}: {each.text}" for each in differences_of(recorded, there) if each.kind != "clock"]


def test_nothing_but_time_and_chance_differs_in_the_same_surroundings() -> None:
    found = differences_of(recorded(), Present(python="python3", installed=NOW))

    assert [(each.kind, each.is_certain) for each in found] == [("clock", False)]


def test_other_versions_of_python_and_packages_are_named() -> None:
    now = Installed(python="3.12.1", packages={"flytekit": "1.16.31", "new": "1"})

    assert texts(recorded(), installed=now) == [
        "packages: Python 3.11.7 -> 3.12.1",
        "packages: numpy 1.26.4 -> not installed",
    ]


def test_many_other_packages_are_counted() -> None:
    before = {f"p{number}": "1" for number in range(10)}

    found = texts(recorded(packages=before))

    assert len(found) == 9
    assert found[-1] == "packages: 2 more packages have other versions"


def test_what_was_installed_from_a_folder_may_have_changed() -> None:
    assert texts(recorded(packages={"numpy": "1.26.4 (editable)"})) == [
        "packages: numpy was an editable install: what is not in the code bundle may have changed since"
    ]


def test_packages_that_were_not_recorded_are_not_promised() -> None:
    assert texts(recorded(packages={})) == [
        "packages: installed packages but flytekit, hydra-core were not recorded",
    ]


def test_an_interpreter_that_is_gone_is_named() -> None:
    assert texts(recorded(), python="/old/python", installed=None) == [
        "packages: the interpreter /old/python cannot be started any more"
    ]


def test_inputs_that_changed_or_are_gone_come_first() -> None:
    changes = {"/a": BEGUN + timedelta(hours=1), "/b": None, "/c": BEGUN - timedelta(hours=1)}

    assert texts(recorded(), changes=changes, elsewhere=("s3://b/d",)) == [
        "input: /a was changed at 2026-05-01 13:00:00 UTC, after the execution had begun",
        "input: /b is gone",
        "input: s3://b/d is read again from the same address",
    ]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("r/i:v1", ["image: r/i:v1 is named by a tag, which may be another image now"]),
        ("r/i@sha256:0", []),
    ],
)
def test_an_image_by_its_tag_may_be_another_one(image: str, found: list[str]) -> None:
    task = recorded(container={**CODE["container"], "image": image})

    assert texts(task, python=None, installed=None) == found
    assert texts(task) == []  # the interpreter runs it, and no image


def test_secrets_are_those_of_now() -> None:
    task = recorded(securityContext={"secrets": [{"group": "wandb", "key": "api"}, {"key": "token"}]})

    assert texts(task) == ["secret: token, wandb/api: values are never recorded, those of now are used"]


def test_cached_tasks_may_not_run_at_all() -> None:
    task = recorded(metadata={"discoverable": True})

    assert texts(task) == ["cache: m.t: cached results are taken where there are any; --overwrite-cache runs them"]
    assert texts(task, uses_cache=False) == []


def test_code_in_images_is_not_known() -> None:
    assert texts(recorded(container={"args": ["pyflyte-execute"]})) == [
        "code: there is no code bundle: the code is that of the images"
    ]
