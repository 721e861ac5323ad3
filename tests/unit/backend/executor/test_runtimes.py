"""Container runtimes are found out when the backend starts; stand-ins answer as docker and podman do."""

from __future__ import annotations

import json
import os

import pytest

from hydraflyte.backend.executor.runtimes import find_runtime
from hydraflyte.errors import BackendStartError
from hydraflyte.task_runtime import TaskRuntime

PODMAN_FACTS = {
    "host": {"cgroupControllers": ["cpu", "memory"], "security": {"rootless": True}},
    "version": {"Version": "5.0.1"},
}
DOCKER_FACTS = {
    "ServerVersion": "26.1",
    "SecurityOptions": ["name=seccomp", "name=rootless"],
    "MemoryLimit": True,
    "CpuCfsQuota": False,
}


def standing_in(folder, name, script):
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_podman_says_what_it_can_limit(tmp_path):
    environ = standing_in(tmp_path, "podman", f"echo '{json.dumps(PODMAN_FACTS)}'")

    found = find_runtime(TaskRuntime.PODMAN, environ)

    assert str(found) == f"podman 5.0.1 ({tmp_path}/podman)"
    assert (found.is_root_ours, found.limits_memory, found.limits_cpu) == (True, True, True)


def test_docker_says_what_it_can_limit(tmp_path):
    environ = standing_in(tmp_path, "docker", f"echo '{json.dumps(DOCKER_FACTS)}'")

    found = find_runtime(TaskRuntime.DOCKER, environ)

    assert str(found) == f"docker 26.1 ({tmp_path}/docker)"
    assert (found.is_root_ours, found.limits_memory, found.limits_cpu) == (True, True, False)


def test_podman_under_the_name_of_docker_is_spoken_to_as_podman(tmp_path):
    environ = standing_in(tmp_path, "docker", f"echo '{json.dumps(PODMAN_FACTS)}'")

    assert find_runtime(TaskRuntime.DOCKER, environ).kind is TaskRuntime.PODMAN


def test_a_runtime_that_is_not_installed_is_named_with_what_to_do(tmp_path):
    with pytest.raises(BackendStartError, match="there is no docker on PATH") as caught:
        find_runtime(TaskRuntime.DOCKER, {"PATH": str(tmp_path)})

    assert "start the backend without --runtime" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "Cannot connect to the Docker daemon"),
        ("exit 3", "exit status 3"),
        ("echo hello", "no JSON"),
    ],
)
def test_a_runtime_that_does_not_answer_is_named_with_its_own_words(tmp_path, script, reason):
    environ = standing_in(tmp_path, "docker", script)

    with pytest.raises(BackendStartError, match=f"cannot run containers: .*{reason}"):
        find_runtime(TaskRuntime.DOCKER, environ)
