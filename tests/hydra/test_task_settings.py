"""Settings of tasks from the job's own config: swept, applied to the nodes, shown, and refused when misspelt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flyteidl.admin import task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.core.workflow_pb2 import Node
from tests.hydra.programs import run_program, write_program

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.remote import GrpcFlyteClient

PROGRAM = """
import os
import time

import hydra
from flytekit import dynamic, map_task, task, workflow
from omegaconf import DictConfig


@task(retries=2)
def step(x: int) -> str:
    return f"{x}{os.environ.get('COLOUR', '')}"


@task
def slow(text: str) -> str:
    time.sleep(30 if text == "4" else 0)
    return text


@task
def each(x: int) -> int:
    return x


@task
def hidden(x: int) -> int:
    return x


@dynamic
def decide(x: int) -> int:
    return hidden(x=x)


@workflow
def inner(x: int) -> str:
    return slow(text=step(x=x))


@workflow
def outer(x: int) -> str:
    map_task(each)(x=[1, 2])
    decide(x=x)
    return inner(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> str:
    return outer(x=cfg.x)


if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, flyte_backend: RunningBackend) -> Path:
    return write_program(tmp_path_factory.mktemp("settings"), PROGRAM)


@pytest.fixture(scope="module")
def client(flyte_backend: RunningBackend) -> GrpcFlyteClient:
    return GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": flyte_backend.home}))


def executions_in(output: str) -> list[str]:
    return [name for _, name in sorted(re.findall(r"job (\d+) \[.*submitted: \S+/(\S+)", output))]


def closure_of(client: GrpcFlyteClient, execution: str) -> workflow_pb2.Workflow:
    where = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=execution)
    workflow = client.fetch(client.get_execution(where, patience_s=0).closure.workflow_id)
    assert isinstance(workflow, workflow_pb2.Workflow)
    return workflow


def node_of(client: GrpcFlyteClient, execution: str, task: str) -> Node:
    """Return the node that runs the task, wherever it is in the workflow that was executed."""
    compiled = closure_of(client, execution).closure.compiled_workflow
    nodes = [node for part in (compiled.primary, *compiled.sub_workflows) for node in part.template.nodes]
    nodes = [node.array_node.node if node.HasField("array_node") else node for node in nodes]
    (found,) = [node for node in nodes if task in node.task_node.reference_id.name]
    return found


def test_jobs_that_differ_get_what_they_asked_for(program: Path, client: GrpcFlyteClient) -> None:
    overrides = ("+x=1", "+flyte.tasks.step.cpu=1,2", "+flyte.tasks.step.env.COLOUR=red", "+flyte.tasks.each.mem=1Gi")

    result = run_program(program, "-m", *overrides, "+flyte.tasks.step.retries=5", "+flyte.tasks.slow.image=me/slow:3")

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": '1red'") == 2
    names = executions_in(result.stdout)
    for name, cpu in zip(names, ("1", "2"), strict=True):
        step = node_of(client, name, "program.step")
        assert [(entry.name, entry.value) for entry in step.task_node.overrides.resources.requests] == [
            (tasks_pb2.Resources.CPU, cpu)
        ]
        assert step.metadata.retries.retries == 5
        slow = node_of(client, name, "program.slow")
        assert slow.task_node.overrides.container_image == "me/slow:3"
        assert "-set-" not in slow.task_node.reference_id.version  # the task itself is shared
        assert [entry.value for entry in node_of(client, name, "map_each").task_node.overrides.resources.limits] == [
            "1Gi"
        ]
        shown = client.get_execution(
            identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name),
            patience_s=0,
        ).spec.annotations.values["hydraflyte.org/task-settings"]
        assert f"program.step: cpu={cpu}, retries=5, env.COLOUR=red" in shown


def test_a_timeout_of_a_job_holds(program: Path) -> None:
    result = run_program(program, "-m", "+x=4", "+flyte.tasks.slow.timeout=1s", "+flyte.tasks.slow.retries=0")

    assert result.returncode == 1
    assert "FAILED" in result.stdout
    assert "imeout" in result.stdout


def test_settings_go_with_a_registered_version_and_latest_is_never_a_derived_one(program: Path) -> None:
    result = run_program(program, "-m", "+x=1", "+flyte.tasks.slow.cpu=1", "hydra.launcher.workflow.version=latest")

    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("version ")]
    assert "-set-" not in lines[0]
    assert "-set-" in lines[1]
    assert "(program.slow: cpu=1)" in lines[1]


def test_what_no_node_can_carry_is_set_on_a_task_of_its_own(program: Path, client: GrpcFlyteClient) -> None:
    step = "+flyte.tasks.step"
    cached = (f"{step}.cache=true", f"{step}.cache_version='7'", f"{step}.cache_serialize=true")
    others = (f"{step}.secrets=[team/token]", f"{step}.interruptible=true", f"{step}.retries=0", f"{step}.timeout=2h")

    result = run_program(program, "-m", "+x=1", *cached, *others, "hydra.launcher.run=false")

    assert result.returncode == 0, result.stderr
    (version,) = re.findall(r"^version (\S+-set-\w+) \(", result.stdout, re.MULTILINE)
    task_id = identifier_pb2.Identifier(
        resource_type=identifier_pb2.TASK,
        project="flytesnacks",
        domain="development",
        name="program.step",
        version=version,
    )
    task = client.fetch(task_id)
    assert isinstance(task, task_pb2.Task)
    template = task.closure.compiled_task.template
    assert (template.metadata.discoverable, template.metadata.discovery_version) == (True, "7")
    assert template.metadata.cache_serializable
    assert template.metadata.retries.retries == 0
    assert [(secret.group, secret.key) for secret in template.security_context.secrets] == [("team", "token")]
    task_id.resource_type, task_id.name = identifier_pb2.WORKFLOW, "program.outer"
    workflow = client.fetch(task_id)
    assert isinstance(workflow, workflow_pb2.Workflow)
    compiled = workflow.closure.compiled_workflow
    (node,) = [
        node
        for sub in compiled.sub_workflows
        for node in sub.template.nodes
        if node.task_node.reference_id.name == "program.step"
    ]
    assert node.task_node.reference_id.version == version
    assert node.metadata.interruptible
    assert node.metadata.timeout.seconds == 7200


def test_settings_that_do_not_exist_are_all_named_before_anything_is_sent(program: Path) -> None:
    wrong = ("+flyte.tasks.stepp.cpu=1", "+flyte.tasks.step.cpus=1", "+flyte.tasks.slow.mem=lots")

    result = run_program(program, "-m", "+x=1", *wrong)

    assert result.returncode == 1
    assert "flyte.tasks.stepp: the workflow has no task of this name; did you mean step?" in result.stderr
    assert "flyte.tasks.step.cpus: no such key; did you mean cpu?" in result.stderr
    assert "flyte.tasks.slow.mem: 'lots' is no quantity such as 2, 500m or 4Gi" in result.stderr
    assert "submitted" not in result.stdout


def test_a_task_that_only_a_dynamic_task_calls_cannot_be_set_from_outside(program: Path) -> None:
    result = run_program(program, "-m", "+x=1", "+flyte.tasks.hidden.cpu=1")

    assert result.returncode == 1
    assert "program.hidden: no node of the workflow runs it" in result.stderr
    assert "submitted" not in result.stdout
