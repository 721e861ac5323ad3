"""Registering entities: what is sent, in which order, and what is said when a version is taken."""

from __future__ import annotations

import gc
import traceback
import warnings
from dataclasses import replace

import pytest
from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit import ImageSpec, map_task, task, workflow
from flytekit.core.context_manager import FlyteEntities
from tests.unit.launcher.scripted_client import ScriptedFlyteClient

from hydraflyte.errors import RegistrationError
from hydraflyte.launcher.register import (
    REGISTRATION_KEY,
    RegistrationPlan,
    SerializedEntity,
    differing_fields,
    find_launch_plan,
    key_of,
    launch_plan_id,
    register,
    serialize,
)
from hydraflyte.launcher.remote import Creation


@task
def increment(x: int) -> int:
    return x + 1


@workflow
def twice(x: int) -> int:
    return increment(x=increment(x=x))


@workflow
def outer(x: int = 1) -> int:
    return increment(x=twice(x=x))


_shared_entities = len(FlyteEntities.entities)

described = ImageSpec(name="described", registry="localhost:1", packages=["numpy"])
"""At a registry that nobody serves: whoever asks it gets no answer."""


@task(container_image=described)
def in_an_image(x: int) -> int:
    return x


@task(container_image=described)
def each_in_an_image(x: int) -> int:
    return x


each = map_task(each_in_an_image)


@workflow
def with_images(x: int = 1) -> int:
    each(x=[x])
    return in_an_image(x=x)


del FlyteEntities.entities[_shared_entities:]  # else flytekit asks for their image whenever any test registers anything


def plan(*, image: str | None = None, key: str = "key-1", version: str = "v1") -> RegistrationPlan:
    return RegistrationPlan(
        project="flytesnacks",
        domain="development",
        version=version,
        image=image,
        environment={"HYDRAFLYTE_PYTHON": "/usr/bin/python3"},
        bundle_uri="/blobs/code.tar.gz",
        key=key,
    )


def serialized(**settings: str) -> tuple[SerializedEntity, ...]:
    return serialize(outer, (increment, twice, outer), plan(**settings))


def main_launch_plan(version: str = "v1") -> identifier_pb2.Identifier:
    return launch_plan_id(outer.name, project="flytesnacks", domain="development", version=version)


def test_every_entity_comes_after_those_it_uses_and_the_main_launch_plan_last() -> None:
    kinds = [(entity.kind, entity.identifier.name.rpartition(".")[2]) for entity in serialized()]

    assert kinds.index(("task", "increment")) < kinds.index(("workflow", "twice")) < kinds.index(("workflow", "outer"))
    assert kinds[-1] == ("launch plan", "outer")
    assert len(kinds) == len(set(kinds))


def test_tasks_fetch_the_bundle_and_carry_the_environment() -> None:
    spec = serialized()[0].spec

    assert isinstance(spec, task_pb2.TaskSpec)
    container = spec.template.container
    assert list(container.args[:5]) == [
        "pyflyte-fast-execute",
        "--additional-distribution",
        "/blobs/code.tar.gz",
        "--dest-dir",
        ".",
    ]
    assert [(pair.key, pair.value) for pair in container.env] == [("HYDRAFLYTE_PYTHON", "/usr/bin/python3")]


def test_an_image_of_the_users_own_is_taken_for_tasks_that_name_none() -> None:
    spec = serialized(image="ghcr.io/me/train:2")[0].spec

    assert isinstance(spec, task_pb2.TaskSpec)
    assert spec.template.container.image == "ghcr.io/me/train:2"


def test_the_main_launch_plan_carries_the_key_of_its_registration() -> None:
    spec = serialized(key="abc")[-1].spec

    assert isinstance(spec, launch_plan_pb2.LaunchPlanSpec)
    assert dict(spec.annotations.values) == {REGISTRATION_KEY: "abc"}


def test_registering_twice_changes_nothing_the_second_time() -> None:
    client = ScriptedFlyteClient()

    first = register(client, serialized())
    second = register(client, serialized())

    assert first.launch_plan == main_launch_plan()
    assert (first.count(Creation.CREATED), first.count(Creation.UNCHANGED)) == (4, 0)
    assert (second.count(Creation.CREATED), second.count(Creation.UNCHANGED)) == (0, 4)


