"""A Hydra program whose images are made on the way: what is pushed, registered and said."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.image_tools import require

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.artifacts.contents import read_package
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.register import launch_plan_id
from hydraflyte.launcher.remote import GrpcFlyteClient

PROGRAM = """
import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def square(x: float) -> float:
    return x * x


@task(container_image="{{.images.gpu.fqn}}:{{.images.gpu.version}}")
def halve(x: float) -> float:
    return x / 2


@workflow
def halved_squares(x: float = 2.0) -> float:
    return halve(x=square(x=x))


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> float:
    return halved_squares(**cfg)


if __name__ == "__main__":
    main()
"""
DOCKERFILE = """ARG BASE_IMAGE
ARG BASE_VERSION
FROM ${BASE_IMAGE}:${BASE_VERSION}
WORKDIR /app
RUN echo installed > /installed
COPY . .
"""
DEFAULT = "hydra.launcher.workflow.default_image"


@pytest.fixture
def project(tmp_path, flyte_backend: RunningBackend) -> Path:
    require("skopeo")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def launch(project, *overrides, environment=None):
    return subprocess.run(
        [sys.executable, "program.py", "-m", "+x=4", *overrides],
        cwd=project,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def image_settings(registry, base, name):
    """The default image by a Dockerfile, and one more that only gets the code."""
    repository, _, tag = base.rpartition(":")
    gpu = f"{{flyte_image_name:gpu,base_image:'{repository}',base_image_version:'{tag}',builder:append"
    return (
        "hydra.launcher.build_images=true",
        f"{DEFAULT}.base_image={repository}",
        f"{DEFAULT}.base_image_version='{tag}'",
        f"{DEFAULT}.target_image={registry}/{name}/app",
        f"{DEFAULT}.target_image_version=v1",
        f"hydra.launcher.workflow.extra_images=[{gpu},target_image:'{registry}/{name}/gpu'}}]",
    )


def registered_images(flyte_backend, output):
    """Return the images that the tasks of the launched version name."""
    version = re.search(r"version (\S+) \(", output)[1]
    client = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": flyte_backend.home}))
    try:
        return {name: image_of(client, name, version) for name in ("square", "halve")}
    finally:
        client.close()


def image_of(client, name, version):
    identifier = launch_plan_id(f"program.{name}", project="flytesnacks", domain="development", version=version)
    identifier.resource_type = 1
    return client.fetch(identifier).closure.compiled_task.template.container.image


def digest_of(reference):
    said = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"], capture_output=True, check=True
    )
    return json.loads(said.stdout)["Digest"]


def test_tasks_are_registered_with_the_digests_of_what_was_built(
    project, registry, shell_image, podman, flyte_backend, no_docker
):
    settings = image_settings(registry, shell_image, "launched")

    ended = launch(project, *settings, environment={**podman.environment, **no_docker})

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ": 8.0" in ended.stdout
    assert registered_images(flyte_backend, ended.stdout) == {
        "square": f"{registry}/launched/app@{digest_of(f'{registry}/launched/app:v1')}",
        "halve": f"{registry}/launched/gpu@{digest_of(f'{registry}/launched/gpu:latest')}",
    }


def test_unchanged_content_is_not_built_again_and_changed_code_only_appended(
    project, registry, shell_image, podman, flyte_backend, no_docker
):
    settings = image_settings(registry, shell_image, "again")
    first = launch(project, *settings, environment={**podman.environment, **no_docker})

    no_builder = {"PATH": str(Path(sys.executable).parent)}
    unchanged = launch(project, *settings, environment=no_builder)
    (project / "program.py").write_text(PROGRAM.replace("x * x", "x * x * x"))
    changed = launch(project, *settings, environment=no_builder)

    assert "default image built" in first.stdout, first.stdout + first.stderr
    assert "default image unchanged" in unchanged.stdout, unchanged.stdout + unchanged.stderr
    assert "is registered already" in unchanged.stdout
    assert "default image appended" in changed.stdout, changed.stdout + changed.stderr
    assert ": 32.0" in changed.stdout


def test_for_another_endpoint_auto_makes_the_images_and_the_code_is_in_them(
    project, registry, shell_image, podman, flyte_backend, no_docker, tmp_path_factory
):
    settings = image_settings(registry, shell_image, "cluster")[1:]  # build_images is auto
    elsewhere = {"HYDRAFLYTE_HOME": str(tmp_path_factory.mktemp("another-home"))}  # the backend is not this home's own

    ended = launch(
        project, *settings, "hydra.launcher.run=false", environment={**podman.environment, **no_docker, **elsewhere}
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "default image built" in ended.stdout
    assert "code bundle" not in ended.stdout
    images = registered_images(flyte_backend, ended.stdout)
    assert images["square"] == f"{registry}/cluster/app@{digest_of(f'{registry}/cluster/app:v1')}"


def test_a_package_names_the_images_by_digest(project, registry, shell_image, flyte_backend):
    (project / "Dockerfile").unlink()  # then the default image is appended to, as the other is

    ended = launch(
        project, *image_settings(registry, shell_image, "packaged"), "hydra.launcher.package=../images.artifact"
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    packaged = read_package(project.parent / "images.artifact", project)
    images = {
        entity.identifier.name: entity.spec.template.container.image
        for entity in packaged.entities
        if entity.kind == "task"
    }
    assert images == {
        "program.square": f"{registry}/packaged/app@{digest_of(f'{registry}/packaged/app:v1')}",
        "program.halve": f"{registry}/packaged/gpu@{digest_of(f'{registry}/packaged/gpu:latest')}",
    }


def test_a_failing_build_stops_the_launch_with_its_last_lines(
    project, registry, shell_image, podman, flyte_backend, no_docker
):
    (project / "Dockerfile").write_text(DOCKERFILE.replace("echo installed > /installed", "echo no such wheel; exit 4"))

    settings = image_settings(registry, shell_image, "failing")
    ended = launch(project, *settings, environment={**podman.environment, **no_docker})

    assert ended.returncode == 1
    assert "The default image cannot be built by podman: a RUN of the Dockerfile failed (exit status 4)" in ended.stderr
    assert "no such wheel" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ctrl_c_stops_the_builder(project, registry, shell_image, podman, flyte_backend, no_docker):
    (project / "Dockerfile").write_text(DOCKERFILE.replace("echo installed > /installed", "sleep 298.6"))
    launched = subprocess.Popen(
        [sys.executable, "program.py", "-m", "+x=4", *image_settings(registry, shell_image, "stopped")],
        cwd=project,
        env={**os.environ, **podman.environment, **no_docker, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    next(line for line in launched.stdout if "RUN sleep 298.6" in line)

    launched.send_signal(signal.SIGINT)

    try:
        rest, _ = launched.communicate(timeout=40)
    finally:
        launched.kill()
    assert launched.returncode != 0, rest
    assert subprocess.run(["pgrep", "-f", "^sleep 298.6"], capture_output=True, check=False).returncode == 1


def test_the_plan_names_the_images_and_nothing_is_asked_or_pushed(project, registry, shell_image, flyte_backend):
    ended = launch(project, *image_settings("localhost:1", shell_image, "plan"), "hydra.launcher.dry_run=true")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"default: localhost:1/plan/app:v1 on {shell_image}, by auto, which builds Dockerfile" in ended.stdout
    assert f"gpu: localhost:1/plan/gpu:latest on {shell_image}, by append" in ended.stdout


def test_an_image_that_somebody_else_pushes_is_pinned_or_missed(project, registry, shell_image, flyte_backend):
    (project / "program.py").write_text(PROGRAM.replace("{{.images.gpu.fqn}}:{{.images.gpu.version}}", "none:1"))
    repository, _, tag = shell_image.rpartition(":")
    settings = ("hydra.launcher.build_images=true", f"{DEFAULT}.builder=none", f"{DEFAULT}.target_image={repository}")

    there = launch(project, *settings, f"{DEFAULT}.target_image_version='{tag}'", "hydra.launcher.run=false")
    missing = launch(project, *settings, f"{DEFAULT}.target_image_version=no-such")

    assert there.returncode == 0, there.stdout + there.stderr
    assert registered_images(flyte_backend, there.stdout)["square"] == f"{repository}@{digest_of(shell_image)}"
    assert missing.returncode == 1
    assert f"The default image {repository}:no-such does not exist, and nothing is to build it." in missing.stderr


@pytest.fixture
def no_docker():
    """No daemon answers, whatever runs on this machine: the next builder of the table is taken."""
    return {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
