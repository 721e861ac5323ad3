"""``hydraflyte up --runtime``: tasks in containers of their images, through FlyteRemote and the command line."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from flytekit.configuration import Config, ImageConfig
from flytekit.remote import FlyteRemote

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home
from hydraflyte.secret_files import SecretFiles, SecretName
from hydraflyte.task_runtime import TaskRuntime

FLOWS = Path(__file__).parents[1] / "flows"


class Place:
    """A backend whose tasks run in containers, and a FlyteRemote on it that knows two images."""

    def __init__(self, home, runtime, engine, *images):
        self.home, self.runtime, self.engine = home, runtime, engine
        self.images = ImageConfig.from_images(images[0], {"shell": images[1]})

    def start(self):
        with pytest.MonkeyPatch.context() as environment:
            for name, text in self.engine.environment.items():
                environment.setenv(name, text)
            self.running = start_backend(self.home, BackendOptions(port=0, runtime=self.runtime))
        config = Config.auto(config_file=self.running.config)
        self.remote = FlyteRemote(config, default_project="flytesnacks", default_domain="development")

    def begin(self, workflow, **inputs):
        registered = self.remote.register_script(
            workflow, image_config=self.images, source_path=str(FLOWS), module_name=workflow.__module__
        )
        return self.remote.execute(registered, inputs=inputs)

    def run(self, workflow, **inputs):
        return self.remote.wait(self.begin(workflow, **inputs))

    def containers(self):
        label = f"label=hydraflyte.home={self.home.root}"
        return self.engine.command(self.runtime.value, "ps", "--all", "--quiet", "--filter", label).stdout.split()

    def command(self, *arguments):
        environ = {**os.environ, **self.engine.environment, "HYDRAFLYTE_HOME": str(self.home.root)}
        return subprocess.run(["hydraflyte", *arguments], env=environ, capture_output=True, text=True, check=False)


@contextmanager
def place_of(folder, runtime, engine, image, shell_image):
    place = Place(Home(root=folder / "home"), runtime, engine, image, shell_image)
    place.start()
    try:
        yield place
    finally:
        stop_backend(place.home)


@pytest.fixture(scope="module")
def in_podman(tmp_path_factory, podman, plain_flyte_image, shell_image):
    folder = tmp_path_factory.mktemp("in-podman")
    with place_of(folder, TaskRuntime.PODMAN, podman, plain_flyte_image, shell_image) as place:
        yield place


@pytest.fixture(scope="module")
def in_docker(tmp_path_factory, docker, plain_flyte_image, shell_image):
    folder = tmp_path_factory.mktemp("in-docker")
    with place_of(folder, TaskRuntime.DOCKER, docker, plain_flyte_image, shell_image) as place:
        yield place


@pytest.fixture(params=["in_podman", "in_docker"])
def place(request):
    return request.getfixturevalue(request.param)


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def test_a_workflow_runs_in_an_image_that_knows_nothing_of_hydraflyte(place):
    from contained_flows import crosses_two_containers

    SecretFiles(place.home.secrets).set(SecretName(group="db", key="password"), b"hunter2")

    ended = place.run(crosses_two_containers)

    assert ended.error is None, ended.error.message
    assert json.loads(ended.outputs["o0"]) == {
        "read": "by a container",
        "has_hydraflyte": False,
        "secret": "hunter2",
        "greeting": "hello\nworld",
        "user": 0,
        "execution": True,
        "backends_variables": [],
    }
    wait_for(lambda: place.containers() == [])


def test_an_eager_task_reaches_the_backend_from_its_container(in_podman):
    from eager_flows import doubles

    ended = in_podman.run(doubles, count=2)

    assert ended.error is None, ended.error.message
    assert ended.outputs == {"o0": 2}


def test_a_task_over_its_memory_limit_fails_as_on_a_cluster(in_podman):
    from contained_flows import wants_too_much

    ended = in_podman.run(wants_too_much)

    assert ended.error.code == "RetriesExhausted|OOMKilled"
    assert "the container reached its memory limit of 200.0 MiB" in ended.error.message


def test_a_missing_image_is_one_clear_error(in_podman):
    from contained_flows import has_no_image

    ended = in_podman.run(has_no_image)

    assert ended.error.code == "RetriesExhausted|ContainersNotReady|ImagePullBackOff"
    assert 'Back-off pulling image "localhost:1/no/such:1"' in ended.error.message


def test_a_timeout_ends_the_container(in_podman):
    from contained_flows import takes_too_long

    ended = in_podman.run(takes_too_long)

    assert "TimeoutExpired" in ended.error.code
    wait_for(lambda: in_podman.containers() == [])


def test_a_raw_container_runs_its_own_image(in_podman):
    from contained_flows import says

    ended = in_podman.run(says, text="hello")

    assert ended.error is None, ended.error.message
    logs = in_podman.command("executions", "logs", ended.id.name)
    assert "said hello" in logs.stdout


def test_a_raw_container_exchanges_files_and_values_with_python_tasks(in_podman):
    from contained_flows import exchanges_files

    ended = in_podman.run(exchanges_files, factor=3)

    assert ended.error is None, ended.error.message
    assert ended.outputs == {"o0": 42, "o1": 14}


def test_status_and_doctor_name_the_runtime(place):
    status = place.command("status")
    doctor = place.command("doctor")

    assert f"tasks     {place.runtime.value} " in status.stdout
    assert f"tasks run by: {place.runtime.value} " in doctor.stdout
    assert f"can run tasks: hydraflyte up --runtime {place.runtime.value}" in doctor.stdout


def test_a_runtime_that_does_not_answer_stops_the_backend_from_starting(tmp_path):
    environ = {**os.environ, "HYDRAFLYTE_HOME": str(tmp_path / "home"), "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    environ["PATH"] = f"{tmp_path}:{environ['PATH']}"

    refused = subprocess.run(
        ["hydraflyte", "up", "--runtime", "docker", "--port", "0"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 1
    assert f"{program} cannot run containers: Cannot connect to the Docker daemon" in refused.stderr
    assert "start the backend without --runtime" in refused.stderr


def test_after_kill_9_no_container_goes_on_and_the_attempt_is_made_again(
    tmp_path, podman, plain_flyte_image, shell_image
):
    from trouble_flows import is_interrupted

    with place_of(tmp_path, TaskRuntime.PODMAN, podman, plain_flyte_image, shell_image) as place:
        marks = place.home.blobs / "marks"
        marks.mkdir()
        execution = place.begin(is_interrupted, folder=str(marks))
        wait_for(lambda: list(marks.glob("waiting-*")))

        os.kill(place.running.pid, signal.SIGKILL)
        wait_for(lambda: place.containers() == [])
        place.start()
        wait_for(lambda: len(list(marks.glob("waiting-*"))) == 2)
        (marks / "go").touch()
        ended = place.remote.wait(place.remote.fetch_execution(name=execution.id.name))
        stop_backend(place.home)

        assert ended.outputs == {"o0": str(marks)}
        assert len(list(marks.glob("first-*"))) == 1
        assert [task.id.retry_attempt for task in ended.node_executions["n1"].task_executions] == [0, 1]
        assert place.containers() == []
        assert not place.home.container_runtime.exists()
