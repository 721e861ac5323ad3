"""What the clients' tests look at: entities registered once, and one finished execution of them."""

from dataclasses import dataclass
from pathlib import Path

import client_flows
import grpc
import pytest
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from flytekit.remote import FlyteRemote
from flytekit.remote.executions import FlyteWorkflowExecution
from yaml.emitter import Emitter

FLOWS = Path(__file__).parents[1] / "flows"
VERSION = "for-clients"


@dataclass(frozen=True)
class Story:
    """Version ``VERSION`` of ``client_flows``, and an execution of its ``story`` with x=7 that has ended well."""

    version: str
    execution: FlyteWorkflowExecution
    remote: FlyteRemote

    def wait(self, name):
        """Wait for the end of another execution."""
        return self.remote.wait(self.remote.fetch_execution(name=name))


@pytest.fixture(autouse=True)
def yaml_as_it_was(monkeypatch):
    """Take back what ``dump`` of flytekit's metrics does to PyYAML for good: no text keeps its tags after it."""
    monkeypatch.setattr(Emitter, "process_tag", Emitter.process_tag)


@pytest.fixture
def stub(flyte_backend):
    """flyteidl's own stub of AdminService, on the owner's socket."""
    with grpc.insecure_channel(f"unix:{flyte_backend.socket}") as channel:
        yield AdminServiceStub(channel)


@pytest.fixture(scope="session")
def story(remote):
    """Register everything in ``client_flows`` and run ``story`` once."""
    for entity in (client_flows.story, client_flows.asks, client_flows.at_time, client_flows.nightly):
        remote.register_script(entity, version=VERSION, source_path=str(FLOWS), module_name="client_flows")
    workflow = remote.fetch_workflow(name="client_flows.story", version=VERSION)
    execution = remote.execute(workflow, inputs={"x": 7}, execution_name="the-story", wait=True)
    return Story(version=VERSION, execution=remote.sync(execution, sync_nodes=True), remote=remote)
