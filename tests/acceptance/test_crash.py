"""``kill -9`` of the backend in the middle of a workflow: the next one takes the execution up where it was."""

import os
import signal
from pathlib import Path

import pytest
from trouble_flows import is_interrupted

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def home(tmp_path):
    home = Home(root=tmp_path / "home")
    yield home
    stop_backend(home)


def remote_of(running):
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    config = Config.auto(config_file=running.config)
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


def wait_for(condition, timeout_s=60):
    import time

    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def test_an_interrupted_execution_goes_on_and_finished_tasks_are_not_run_again(home, tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    running = start_backend(home, BackendOptions(port=0))
    remote = remote_of(running)
    registered = remote.register_script(is_interrupted, source_path=str(FLOWS), module_name="trouble_flows")
    execution = remote.execute(registered, inputs={"folder": str(folder)})
    wait_for(lambda: list(folder.glob("waiting-*")))

    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not home.is_locked())
    remote = remote_of(start_backend(home, BackendOptions(port=0)))
    wait_for(lambda: len(list(folder.glob("waiting-*"))) == 2)
    (folder / "go").touch()
    ended = remote.wait(remote.fetch_execution(name=execution.id.name))

    assert ended.outputs == {"o0": str(folder)}
    assert len(list(folder.glob("first-*"))) == 1
    assert [task.id.retry_attempt for task in ended.node_executions["n1"].task_executions] == [0, 1]
