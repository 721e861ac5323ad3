"""What every ``FlyteClient`` does: the scripted one of the unit tests, and the real one on a real backend."""

from __future__ import annotations

import hashlib
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flyteidl.admin import execution_pb2, task_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flytekit import task, wait_for_input, workflow
from tests.unit.launcher.scripted_client import ScriptedFlyteClient

from hydraflyte.errors import BackendRefusedError, BackendUnavailableError, ConfigError
from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.register import RegistrationPlan, SerializedEntity, register, serialize
from hydraflyte.launcher.remote import Creation, ExecutionQuery, FlyteClient, GrpcFlyteClient, LaunchPlanPlace, Upload

Phase = core_execution_pb2.WorkflowExecution
ENDED = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED)


@task
def nothing(x: int) -> int:
    return x


@workflow
def idle(x: int = 1) -> int:
    return nothing(x=x)


@workflow
def waits(x: int = 1) -> None:
    wait_for_input("go", timeout=timedelta(hours=1), expected_type=bool)


@pytest.fixture(params=["scripted", "real"])
def client(request: pytest.FixtureRequest) -> Iterator[FlyteClient]:
    if request.param == "scripted":
        yield ScriptedFlyteClient()
        return
    backend = request.getfixturevalue("flyte_backend")
    real = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": backend.home}))
    yield real
    real.close()


@pytest.fixture
def entities() -> tuple[SerializedEntity, ...]:
    """A task, its workflow and its launch plan, under a version of their own."""
    return serialize(idle, (nothing, idle), a_plan())


def a_plan() -> RegistrationPlan:
    return RegistrationPlan(
        project="flytesnacks",
        domain="development",
        version=uuid.uuid4().hex,
        image=None,
        environment={},
        bundle_uri=None,
        key="",
    )


def execution_of(entities: tuple[SerializedEntity, ...]) -> execution_pb2.ExecutionCreateRequest:
    request = execution_pb2.ExecutionCreateRequest(
        project="flytesnacks", domain="development", name=f"e{uuid.uuid4().hex[:16]}"
    )
    request.spec.launch_plan.CopyFrom(entities[-1].identifier)
    request.inputs.literals["x"].scalar.primitive.integer = 1
    return request


def test_what_is_not_registered_is_none(client: FlyteClient, entities: tuple[SerializedEntity, ...]) -> None:
    assert [client.fetch(entity.identifier) for entity in entities] == [None, None, None]


def test_what_was_created_can_be_fetched(client: FlyteClient, entities: tuple[SerializedEntity, ...]) -> None:
    created = [client.create(entity.identifier, entity.spec) for entity in entities]

    assert created == [Creation.CREATED] * 3
    for entity in entities:
        found = client.fetch(entity.identifier)
        assert found is not None
        assert found.id == entity.identifier  # type: ignore[attr-defined]  # Task, Workflow or LaunchPlan


