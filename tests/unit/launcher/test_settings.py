"""The settings under ``hydra.launcher``: what fits, what does not, and what is said about it."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.config import (
    ExecutionEnvironment,
    LauncherConfig,
    NotificationConfig,
    OnFailure,
    WorkflowConfig,
)
from hydraflyte.errors import ConfigError
from hydraflyte.image_config import ImageConfig
from hydraflyte.launcher.settings import read_settings


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = LauncherConfig()

    assert settings.execution_environment is ExecutionEnvironment.remote
    assert settings.endpoint == "auto"
    assert settings.insecure_wanted() is None
    assert settings.build_images == "auto"
    assert (settings.run, settings.wait, settings.dry_run) == (True, True, False)
    assert settings.on_failure is OnFailure["continue"]
    assert settings.max_concurrency is None
    assert (settings.workflow.project, settings.workflow.domain) == ("flytesnacks", "development")
    assert settings.workflow.given_version() is None
    assert settings.workflow.default_image.reference() is None


@pytest.mark.parametrize("schema", [LauncherConfig, WorkflowConfig, ImageConfig, NotificationConfig])
def test_every_key_has_a_help_text(schema: Any) -> None:
    without = [field.name for field in dataclasses.fields(schema) if not field.metadata.get("help")]

    assert without == []


@pytest.mark.parametrize("endpoint", ["auto", "embedded", "localhost:30080", "dns:///flyte.example.org", "~/a.yaml"])
def test_an_endpoint_is_a_word_an_address_or_a_file(endpoint: str) -> None:
    assert LauncherConfig(endpoint=endpoint).endpoint == endpoint


def test_a_misspelt_endpoint_is_refused_with_the_nearest_word() -> None:
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.endpoint='embeded' is neither") as caught:
        LauncherConfig(endpoint="embeded")

    assert caught.value.hint == "did you mean hydra.launcher.endpoint=embedded?"


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        LauncherConfig(
            insecure="yes",
            max_concurrency=0,
            workflow=WorkflowConfig(version="1", target_image_version="2", project=""),
        )

    text = str(caught.value)
    assert text.startswith("4 settings under hydra.launcher do not fit:")
    assert "hydra.launcher.insecure='yes' is none of auto, true, false." in text
    assert "hydra.launcher.max_concurrency is 0" in text
    assert "hydra.launcher.workflow.project is empty" in text
    assert "workflow.version=1 and its older spelling target_image_version=2 differ" in text


APP = ImageConfig(target_image="ghcr.io/me/app")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"build_images": True}, "build_images=true, and no image names what is to be built"),
        (
            {"workflow": WorkflowConfig(default_image=ImageConfig(builder="biuldah"))},
            "builder='biuldah' is none of auto",
        ),
        (
            {"workflow": WorkflowConfig(extra_images=[ImageConfig(base_image="a")])},
            r"extra_images\[0\] has no flyte_image_name",
        ),
        (
            {"workflow": WorkflowConfig(extra_images=[ImageConfig(flyte_image_name="gpu")])},
            r"extra_images\[0\] names no image",
        ),
        (
            {"workflow": WorkflowConfig(extra_images=[ImageConfig(base_image="a", flyte_image_name="default")])},
            "flyte_image_name=default is the name of default_image already",
        ),
        (
            {
                "workflow": WorkflowConfig(
                    default_image=APP,
                    extra_images=[ImageConfig(target_image="ghcr.io/me/app", flyte_image_name="gpu")],
                )
            },
            r"extra_images\[0\].target_image=ghcr.io/me/app is that of default_image too",
        ),
        (
            {"workflow": WorkflowConfig(default_image=ImageConfig(base_image="me/app", target_image="me/app"))},
            "base and target are both me/app:latest: the image would be built on itself",
        ),
        (
            {"workflow": WorkflowConfig(default_image=ImageConfig(target_image_version="2"))},
            "default_image.target_image_version=2 names a tag, but no image",
        ),
        (
            {"workflow": WorkflowConfig(default_image=ImageConfig(target_image="me/app", build_timeout_s=0))},
            "build_timeout_s is 0: no build could ever end",
        ),
    ],
)
def test_images_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LauncherConfig(**settings)


def test_the_nearest_builder_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        LauncherConfig(workflow=WorkflowConfig(default_image=ImageConfig(builder="biuldah")))

    assert caught.value.hint == "did you mean hydra.launcher.workflow.default_image.builder=buildah?"


def test_the_older_spelling_of_the_version_is_understood() -> None:
    assert WorkflowConfig(target_image_version="v3").given_version() == "v3"


def test_an_existing_image_is_named_with_its_tag() -> None:
    assert ImageConfig(base_image="ghcr.io/me/train", base_image_version="2").reference() == "ghcr.io/me/train:2"
    assert ImageConfig(base_image="ghcr.io/me/train").reference() == "ghcr.io/me/train:latest"
    assert ImageConfig(base_image="host:5000/train").reference() == "host:5000/train:latest"
    assert ImageConfig(base_image="host:5000/train:2").reference() == "host:5000/train:2"
    assert ImageConfig(base_image="train@sha256:ab").reference() == "train@sha256:ab"


@pytest.mark.parametrize(
    "override",
    [
        {"execution_environment": "remtoe"},
        {"on_failure": "continu"},
        {"wait": "maybe"},
        {"max_concurrency": "many"},
        {"no_such_key": 1},
        {"workflow": {"nmae": "x"}},
    ],
)
def test_omegaconf_refuses_wrong_values_and_keys_already_when_the_config_is_composed(override: dict[str, Any]) -> None:
    with pytest.raises(OmegaConfBaseException):
        OmegaConf.merge(OmegaConf.structured(LauncherConfig), override)


def test_the_target_image_is_run_where_no_image_is_built() -> None:
    image = ImageConfig(base_image="base", target_image="ghcr.io/me/train", target_image_version="3")

    assert image.reference() == "ghcr.io/me/train:3"


def problem_of(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        LauncherConfig(**settings)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("workflow", "problem"),
    [
        (WorkflowConfig(cron_schedule="@daily", fixed_rate="1h"), "keep one of them"),
        (WorkflowConfig(fixed_rate="90s"), "fixed_rate='90s' is no whole number of minutes, hours or days"),
        (WorkflowConfig(fixed_rate="1h", schedule_timezone="UTC"), "a fixed rate has no time zone"),
    ],
)
def test_schedules_that_mean_nothing_are_refused(workflow: WorkflowConfig, problem: str) -> None:
    assert problem in problem_of(workflow=workflow)


@pytest.mark.parametrize(
    ("notification", "problem"),
    [
        (NotificationConfig(type="emial", recipients=["a@b"]), "notifications[0].type=email?"),
        (NotificationConfig(phases=["FAILD"], recipients=["a@b"]), "notifications[0].phases=FAILED?"),
        (NotificationConfig(), "notifications[0] has no recipients"),
        (NotificationConfig(recipients=["#channel"]), "'#channel' is no mail address"),
        (NotificationConfig(recipients=["file:/tmp/x@y"]), "'file:/tmp/x@y' is no mail address"),
        (NotificationConfig(type="webhook", recipients=["example.org"]), "'example.org' is no http address"),
        (NotificationConfig(recipients=["a@b"], once_per_sweep=True), "once_per_sweep does not go with type=email"),
    ],
)
def test_notifications_that_reach_nobody_are_refused(notification: NotificationConfig, problem: str) -> None:
    assert problem in problem_of(notifications=[notification])


def test_a_message_at_the_end_of_a_sweep_needs_somebody_who_waits() -> None:
    notification = NotificationConfig(type="file", recipients=["/tmp/x"], once_per_sweep=True)

    assert "does not go with wait=false" in problem_of(notifications=[notification], wait=False)


def test_settings_are_read_from_the_composed_config() -> None:
    node = OmegaConf.merge(OmegaConf.structured(LauncherConfig), {"build_images": False, "on_failure": "fail_fast"})

    settings = read_settings(OmegaConf.create({"hydra": {"launcher": node}}))

    assert settings.build_images is False
    assert settings.on_failure is OnFailure.fail_fast


def test_a_node_of_the_users_own_is_read_against_the_schema() -> None:
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": "ours", "workflow": {"name": "wf"}}}})

    assert read_settings(config).workflow.name == "wf"


def test_an_unknown_key_in_a_node_of_the_users_own_is_named_with_the_nearest_one() -> None:
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": "ours", "max_concurency": 2}}})

    with pytest.raises(ConfigError, match="no key 'max_concurency'") as caught:
        read_settings(config)

    assert caught.value.hint == "did you mean hydra.launcher.max_concurrency?"


def every_key(schema: type = LauncherConfig, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of each key under ``hydra.launcher``, those of records in lists included."""
    keys: list[tuple[str, ...]] = []
    for name, hint in typing.get_type_hints(schema).items():
        keys.append((*path, name))
        inner = next((each for each in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(each)), None)
        if isinstance(inner, type):
            keys += every_key(inner, (*path, name if inner is hint else f"{name}[0]"))
    return keys


