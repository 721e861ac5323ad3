"""flytekit's own clients, unmodified, against the control plane."""

import importlib
import sys
import textwrap
import time
from datetime import timedelta

import pytest
from flytekit import LaunchPlan
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import Config, Image, ImageConfig, PlatformConfig, SerializationSettings
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.exceptions.user import (
    FlyteAuthenticationException,
    FlyteEntityNotExistException,
    FlyteInvalidInputException,
)
from flytekit.models.core.identifier import WorkflowExecutionIdentifier
from flytekit.remote import FlyteRemote

FLOW = textwrap.dedent(
    """
    from flytekit import LaunchPlan, task, workflow

    @task
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def inner(x: int) -> int:
        return double(x=x)

    @workflow
    def outer(x: int, y: int = 4) -> int:
        return double(x=inner(x=x))

    preset = LaunchPlan.get_or_create(outer, name="preset", default_inputs={"x": 5}, fixed_inputs={"y": 1})
    """
)
SUCCEEDED, ABORTED = 4, 7


@pytest.fixture
def flow(tmp_path, monkeypatch):
    (tmp_path / "flow_under_test.py").write_text(FLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("flow_under_test", None)
    yield importlib.import_module("flow_under_test")
    LaunchPlan.CACHE.clear()
    sys.modules.pop("flow_under_test", None)


def client_of(plane, **platform):
    return SynchronousFlyteClient(PlatformConfig(endpoint=f"127.0.0.1:{plane.port}", insecure=True, **platform))


def remote_of(plane):
    config = Config(platform=PlatformConfig(endpoint=f"127.0.0.1:{plane.port}", insecure=True))
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


@pytest.fixture
def remote(plane):
    return remote_of(plane)


@pytest.fixture
def settings():
    return settings_of("v1")


def settings_of(version, tag="v1"):
    image = ImageConfig(default_image=Image(name="default", fqn="example.org/image", tag=tag))
    return SerializationSettings(image_config=image, project="flytesnacks", domain="development", version=version)


def literals(**values):
    types = {name: type(value) for name, value in values.items()}
    return TypeEngine.dict_to_literal_map(FlyteContextManager.current_context(), values, types).to_flyte_idl()


def test_a_workflow_is_registered_executed_and_its_outputs_are_read(remote, plane, flow, settings):
    plane.executor.outputs["flow_under_test.double"] = literals(o0=6)

    remote.register_workflow(flow.outer, serialization_settings=settings)
    workflow = remote.fetch_workflow(name="flow_under_test.outer", version="v1")
    execution = remote.execute(workflow, inputs={"x": 3})
    execution = remote.wait(execution, poll_interval=timedelta(milliseconds=20))

    assert execution.closure.phase == SUCCEEDED
    assert execution.outputs["o0"] == 6
    assert execution.inputs["y"] == 4
    assert sorted(execution.node_executions) == ["end-node", "n0", "n1", "start-node"]
    below = execution.node_executions["n0"].subworkflow_node_executions
    assert sorted(below) == ["n0-0-end-node", "n0-0-n0", "n0-0-start-node"]


def test_a_single_task_is_executed(remote, plane, flow, settings):
    plane.executor.outputs["flow_under_test.double"] = literals(o0=8)

    remote.register_task(flow.double, serialization_settings=settings)
    task = remote.fetch_task(name="flow_under_test.double", version="v1")
    execution = remote.wait(remote.execute(task, inputs={"x": 4}), poll_interval=timedelta(milliseconds=20))

    assert execution.closure.phase == SUCCEEDED
    assert execution.outputs["o0"] == 8


def test_registering_unchanged_entities_again_is_no_error(remote, flow, settings):
    remote.register_workflow(flow.outer, serialization_settings=settings)

    remote.register_workflow(flow.outer, serialization_settings=settings)


def test_registering_changed_entities_under_the_same_version_is_an_error(remote, flow, settings):
    remote.register_workflow(flow.outer, serialization_settings=settings)

    with pytest.raises(FlyteInvalidInputException):
        remote.register_workflow(flow.outer, serialization_settings=settings_of("v1", tag="v2"))


def test_the_latest_version_is_fetched_when_none_is_given(remote, plane, flow):
    for version in ("old", "new"):
        remote.register_workflow(flow.outer, serialization_settings=settings_of(version))
        plane.do(lambda: plane.parts.clock.advance(timedelta(seconds=1)))

    assert remote.fetch_workflow(name="flow_under_test.outer").id.version == "new"
    assert remote.fetch_launch_plan(name="flow_under_test.outer").id.version == "new"


def test_a_launch_plan_s_defaults_and_fixed_inputs_reach_the_execution(remote, plane, flow, settings):
    plane.executor.outputs["flow_under_test.double"] = literals(o0=20)
    remote.register_workflow(flow.outer, serialization_settings=settings)
    remote.register_launch_plan(flow.preset, version="v1", serialization_settings=settings)

    plan = remote.fetch_launch_plan(name="preset", version="v1")
    execution = remote.wait(remote.execute(plan, inputs={}), poll_interval=timedelta(milliseconds=20))

    assert (execution.inputs["x"], execution.inputs["y"]) == (5, 1)
    with pytest.raises(FlyteInvalidInputException):
        remote.execute(plan, inputs={"y": 2})


def test_an_activated_launch_plan_is_the_one_fetched_as_active(remote, flow, settings):
    remote.register_workflow(flow.outer, serialization_settings=settings)
    plan = remote.fetch_launch_plan(name="flow_under_test.outer", version="v1")

    assert remote.fetch_active_launchplan(name="flow_under_test.outer") is None
    remote.activate_launchplan(plan.id)
    assert remote.fetch_active_launchplan(name="flow_under_test.outer").id == plan.id


def test_an_execution_is_terminated_and_listed(remote, plane, flow, settings):
    plane.executor.stuck.add("flow_under_test.double")
    remote.register_workflow(flow.outer, serialization_settings=settings)
    workflow = remote.fetch_workflow(name="flow_under_test.outer", version="v1")
    execution = remote.execute(workflow, inputs={"x": 3}, execution_name="to-be-stopped")

    remote.terminate(execution, cause="enough")
    execution = remote.wait(execution, poll_interval=timedelta(milliseconds=20))

    assert execution.closure.phase == ABORTED
    assert execution.error is None
    assert [each.id.name for each in remote.recent_executions()] == ["to-be-stopped"]


def test_what_does_not_exist_raises_flytekit_s_own_error(remote):
    with pytest.raises(FlyteEntityNotExistException):
        remote.client.get_execution(flyte_id("nobody"))


def flyte_id(name):
    return WorkflowExecutionIdentifier("flytesnacks", "development", name)


def test_waiting_ends_with_the_execution_and_not_with_the_next_poll(serve, flow, settings):
    with serve() as plane:
        plane.executor.stuck.add("flow_under_test.double")
        plane.executor.outputs["flow_under_test.double"] = literals(o0=6)
        remote = remote_of(plane)
        remote.register_task(flow.double, serialization_settings=settings)
        task = remote.fetch_task(name="flow_under_test.double", version="v1")
        execution = remote.execute(task, inputs={"x": 3})
        plane.loop.call_soon_threadsafe(plane.loop.call_later, 0.3, plane.executor.finish)

        begun = time.monotonic()
        execution = remote.wait(execution)  # flytekit polls every 30 s

        assert execution.outputs["o0"] == 6
        assert time.monotonic() - begun < 5


def test_a_client_with_an_external_command_shows_its_token(serve, tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text("the-owner's-token\n")
    with serve(token="the-owner's-token") as plane:
        client = client_of(plane, auth_mode="ExternalCommand", command=["cat", str(token_file)])

        projects = client.list_projects_paginated(limit=10)[0]

        assert sorted(project.id for project in projects) == ["flyteexamples", "flytesnacks", "flytetester"]


def test_a_client_with_a_wrong_token_is_not_let_in(serve, tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text("somebody-else's\n")
    with serve(token="the-owner's-token") as plane:
        client = client_of(plane, auth_mode="ExternalCommand", command=["cat", str(token_file)])

        with pytest.raises(FlyteAuthenticationException):
            client.list_projects_paginated(limit=10)


def test_the_config_file_s_keys_mean_the_same(serve, tmp_path):
    (tmp_path / "token").write_text("the-owner's-token\n")
    with serve(token="the-owner's-token") as plane:
        config_file = tmp_path / "config.yaml"
        config_file.write_text(
            f"admin:\n  endpoint: 127.0.0.1:{plane.port}\n  insecure: true\n"
            f'  authType: ExternalCommand\n  command: ["cat", "{tmp_path}/token"]\n'
        )
        remote = FlyteRemote(
            Config.auto(config_file=str(config_file)),
            default_project="flytesnacks",
            default_domain="development",
        )

        assert remote.recent_executions() == []
