from __future__ import annotations

import pytest
from flyteidl.core.tasks_pb2 import K8sPod
from tests.unit.backend.workflows import task

from hydraflyte.backend.compiler.tasks import compile_task
from hydraflyte.errors import CompilationError


def test_a_task_compiles_to_its_own_template() -> None:
    template = task("work")

    assert compile_task(template).template == template


def test_every_part_that_is_missing_is_named() -> None:
    template = task("work", args=[])
    template.id.version = ""
    template.type = ""
    template.ClearField("metadata")
    template.container.image = ""

    with pytest.raises(CompilationError) as raised:
        compile_task(template)

    assert raised.value.problems == (
        "ValueRequired: node work: id.version is missing",
        "ValueRequired: node work: type is missing",
        "ValueRequired: node work: metadata is missing",
        "ValueRequired: node work: container.image is missing",
        "ValueRequired: node work: container.command or container.args is missing",
    )


def test_a_task_without_inputs_and_outputs_may_rely_on_its_image() -> None:
    assert compile_task(task("work", inputs={}, outputs={}, args=[]))


def test_a_pod_needs_a_spec() -> None:
    template = task("work")
    template.k8s_pod.CopyFrom(K8sPod(primary_container_name="main"))

    with pytest.raises(CompilationError, match=r"k8s_pod\.pod_spec is missing"):
        compile_task(template)