@pytest.mark.parametrize("key", ["project", "domain", "version", "cron_schedule"])
def test_a_key_that_belongs_one_level_deeper_is_named_there(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(OmegaConf.create({"hydra": {"launcher": {key: "x"}}}))

    assert caught.value.hint == f"did you mean hydra.launcher.workflow.{key}?"


@pytest.mark.parametrize("path", every_key(), ids=".".join)
def test_every_key_is_named_when_its_last_letter_is_doubled(path: tuple[str, ...]) -> None:
    *above, key = path
    node: object = {key + key[-1]: "x"}
    for name in reversed(above):
        node = {name.removesuffix("[0]"): [node] if name.endswith("[0]") else node}

    with pytest.raises(ConfigError) as caught:
        read_settings(OmegaConf.create({"hydra": {"launcher": node}}))

    assert caught.value.hint == f"did you mean {'.'.join(('hydra.launcher', *path))}?"


@pytest.mark.parametrize(
    ("node", "text", "hint"),
    [
        ({"wait": "flase"}, "wait='flase' is neither true nor false", "did you mean hydra.launcher.wait=false?"),
        ({"run": "yess"}, "run='yess' is neither true nor false", "did you mean hydra.launcher.run=yes?"),
        ({"max_failures": "two"}, "max_failures='two' is no whole number", "hydra.launcher.max_failures=4"),
        ({"workflow": "train"}, "workflow='train' is no mapping", "its keys are name, project"),
        ({"workflow": {"require_clean": "production"}}, "is no list", "require_clean=[production]"),
        ({"notifications": ["x"]}, "notifications[0]='x' is no mapping", "its keys are type, phases"),
    ],
)
def test_a_value_of_another_kind_is_named_with_what_fits(node: dict[str, object], text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(OmegaConf.create({"hydra": {"launcher": node}}))

    assert text in caught.value.message
    assert hint in caught.value.hint


def test_values_that_hydra_reads_as_text_are_taken_for_what_they_mean() -> None:
    node = {"wait": "no", "max_failures": "3", "workflow": {"version": 12}}

    settings = read_settings(OmegaConf.create({"hydra": {"launcher": node}}))

    assert (settings.wait, settings.max_failures, settings.workflow.version) == (False, 3, "12")