def test_the_key_tells_what_was_registered_by_whom() -> None:
    client = ScriptedFlyteClient()
    assert find_launch_plan(client, main_launch_plan()) is None

    register(client, serialized(key="abc"))
    client.create(main_launch_plan("v2"), launch_plan_pb2.LaunchPlanSpec())

    ours, theirs = (find_launch_plan(client, main_launch_plan(version)) for version in ("v1", "v2"))
    assert ours is not None
    assert theirs is not None
    assert (key_of(ours), key_of(theirs)) == ("abc", "")


def test_a_launch_that_was_a_little_slower_finds_everything_registered() -> None:
    client = ScriptedFlyteClient()
    register(client, serialize(outer, (increment, twice, outer), replace(plan(), annotations={"user": "a"})))

    registration = register(
        client, serialize(outer, (increment, twice, outer), replace(plan(), annotations={"user": "b"}))
    )

    assert registration.count(Creation.UNCHANGED) == len(registration.entities)


def test_the_main_launch_plan_has_the_defaults_that_it_is_given() -> None:
    defaults = literals_pb2.LiteralMap()
    defaults.literals["x"].scalar.primitive.integer = 7
    defaults.literals["other"].scalar.primitive.integer = 8

    spec = serialize(outer, (increment, twice, outer), replace(plan(), defaults=defaults))[-1].spec

    assert isinstance(spec, launch_plan_pb2.LaunchPlanSpec)
    assert {name: it.default.scalar.primitive.integer for name, it in spec.default_inputs.parameters.items()} == {
        "x": 7
    }


def test_a_version_that_is_taken_by_other_content_is_an_error_that_shows_the_difference() -> None:
    client = ScriptedFlyteClient()
    register(client, serialized(image="ghcr.io/me/train:1"))

    with pytest.raises(RegistrationError) as caught:
        register(client, serialized(image="ghcr.io/me/train:2"))

    text = str(caught.value)
    assert "is already registered as version v1 with other content:" in text
    assert "  - template.container.image: 'ghcr.io/me/train:1' -> 'ghcr.io/me/train:2'" in text
    assert "hydra.launcher.workflow.version" in caught.value.hint


def test_an_entity_that_is_not_valid_is_named_with_the_backends_reason() -> None:
    class Refusing(ScriptedFlyteClient):
        def create(self, identifier, spec):  # type: ignore[no-untyped-def]  # as the client's
            from hydraflyte.errors import BackendRefusedError

            raise BackendRefusedError("refused: no such type", hint="a test", code="INVALID_ARGUMENT")

    with pytest.raises(RegistrationError, match=r"^The task .*increment is not accepted: refused: no such type"):
        register(Refusing(), serialized())


def test_what_the_compiler_adds_to_a_workflow_is_no_difference() -> None:
    wanted = next(entity.spec for entity in serialized() if entity.kind == "workflow")
    assert isinstance(wanted, workflow_pb2.WorkflowSpec)
    compiled = workflow_pb2.WorkflowSpec()
    compiled.template.CopyFrom(wanted.template)
    compiled.template.nodes.add(id="start-node")
    compiled.template.nodes.add(id="end-node")
    compiled.template.nodes[1].upstream_node_ids.append("n0")

    assert differing_fields(compiled, wanted) == ()


def test_a_long_list_of_differences_is_cut_off() -> None:
    before, after = task_pb2.TaskSpec(), task_pb2.TaskSpec()
    for number in range(20):
        before.template.config[f"key{number:02}"] = "a"
        after.template.config[f"key{number:02}"] = "b"

    differences = differing_fields(before, after)

    assert len(differences) == 13
    assert differences[0] == "template.config.key00: 'a' -> 'b'"
    assert differences[-1] == "and 8 more"


def test_images_that_tasks_describe_are_only_named_where_none_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    specs = [entity.spec for entity in serialize(with_images, (in_an_image, each, with_images), plan())]

    images = {spec.template.container.image for spec in specs if isinstance(spec, task_pb2.TaskSpec)}
    assert images == {described.image_name()}
    assert in_an_image.container_image is described
    assert capsys.readouterr().out == ""  # flytekit has asked nobody


def test_an_image_of_which_nobody_knows_whether_it_exists_is_not_taken_for_an_existing_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # flytekit leaves a socket to Docker open
        with pytest.raises(RegistrationError, match=r"cannot build the image that .*in_an_image describes") as caught:
            serialize(with_images, (in_an_image, each, with_images), replace(plan(), builds_image_specs=True))
        error: BaseException | None = caught.value
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__
        gc.collect()

    assert "hydra.launcher.build_images=false" in caught.value.hint
