"""Containers, pods and environments of attempts."""

from __future__ import annotations

import pytest
from flyteidl.core.literals_pb2 import KeyValuePair
from flyteidl.core.tasks_pb2 import K8sPod, Resources, TaskTemplate
from google.protobuf.struct_pb2 import Struct
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import compiled, given, plan, task, task_node, workflow

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AttemptSpec, StartAttempt


def spec_of(template: TaskTemplate, envs: dict[str, str] | None = None) -> AttemptSpec:
    run = Run(plan(compiled(workflow("w", [task_node("n0", template, x=given("x"))]), [template]), envs=envs))
    run.begin()
    return run.commanded(StartAttempt)[0].spec


def pod(*containers: dict[str, object], primary: str = "main") -> TaskTemplate:
    pod_spec = Struct()
    pod_spec.update({"containers": list(containers)})
    template = task("pod")
    template.k8s_pod.CopyFrom(K8sPod(pod_spec=pod_spec, primary_container_name=primary))
    return template


def test_the_environment_is_the_containers_then_flytes_then_the_executions() -> None:
    template = task("work")
    template.container.env.extend(
        [
            KeyValuePair(key="MINE", value="1"),
            KeyValuePair(key="FLYTE_ATTEMPT_NUMBER", value="wrong"),
            KeyValuePair(key="BOTH", value="container"),
        ]
    )

    env = spec_of(template, {"BOTH": "execution"}).env

    assert dict(env) == {
        "MINE": "1",
        "BOTH": "execution",
        "FLYTE_INTERNAL_EXECUTION_ID": "e1",
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": "p:d:w",
        "FLYTE_ATTEMPT_NUMBER": "0",
        "FLYTE_INTERNAL_TASK_PROJECT": "p",
        "FLYTE_INTERNAL_TASK_DOMAIN": "d",
        "FLYTE_INTERNAL_TASK_NAME": "work",
        "FLYTE_INTERNAL_TASK_VERSION": "v1",
    }


def test_command_and_args_are_both_rendered() -> None:
    template = task("work", args=["{{.outputPrefix}}"])
    template.container.command.extend(["prog", "{{.namespace}}"])

    assert spec_of(template).argv == ("prog", "p-d", "/meta/n0/data/0")


def test_the_code_bundle_is_found_in_the_arguments() -> None:
    template = task("work", args=["pyflyte-fast-execute", "--additional-distribution", "/b.tar.gz", "--", "x"])

    assert spec_of(template).bundle_uri == "/b.tar.gz"
    assert spec_of(task("plain")).bundle_uri == ""


def test_of_a_pod_the_primary_container_runs() -> None:
    template = pod(
        {"name": "sidecar", "args": ["no"]},
        {
            "name": "main",
            "command": ["prog"],
            "args": ["{{.input}}"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"key": "k"}}}],
        },
    )

    spec = spec_of(template)

    assert spec.argv == ("prog", "/meta/n0/data/inputs.pb")
    assert spec.env["A"] == "1"
    assert "B" not in spec.env


@pytest.mark.parametrize("template", [pod({"name": "other"}), pod(primary="")])
def test_a_pod_without_its_primary_container_fails_the_node(template: TaskTemplate) -> None:
    run = Run(plan(compiled(workflow("w", [task_node("n0", template, x=given("x"))]), [template])))

    run.begin()

    assert run.node("n0").failure is not None
    assert run.node("n0").failure.code == "BadTaskDefinition"


def test_making_a_spec_leaves_the_template_as_it_was() -> None:
    template = pod({"name": "main"})
    before = template.SerializeToString(deterministic=True)

    spec_of(template)

    assert template.SerializeToString(deterministic=True) == before


def test_a_spec_can_be_made_again_from_the_state() -> None:
    template = task("work")
    run = Run(plan(compiled(workflow("w", [task_node("n0", template, x=given("x"))]), [template])))
    run.begin()
    told = run.commanded(StartAttempt)[0].spec

    assert machine.open_attempts(run.state) == (told,)


def test_a_node_may_override_resources_and_image() -> None:
    template = task("work")
    node = task_node("n0", template, x=given("x"))
    node.task_node.overrides.container_image = "another"
    node.task_node.overrides.resources.limits.add(name=Resources.CPU, value="2")
    run = Run(plan(compiled(workflow("w", [node, task_node("n1", template, x=given("x"))]), [template])))
    run.begin()

    overridden, plain = [command.spec.task.container for command in run.commanded(StartAttempt)]

    assert (overridden.image, overridden.resources.limits[0].value) == ("another", "2")
    assert list(overridden.args) == list(template.container.args)
    assert plain == template.container


def test_a_node_may_override_the_pod() -> None:
    template = pod({"name": "main", "args": ["old"]})
    node = task_node("n0", template, x=given("x"))
    node.task_node.overrides.pod_template.CopyFrom(pod({"name": "main", "args": ["new"]}).k8s_pod)
    run = Run(plan(compiled(workflow("w", [node]), [template])))

    run.begin()

    assert run.commanded(StartAttempt)[0].spec.argv == ("new",)