def test_launch_plans_are_listed_and_one_version_of_a_name_is_active(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    register(client, entities)
    older, place = entities[-1].identifier, LaunchPlanPlace("flytesnacks", "development", idle.name)
    newer = identifier_pb2.Identifier()
    newer.CopyFrom(older)
    newer.version = f"{older.version}-2"
    client.create(newer, entities[-1].spec)

    client.set_active(older, active=True)
    client.set_active(newer, active=True)

    assert [plan.id.version for plan in client.launch_plans(place)][:2] == [newer.version, older.version]
    assert [plan.id.version for plan in client.launch_plans(place, only_active=True)] == [newer.version]
    client.set_active(newer, active=False)
    assert list(client.launch_plans(place, only_active=True)) == []


def test_projects_and_domains_are_known(client: FlyteClient) -> None:
    assert sorted(client.projects()) == ["flyteexamples", "flytesnacks", "flytetester"]
    assert client.domains() == ("development", "staging", "production")


def test_the_inputs_of_an_execution_can_be_read(client: FlyteClient, entities: tuple[SerializedEntity, ...]) -> None:
    register(client, entities)
    execution = client.create_execution(execution_of(entities))

    assert client.get_inputs(execution).literals["x"].scalar.primitive.integer == 1


def test_creating_the_same_again_changes_nothing(client: FlyteClient, entities: tuple[SerializedEntity, ...]) -> None:
    register(client, entities)

    assert [client.create(entity.identifier, entity.spec) for entity in entities] == [Creation.UNCHANGED] * 3


def test_other_content_under_the_same_version_is_refused(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    register(client, entities)
    changed = task_pb2.TaskSpec()
    changed.CopyFrom(entities[0].spec)
    changed.template.container.image = "another:1"

    with pytest.raises(BackendRefusedError) as caught:
        client.create(entities[0].identifier, changed)

    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_file_is_stored_under_an_address_that_follows_its_content(client: FlyteClient, tmp_path: Path) -> None:
    path = tmp_path / "code.tar.gz"
    path.write_bytes(b"code" * 5000)
    file = Upload(path=path, digest_md5=hashlib.md5(path.read_bytes()).digest())

    first = client.upload("flytesnacks", "development", file)
    second = client.upload("flytesnacks", "development", file)

    assert first == second
    assert first.endswith("/code.tar.gz")


def test_an_execution_is_started_once_however_often_it_is_asked_for(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    register(client, entities)
    request = execution_of(entities)

    first, second = client.create_execution(request), client.create_execution(request)

    assert first == second
    assert first.name == request.name


def test_an_execution_of_nothing_registered_is_refused(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    with pytest.raises(BackendRefusedError):
        client.create_execution(execution_of(entities))


def test_an_execution_more_than_its_launch_plan_allows_is_refused_in_the_backends_words(
    flyte_backend: RunningBackend,
) -> None:
    client = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": flyte_backend.home}))
    entities = serialize(waits, (waits,), a_plan())
    entities[-1].spec.concurrency_policy.max = 1  # type: ignore[attr-defined]  # of a launch plan
    register(client, entities)
    first = client.create_execution(execution_of(entities))

    try:
        with pytest.raises(BackendRefusedError, match="allows 1 executions at a time") as refused:
            client.create_execution(execution_of(entities))
    finally:
        client.terminate(first, cause="seen enough")
        client.close()

    assert refused.value.code == "ALREADY_EXISTS"


def test_an_execution_can_be_followed_to_its_end_and_ended_no_more(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    register(client, entities)
    execution = client.create_execution(execution_of(entities))

    phase = Phase.UNDEFINED
    while phase not in ENDED:  # the suite's timeout ends a client that never gets there
        phase = client.get_execution(execution, patience_s=2.0).closure.phase
    client.terminate(execution, "too late")

    assert client.get_execution(execution, patience_s=0.0).id == execution


def test_executions_are_listed_by_label_the_newest_first(
    client: FlyteClient, entities: tuple[SerializedEntity, ...]
) -> None:
    register(client, entities)
    sweep = uuid.uuid4().hex[:9]
    requests = [execution_of(entities) for _ in range(3)]
    for number, request in enumerate(requests):
        request.spec.labels.values.update({"sweep": sweep if number < 2 else "another", "job": str(number)})
        client.create_execution(request)

    where = ("flytesnacks", "development")
    found = list(client.list_executions(ExecutionQuery(*where, _labelled(sweep))))
    newest = list(client.list_executions(ExecutionQuery(*where, _labelled(sweep), limit=1)))
    named = list(
        client.list_executions(ExecutionQuery(*where, f"value_in(name,{requests[0].name};{requests[2].name})"))
    )
    in_phase = ExecutionQuery(*where, f"{_labelled(sweep)}+value_in(phase,ABORTED;TIMED_OUT)")

    assert [execution.id.name for execution in found] == [requests[1].name, requests[0].name]
    assert [execution.id.name for execution in newest] == [requests[1].name]
    assert sorted(execution.id.name for execution in named) == sorted([requests[0].name, requests[2].name])
    assert list(client.list_executions(in_phase)) == []
    assert dict(found[0].spec.labels.values) == {"sweep": sweep, "job": "1"}


def _labelled(sweep: str) -> str:
    return f"eq(execution_tag.key,sweep)+eq(execution_tag.value,{sweep})"


def test_an_execution_that_does_not_exist_is_refused(client: FlyteClient) -> None:
    missing = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="nowhere")

    with pytest.raises(BackendRefusedError) as caught:
        client.get_execution(missing, patience_s=0.0)

    assert caught.value.code == "NOT_FOUND"


def test_a_backend_that_is_not_there_is_named() -> None:
    client = GrpcFlyteClient(resolve_endpoint("127.0.0.1:1", None, {}))

    with pytest.raises(BackendUnavailableError, match=r"^No Flyte backend answers at 127\.0\.0\.1:1") as caught:
        client.fetch(identifier_pb2.Identifier(resource_type=identifier_pb2.TASK))
    client.close()

    assert "hydra.launcher.endpoint" in caught.value.hint


def test_the_console_s_port_is_told_from_that_of_the_api(flyte_backend: RunningBackend) -> None:
    console = flyte_backend.http_url.removeprefix("http://")

    with pytest.raises(ConfigError) as of_this_home:
        resolve_endpoint(f"http://{console}/console", None, {"HYDRAFLYTE_HOME": flyte_backend.home})
    client = GrpcFlyteClient(resolve_endpoint(console, None, {"HYDRAFLYTE_HOME": "/nowhere"}))
    with pytest.raises(BackendUnavailableError) as of_another:
        client.fetch(identifier_pb2.Identifier(resource_type=identifier_pb2.TASK))
    client.close()

    assert of_this_home.value.message == (
        f"hydra.launcher.endpoint=http://{console}/console is the console of the embedded backend; "
        f"its API is at {flyte_backend.endpoint}."
    )
    assert "what is there serves web pages (HTTP/1.1), and no gRPC" in of_another.value.message


def test_a_backend_that_takes_connections_and_says_nothing_is_given_up_after_four_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = GrpcFlyteClient(resolve_endpoint(f"127.0.0.1:{silent.getsockname()[1]}", None, {}))
        began_at = time.monotonic()

        with pytest.raises(BackendUnavailableError, match=r"no connection within 4 s") as caught:
            client.fetch(identifier_pb2.Identifier(resource_type=identifier_pb2.TASK))
        client.close()

    assert 3.9 < time.monotonic() - began_at < 8  # a program's imports and its config come on top, below 10 s in all
    assert "tried with plain text" in caught.value.hint
