"""flytekit's own clients, unmodified, against the control plane."""

import sys
import textwrap
from datetime import timedelta

import flytekit.exceptions.user as flyte_errors
import pytest
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import Config, Image, ImageConfig, PlatformConfig, SerializationSettings
from flytekit.core.context_manager import FlyteContextManager
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

    with_x = LaunchPlan.get_or_create(outer, name="flow_under_test.with_x", default_inputs={"x": 5}, fixed_inputs={"y": 1})
    """
)


@pytest.fixture
def flow(tmp_path, monkeypatch):
    (tmp_path / "flow_under_test.py").write_text(FLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flow_under_test", raising=False)
    import flow_under_test

    from flytekit import LaunchPlan

    yield flow_under_test
    LaunchPlan.CACHE.clear()
    sys.modules.pop("flow_under_test", None)


@pytest.fixture
def remote(plane):
    platform = PlatformConfig(endpoint=f"127.0.0.1:{plane.port}", insecure=True)
    remote = FlyteRemote(
        Config(platform=platform), default_project="flytesnacks", default_domain="development"
    )
    yield remote
    remote.client._channel.close() if hasattr(remote.client._channel, "close") else None


@pytest.fixture
def settings():
    image = ImageConfig(default_image=Image(name="default", fqn="example.org/image", tag="v1"))
    return SerializationSettings(image_config=image, project="flytesnacks", domain="development", version="v1")


def test_a_workflow_is_registered_executed_and_its_outputs_are_read(remote, plane, flow, settings):
    from flytekit.core.type_engine import TypeEngine

    six = TypeEngine.dict_to_literal_map(FlyteContextManager.current_context(), {"o0": 6}, {"o0": int})
    plane.executor.outputs["flow_under_test.double"] = six.to_flyte_idl()

    remote.register_workflow(flow.outer, serialization_settings=settings)
    execution = remote.execute(remote.fetch_workflow(name="flow_under_test.outer", version="v1"), inputs={"x": 3})
    execution = remote.wait(execution, poll_interval=timedelta(milliseconds=20))

    assert execution.closure.phase == 4  # SUCCEEDED
    assert execution.outputs["o0"] == 6
    assert sorted(execution.node_executions) == ["end-node", "n0", "n1", "start-node"]
    assert execution.inputs["y"] == 4
