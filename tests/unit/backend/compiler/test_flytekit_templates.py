"""Workflows as flytekit itself serialises them compile, and flytekit understands the result."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional

import pytest
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flytekit import WorkflowFailurePolicy, conditional, dynamic, task, workflow
from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.models.core.compiler import CompiledWorkflowClosure as FlytekitClosure
from flytekit.models.task import TaskSpec
from flytekit.remote.entities import FlyteWorkflow
from flytekit.tools.translator import get_serializable
from flytekit.types.error.error import FlyteError
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import literals, plan

from hydraflyte.backend.compiler.tasks import compile_task
from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.commands import StartAttempt
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.phases import ExecutionPhase
from hydraflyte.errors import CompilationError

SETTINGS = SerializationSettings(
    image_config=ImageConfig.auto(img_name="docker.io/some/image:1"),
    project="p",
    domain="d",
    version="v1",
    env={"MODE": "test"},
    fast_serialization_settings=FastSerializationSettings(
        enabled=True, destination_dir="/root", distribution_location="/bundles/fast1.tar.gz"
    ),
)


@dataclass
class Config:
    rate: float
    layers: list[int]


@task
def configure() -> Config:
    return Config(rate=0.1, layers=[1])


@task(retries=2, cache=True, cache_version="1")
def double(x: int) -> int:
    return 2 * x


@task
def total(xs: list[int], scale: Optional[int] = None) -> int:  # noqa: UP045  # flytekit's own spelling
    return sum(xs)


@task
def clean(x: int, err: Optional[FlyteError] = None) -> None:  # noqa: UP045
    return None


@workflow
def twice(x: int) -> int:
    return double(x=double(x=x))


@workflow
def attributes(x: int = 3) -> int:
    config = configure()
    return total(xs=[config.layers[0], twice(x=x), 4], scale=x)


@workflow(on_failure=clean, failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def guarded(x: int) -> int:
    first = double(x=x)
    second = total(xs=[1])
    first >> second
    return second


@workflow
def choosing(x: int) -> int:
    doubled = double(x=x)
    found = (
        conditional("size")
        .if_((doubled > 10) & (x < 100))
        .then(double(x=doubled))
        .elif_(doubled == 0)
        .then(conditional("inner").if_(x > 0).then(double(x=x)).else_().then(double(x=x)))
        .elif_(doubled == 1)
        .then(twice(x=x))  # flytekit sends no sub-workflows of inner conditionals along
        .else_()
        .fail("neither large nor zero")
    )
    return double(x=found)


@dynamic
def grow(x: int) -> int:
    return double(x=x)


@workflow
def growing(x: int) -> int:
    return grow(x=x)


def compiled(entity: object) -> CompiledWorkflowClosure:
    entities: OrderedDict[object, object] = OrderedDict()
    spec = get_serializable(entities, SETTINGS, entity).to_flyte_idl()
    tasks = [compile_task(item.to_flyte_idl().template) for item in entities.values() if isinstance(item, TaskSpec)]
    by_key = {entity_key(item.template.id): item for item in tasks}
    return compile_workflow(spec.template, list(spec.sub_workflows), by_key, {})


@pytest.mark.parametrize("entity", [twice, attributes, guarded, choosing, growing])
def test_flytekit_reads_what_was_compiled(entity: object) -> None:
    closure = compiled(entity)

    read_back = FlyteWorkflow.promote_from_closure(FlytekitClosure.from_flyte_idl(closure))

    assert read_back.id.name == closure.primary.template.id.name


def test_a_workflow_of_flytekits_runs_to_its_end() -> None:
    run = Run(plan(compiled(attributes), inputs=literals(x=3)))
    run.begin()
    first = {command.spec.attempt.node: command.spec for command in run.commanded(StartAttempt)}
    assert first["n0"].argv[:5] == (
        "pyflyte-fast-execute",
        "--additional-distribution",
        "/bundles/fast1.tar.gz",
        "--dest-dir",
        "/root",
    )
    assert "{{" not in " ".join(first["n0"].argv)
    assert first["n0"].bundle_uri == "/bundles/fast1.tar.gz"
    assert first["n0"].env["MODE"] == "test"
    assert run.phases()["n1-0-n0"] == "QUEUED"


def test_the_failure_node_of_a_flytekit_workflow_is_given_the_error() -> None:
    run = Run(plan(compiled(guarded), inputs=literals(x=3)))
    run.begin()
    run.miss_cache("n0")

    run.fail("n0")

    inputs = run.node("fn0").inputs
    assert inputs is not None
    assert inputs.literals["err"].scalar.union.value.scalar.error.message == "n0 went wrong"
    run.succeed("fn0")
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.phases() == {"n0": "FAILED", "n1": "SKIPPED", "fn0": "SUCCEEDED"}


def test_a_conditional_of_flytekits_takes_one_arm() -> None:
    run = Run(plan(compiled(choosing), inputs=literals(x=6), overwrite_cache=True))
    run.begin()

    run.succeed("n0", o0=12)
    assert run.phases() == {"n0": "SUCCEEDED", "n1": "RUNNING", "n1-0-n1-n0": "QUEUED"}
    run.succeed("n1-0-n1-n0", o0=24)

    assert run.node("n2").inputs == literals(x=24)


def test_a_wrong_type_in_a_flytekit_workflow_is_found() -> None:
    entities: OrderedDict[object, object] = OrderedDict()
    spec = get_serializable(entities, SETTINGS, twice).to_flyte_idl()
    task_template = next(iter(entities.values())).to_flyte_idl().template  # type: ignore[attr-defined]  # a TaskSpec
    task_template.interface.inputs.variables["x"].type.simple = 2

    with pytest.raises(CompilationError) as raised:
        compile_workflow(spec.template, [], {entity_key(task_template.id): task_template}, {})

    assert raised.value.problems[0] == "MismatchingTypes: node n0: input 'x': it is FLOAT but bound to INTEGER"
