"""The command line of a container: what is the image's stays the image's, and no value is an argument."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core.tasks_pb2 import Container, TaskTemplate

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.executor.container_arguments import (
    ContainerError,
    Surroundings,
    container_name,
    create_arguments,
    image_of,
    is_from_this_machine,
    split_variables,
    variables_of,
)
from hydraflyte.backend.executor.demands import Demand, Needs
from hydraflyte.backend.executor.mounts import Mount
from hydraflyte.backend.executor.runtimes import ContainerRuntime
from hydraflyte.backend.executor.workplaces import Assignment
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId
from hydraflyte.task_runtime import TaskRuntime

HOME = Path("/h")
FAST = ("pyflyte-fast-execute", "--additional-distribution", "/h/blobs/b.tar.gz", "--dest-dir", "/root", "--", "prog")
DOCKER = ContainerRuntime(
    kind=TaskRuntime.DOCKER,
    program="/usr/bin/docker",
    version="1",
    is_root_ours=True,
    limits_memory=True,
    limits_cpu=True,
)
PODMAN = replace(DOCKER, kind=TaskRuntime.PODMAN, program="/usr/bin/podman")
SURROUNDINGS = Surroundings(
    home=HOME,
    blobs=HOME / "blobs",
    shown=(HOME / "token",),
    env={"FLYTE_PLATFORM_URL": "127.0.0.1:1"},
    client_env=frozenset({"PATH"}),
    user=(1000, 100),
    processors=2,
)


def assignment(*args, command=(), image="registry.example/app:1", needs=None, devices=(), raw="/h/blobs/raw", env=None):
    owner = ExecutionId(project="p", domain="d", name="e")
    spec = AttemptSpec(
        attempt=AttemptId(execution=owner, node=NodeId("n0"), attempt=0),
        argv=(*command, *args),
        env=env or {},
        task=TaskTemplate(container=Container(image=image, command=command, args=args)),
        inputs_uri="/h/blobs/meta/inputs.pb",
        output_prefix="/h/blobs/meta/0",
        raw_output_prefix=raw,
        bundle_uri="/h/blobs/b.tar.gz",
    )
    return Assignment(
        key="p/d/e/n0/0",
        spec=spec,
        directory=HOME / "attempts/a",
        needs=needs or Needs(demand=Demand()),
        devices=devices,
        mount=Mount(env={}),
    )


def arguments(runtime, given):
    return create_arguments(runtime, SURROUNDINGS, given, ())


def test_arguments_without_a_command_leave_the_entrypoint_to_the_image():
    found = arguments(DOCKER, assignment("execute", "--task", "x"))

    assert "--entrypoint" not in found
    assert found[-4:] == ["registry.example/app:1", "execute", "--task", "x"]


def test_a_command_replaces_the_entrypoint():
    found = arguments(DOCKER, assignment("--task", "x", command=("java", "-jar")))

    assert found[-6:] == ["--entrypoint", "java", "registry.example/app:1", "-jar", "--task", "x"]


def test_a_pods_primary_container_has_an_image_and_a_command():
    template = TaskTemplate()
    template.k8s_pod.primary_container_name = "main"
    main = {"name": "main", "image": "registry.example/pod:2", "command": ["run"], "args": ["fast"]}
    template.k8s_pod.pod_spec.update({"containers": [{"name": "side", "image": "other"}, main]})
    given = assignment("run", "fast")
    given = replace(given, spec=replace(given.spec, task=template))

    assert image_of(template) == "registry.example/pod:2"
    assert arguments(DOCKER, given)[-4:] == ["--entrypoint", "run", "registry.example/pod:2", "fast"]


def test_the_blob_store_is_at_the_same_path_and_what_others_may_not_change_is_read_only():
    found = arguments(DOCKER, assignment("x"))

    assert "--mount=type=bind,source=/h/blobs,target=/h/blobs" in found
    assert "--mount=type=bind,source=/h/token,target=/h/token,readonly" in found
    assert sum(option.startswith("--mount") for option in found) == 2


def test_raw_data_that_goes_elsewhere_is_mounted_too_and_a_remote_prefix_is_not():
    elsewhere = arguments(DOCKER, assignment("x", raw="/data/raw/e/0"))
    remote = arguments(DOCKER, assignment("x", raw="s3://bucket/raw"))

    assert "--mount=type=bind,source=/data/raw/e/0,target=/data/raw/e/0" in elsewhere
    assert not any("s3:" in option for option in remote)


def test_a_path_that_a_mount_cannot_name_is_refused():
    with pytest.raises(ContainerError, match="'/data/a,b' cannot be shown"):
        arguments(DOCKER, assignment("x", raw="/data/a,b"))


def test_limits_are_what_the_runtime_can_enforce_and_what_the_machine_has():
    needs = Needs(demand=Demand(), memory_limit_bytes=64, cpu_limit_millis=8000)

    found = arguments(DOCKER, assignment("x", needs=needs))
    powerless = arguments(replace(DOCKER, limits_memory=False, limits_cpu=False), assignment("x", needs=needs))

    assert {"--memory=64", "--memory-swap=64", "--cpus=2"} <= set(found)
    assert not any(option.startswith(("--memory", "--cpus")) for option in powerless)


def test_gpus_are_named_in_each_runtimes_own_way():
    assert '--gpus="device=0,3"' in arguments(DOCKER, assignment("x", devices=("0", "3")))
    assert {"--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=3"} <= set(
        arguments(PODMAN, assignment("x", devices=("0", "3")))
    )


def test_where_root_is_the_user_the_image_keeps_its_working_directory():
    found = arguments(DOCKER, assignment(*FAST))

    assert "--user=0:0" in found
    assert not any(option.startswith("--workdir") for option in found)
    assert tuple(found[-len(FAST) :]) == FAST


def test_where_root_is_somebody_else_code_is_unpacked_into_the_attempts_own_directory():
    found = arguments(replace(DOCKER, is_root_ours=False), assignment(*FAST))

    assert {"--user=1000:100", "--workdir=/h/attempts/a/work"} <= set(found)
    assert "--mount=type=bind,source=/h/attempts/a/work,target=/h/attempts/a/work" in found
    assert found[-3:] == [".", "--", "prog"]


def test_only_podman_needs_to_be_told_of_a_registry_on_loopback():
    local = assignment("x", image="localhost:5000/app:1")

    assert "--tls-verify=false" in arguments(PODMAN, local)
    assert "--tls-verify=false" not in arguments(DOCKER, local)
    assert "--tls-verify=false" not in arguments(PODMAN, assignment("x"))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("localhost/app", True),
        ("localhost:5000/team/app@sha256:00", True),
        ("127.0.0.1:5000/app", True),
        ("localhost.example/app", False),
        ("app:1", False),
    ],
)
def test_a_registry_on_loopback_is_known_by_its_host(image, expected):
    assert is_from_this_machine(image) is expected


def test_names_differ_between_attempts_and_between_homes():
    names = {container_name(home, key) for home in (HOME, Path("/other")) for key in ("a/0", "a/1")}

    assert len(names) == 4
    assert all(name.startswith("hydraflyte-") for name in names)


def test_no_value_of_a_variable_is_an_argument():
    given = assignment("x", env={"PASSWORD": "hunter2", "KEY": "two\nlines"})
    variables = split_variables(variables_of(given, SURROUNDINGS, DOCKER), SURROUNDINGS.client_env)

    found = create_arguments(DOCKER, SURROUNDINGS, given, tuple(variables.passed))

    assert variables.lines == "FLYTE_PLATFORM_URL=127.0.0.1:1\nPASSWORD=hunter2\n"
    assert variables.passed == {"KEY": "two\nlines"}
    assert "hunter2" not in " ".join(found)
    assert "lines" not in " ".join(found)
    assert found[found.index("--env") + 1] == "KEY"


@pytest.mark.parametrize("name", ["PATH", "DOCKER_HOST", "CONTAINERS_CONF", "LD_PRELOAD"])
def test_a_value_with_line_breaks_never_reaches_the_runtime_as_its_own_setting(name):
    with pytest.raises(ContainerError, match=f"The variable {name} of the task has a value with line breaks"):
        split_variables({name: "a\nb"}, SURROUNDINGS.client_env)


def test_an_interpreter_of_this_machine_is_not_told_to_an_image():
    given = assignment("x", env={"HYDRAFLYTE_PYTHON": "/venv/bin/python", "A": "1"})

    assert variables_of(given, SURROUNDINGS, DOCKER) == {"A": "1", "FLYTE_PLATFORM_URL": "127.0.0.1:1"}
