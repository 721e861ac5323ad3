"""From a program to outputs through images: built or appended, pushed, registered, and run as containers."""

import os
import subprocess
import sys

import pytest
from tests.acceptance.images.wheels import make_index

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home
from hydraflyte.task_runtime import TaskRuntime

PROGRAM = """
from pathlib import Path

import hydra
from flytekit import task, workflow
from lengths import twice
from omegaconf import DictConfig


@task
def measured(name: str) -> str:
    return f"{name} {twice(3)} {Path('/made').read_text().strip()}"


@task(container_image="{{.images.plain.fqn}}:{{.images.plain.version}}")
def framed(text: str) -> str:
    import alpha  # a dependency of this image alone

    return f"[{text}, then {alpha.VERSION} in {Path('/made').exists()}]"


@workflow
def story(name: str = "x") -> str:
    return framed(text=measured(name=name))


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> str:
    return story(**cfg)


if __name__ == "__main__":
    main()
"""
DOCKERFILE = """ARG BASE_IMAGE
ARG BASE_VERSION
FROM ${BASE_IMAGE}:${BASE_VERSION}
ARG MAKER
WORKDIR /root
RUN echo "made by $MAKER" > /made
COPY . .
"""
DEFAULT = "hydra.launcher.workflow.default_image"


@pytest.fixture(scope="module")
def container_backend(tools_folder, podman):
    """An embedded backend whose tasks run in podman."""
    home = Home(root=tools_folder / "home")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in podman.environment.items():
            environment.setenv(name, value)
        running = start_backend(home, BackendOptions(port=0, runtime=TaskRuntime.PODMAN))
        yield running
    stop_backend(home)


def launch(project, backend, engine, *overrides):
    return subprocess.run(
        [sys.executable, "program.py", "-m", *overrides],
        cwd=project,
        env={
            **os.environ,
            **engine.environment,
            "HYDRAFLYTE_HOME": backend.home,
            "FLYTECTL_CONFIG": backend.config,
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.timeout(500)  # engines pull and unpack 150 MB several times
def test_a_built_and_an_appended_image_hold_the_code_and_run_it(
    tmp_path, registry, flyte_image, podman, container_backend
):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "lengths.py").write_text("def twice(x: int) -> int:\n    return 2 * x\n")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "requirements.txt").write_text(
        f"--no-index\n--find-links {make_index(tmp_path / 'wheels')}\nalpha==1.0\n"
    )
    (tmp_path / ".flyteignore").write_text("wheels/\n")
    base, _, tag = flyte_image.rpartition(":")
    plain = (
        f"{{flyte_image_name:plain,base_image:'{base}',base_image_version:'{tag}',"
        f"target_image:'{registry}/run/plain',dependencies:requirements.txt}}"
    )
    settings = (
        "hydra.launcher.build_images=true",
        f"{DEFAULT}.base_image={base}",
        f"{DEFAULT}.base_image_version='{tag}'",
        f"{DEFAULT}.target_image={registry}/run/app",
        f"+{DEFAULT}.buildargs.MAKER='us both'",
        f"hydra.launcher.workflow.extra_images=[{plain}]",
    )

    built = launch(tmp_path, container_backend, podman, "+name=built", *settings)
    (tmp_path / "lengths.py").write_text("def twice(x: int) -> int:\n    return 20 * x\n")
    appended = launch(tmp_path, container_backend, podman, "+name=appended", *settings)

    assert built.returncode == 0, built.stdout + built.stderr
    assert "[built 6 made by us both, then 1.0 in False]" in built.stdout
    assert "code bundle" not in built.stdout
    assert "us both" not in built.stdout.replace("made by us both, then", "")
    assert appended.returncode == 0, appended.stdout + appended.stderr
    assert "default image appended" in appended.stdout
    assert "[appended 60 made by us both, then 1.0 in False]" in appended.stdout
