"""Versions that are registered: run as they are, completed, or refused with what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from flyteidl.core import identifier_pb2
from tests.hydra.programs import NO_YAML, run_program, write_program

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.register import launch_plan_id
from hydraflyte.launcher.remote import GrpcFlyteClient

pytestmark = pytest.mark.usefixtures("flyte_backend")

STOPS_BEFORE_LAUNCH_PLANS = """
import os

import hydraflyte.launcher.remote as remote
from flyteidl.admin import launch_plan_pb2

create = remote.GrpcFlyteClient.create


def create_until_launch_plan(self, identifier, spec):
    if isinstance(spec, launch_plan_pb2.LaunchPlanSpec):
        os._exit(9)
    return create(self, identifier, spec)


if "PULL_THE_PLUG" in os.environ:
    remote.GrpcFlyteClient.create = create_until_launch_plan
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, flyte_backend: RunningBackend) -> Path:
    """A program of which version v1 is registered, whose code has changed since."""
    folder = tmp_path_factory.mktemp("registered")
    program = write_program(folder, NO_YAML.replace("squares", "areas"))
    first = run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=v1", "hydra.launcher.run=false")
    assert "registered program.areas: 3 entities created" in first.stdout, first.stdout + first.stderr
    program.write_text(program.read_text().replace("return x * x", "return x + x"))
    return program


def test_a_registered_version_runs_on_the_config_given_now_and_says_that_the_code_is_another(program: Path) -> None:
    result = run_program(program, "-m", "+x=4", "hydra.launcher.workflow.version=v1")

    assert "version v1 is registered: it runs as it is, nothing is sent" in result.stdout
    assert "attention: the code here is not the code of version v1" in result.stdout
    assert "code bundle" not in result.stdout
    assert ": 16.0" in result.stdout


def test_latest_is_what_was_registered_last(program: Path) -> None:
    result = run_program(program, "-m", "+x=5", "hydra.launcher.workflow.version=latest")

    assert "version v1 is registered: it runs as it is" in result.stdout
    assert ": 25.0" in result.stdout


def test_latest_of_what_was_never_registered_is_an_error(tmp_path: Path) -> None:
    program = write_program(tmp_path, NO_YAML.replace("squares", "never_registered"))

    result = run_program(program, "-m", "+x=1", "hydra.launcher.workflow.version=latest")

    assert result.returncode == 1
    assert "No launch plan program.never_registered is registered in flytesnacks/development" in result.stderr


def test_a_config_that_does_not_fit_what_is_registered_names_the_parameters(tmp_path: Path, program: Path) -> None:
    changed = program.read_text().replace("x: float", "y: float").replace("x * x", "y * y").replace("x + x", "y + y")
    other = write_program(tmp_path, changed.replace("square(x=x)", "square(y=y)").replace("if x", "if y"))

    result = run_program(other, "-m", "+y=1", "hydra.launcher.workflow.version=v1")

    assert result.returncode == 1
    assert "program.areas (version v1) is registered, and this config does not fit it" in result.stderr
    assert "y: no parameter of the workflow takes this config key" in result.stderr
    assert "parameters of the workflow: x: float" in result.stderr


def test_a_registered_interface_counts_also_where_the_code_has_another(tmp_path: Path, program: Path) -> None:
    changed = program.read_text().replace("areas(x: float = 2.0)", "areas(x: float, z: int = 1)")
    other = write_program(tmp_path, changed)

    result = run_program(other, "-m", "+x=7", "hydra.launcher.workflow.version=v1")

    assert ": 49.0" in result.stdout, result.stderr


def test_registering_other_content_under_a_taken_version_shows_the_differing_field_and_the_fix(program: Path) -> None:
    result = run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=v1", "hydra.launcher.run=false")

    assert result.returncode == 1
    assert "The task program.square is already registered as version v1 with other content" in result.stderr
    assert "template.container.args[" in result.stderr
    assert "choose another version (hydra.launcher.workflow.version)" in result.stderr


def test_another_image_under_a_taken_version_is_the_field_that_is_named(program: Path) -> None:
    settings = ("hydra.launcher.workflow.version=v1", "hydra.launcher.run=false")
    image = "hydra.launcher.workflow.default_image.base_image=ghcr.io/me/other"

    result = run_program(program, "-m", "+x=1", *settings, image)

    assert result.returncode == 1
    assert "template.container.image: " in result.stderr
    assert "-> 'ghcr.io/me/other:latest'" in result.stderr


def test_without_building_the_code_goes_into_the_target_image(tmp_path: Path, flyte_backend: RunningBackend) -> None:
    program = write_program(tmp_path, NO_YAML.replace("squares", "in_target_image"))
    image = "hydra.launcher.workflow.default_image"

    result = run_program(
        program,
        *("-m", "+x=3", "hydra.launcher.build_images=false", "hydra.launcher.workflow.version=in-target"),
        *(f"{image}.target_image=ghcr.io/me/train", f"{image}.target_image_version=7", f"{image}.dockerfile_path=x"),
    )

    assert ": 9.0" in result.stdout, result.stderr
    task_id = launch_plan_id("program.square", project="flytesnacks", domain="development", version="in-target")
    task_id.resource_type = identifier_pb2.TASK
    client = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": flyte_backend.home}))
    task = client.fetch(task_id)
    client.close()
    assert task is not None
    assert task.closure.compiled_task.template.container.image == "ghcr.io/me/train:7"  # type: ignore[attr-defined]


def test_a_half_registered_version_is_completed_by_the_next_launch(tmp_path: Path) -> None:
    source = NO_YAML.replace("squares", "half_registered")
    program = write_program(tmp_path, STOPS_BEFORE_LAUNCH_PLANS + source)

    first = run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=half", environ={"PULL_THE_PLUG": "1"})
    again = run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=half")

    assert first.returncode == 9
    assert "registered program.half_registered: 1 entity created, 2 unchanged" in again.stdout
    assert ": 9.0" in again.stdout
