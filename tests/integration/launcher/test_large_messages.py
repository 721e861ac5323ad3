"""Values beyond gRPC's usual limit: the embedded backend takes them, and what another one does not take is named."""

from __future__ import annotations

import uuid

import pytest
from flyteidl.admin import execution_pb2
from flytekit import task, workflow
from tests.integration.launcher.guarded_backend import guarded

from hydraflyte.errors import BackendRefusedError
from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.register import RegistrationPlan, register, serialize
from hydraflyte.launcher.remote import FlyteClient, GrpcFlyteClient

_LARGE = 30_000_000


@task
def length(text: str) -> int:
    return len(text)


@workflow
def measured(text: str = "") -> int:
    return length(text=text)


def ordered(client: FlyteClient, size: int) -> execution_pb2.ExecutionCreateRequest:
    plan = RegistrationPlan(
        project="flytesnacks",
        domain="development",
        version=uuid.uuid4().hex,
        image=None,
        environment={},
        bundle_uri=None,
        key="",
    )
    registration = register(client, serialize(measured, (length, measured), plan))
    request = execution_pb2.ExecutionCreateRequest(project="flytesnacks", domain="development")
    request.spec.launch_plan.CopyFrom(registration.launch_plan)
    request.inputs.literals["text"].scalar.primitive.string_value = "x" * size
    return request


def test_the_embedded_backend_takes_large_inputs_and_gives_them_back(flyte_backend: RunningBackend) -> None:
    client = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": flyte_backend.home}))

    execution = client.create_execution(ordered(client, _LARGE))

    assert len(client.get_inputs(execution).literals["text"].scalar.primitive.string_value) == _LARGE
    client.terminate(execution, "seen")


def test_inputs_that_a_backend_does_not_take_are_named_with_what_to_do(
    flyte_backend: RunningBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded(flyte_backend.socket) as backend:
        backend.new_token()
        monkeypatch.setenv("FLYTE_CREDENTIALS_AUTH_MODE", "ExternalCommand")
        monkeypatch.setenv("FLYTE_CREDENTIALS_COMMAND", "echo,token-1")
        client = GrpcFlyteClient(resolve_endpoint(backend.address, True, {}))

        with pytest.raises(BackendRefusedError, match="RESOURCE_EXHAUSTED") as caught:
            client.create_execution(ordered(client, _LARGE))

    assert caught.value.hint.startswith("pass large values as files (FlyteFile)")
