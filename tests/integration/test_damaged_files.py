"""A damaged file of one execution: that one fails with the reason, the backend and the others go on."""

import os
import signal
import time
from pathlib import Path

import pytest
from flyteidl.core.execution_pb2 import WorkflowExecution
from trouble_flows import is_interrupted

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent.parent / "acceptance" / "flows"


@pytest.fixture
def home(tmp_path):
    home = Home(root=tmp_path / "home")
    yield home
    stop_backend(home)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def test_an_execution_whose_inputs_are_damaged_fails_and_the_backend_serves(home, tmp_path):
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    running = start_backend(home, BackendOptions(port=0))
    config = Config.auto(config_file=running.config)
    remote = FlyteRemote(config, default_project="flytesnacks", default_domain="development")
    registered = remote.register_script(is_interrupted, source_path=str(FLOWS), module_name="trouble_flows")
    marks = tmp_path / "marks"
    marks.mkdir()
    execution = remote.execute(registered, inputs={"folder": str(marks)})
    wait_for(lambda: list(marks.glob("waiting-*")))

    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not home.is_locked())
    (inputs,) = home.blobs.glob(f"metadata/**/*{execution.id.name}*/**/inputs")
    inputs.write_bytes(b"\xff\xff\xff")
    start_backend(home, BackendOptions(port=0))
    ended = remote.client.get_execution(execution.id)

    assert ended.closure.phase == WorkflowExecution.FAILED
    assert ended.closure.error.code == "StateUnreadable"
    assert "cannot be read back" in ended.closure.error.message
