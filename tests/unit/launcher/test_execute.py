"""From inputs to the request that starts an execution, and back from its outputs."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2
from flytekit import workflow
from flytekit.core.interface import Interface, transform_function_to_interface
from tests.unit.launcher.scripted_client import ScriptedFlyteClient

from hydraflyte.errors import ExecutionError, InputsError
from hydraflyte.labels import digest_of
from hydraflyte.launcher.execute import (
    JobIdentity,
    JobOrder,
    execution_name,
    execution_request,
    from_literals,
    parameters_of,
    submit,
    to_literals,
)
from hydraflyte.launcher.inputs import REQUIRED, JobInputs

LAUNCH_PLAN = identifier_pb2.Identifier(
    resource_type=identifier_pb2.LAUNCH_PLAN,
    project="flytesnacks",
    domain="development",
    name="pkg.train.fit_model",
    version="main-1a2b/3",
)
IDENTITY = JobIdentity(
    sweep_id="k3f09a", number=2, overrides=("lr=0.1", "model=big"), folder="laptop:/home/me/multirun"
)
ORDER = JobOrder(launch_plan=LAUNCH_PLAN)


class Scores(NamedTuple):
    accuracy: float
    epochs: int


def interface_of(**outputs: type) -> Interface:
    return Interface(inputs=OrderedDict(), outputs=OrderedDict(outputs))


@pytest.mark.parametrize(
    ("workflow_name", "expected"),
    [
        ("pkg.train.fit_model", "fit-model-k3f09a-2"),
        ("train.WF", "wf-k3f09a-2"),
        ("train.2fast", "w2fast-k3f09a-2"),
        ("train.__", "w-k3f09a-2"),
        ("train." + "x" * 80, "x" * 28 + "-k3f09a-2"),
    ],
)
def test_the_name_is_readable_and_one_that_flyte_accepts(workflow_name: str, expected: str) -> None:
    assert execution_name(workflow_name, IDENTITY) == expected


def test_the_request_says_which_job_of_which_sweep_it_is() -> None:
    inputs = to_literals(JobInputs(values={"lr": 0.5}, types={"lr": float}))

    request = execution_request(ORDER, IDENTITY, inputs, {"OMP_NUM_THREADS": "1"})

    assert (request.project, request.domain, request.name) == ("flytesnacks", "development", "fit-model-k3f09a-2")
    assert request.spec.launch_plan == LAUNCH_PLAN
    assert request.spec.metadata.mode == execution_pb2.ExecutionMetadata.MANUAL
    assert dict(request.spec.labels.values) == {
        "hydraflyte-sweep": "k3f09a",
        "hydraflyte-job": "2",
        "hydraflyte-round": "0",
        "hydraflyte-version": "main-1a2b-3",
    }
    assert dict(request.spec.annotations.values) == {
        "hydraflyte.org/overrides": "lr=0.1 model=big",
        "hydraflyte.org/inputs-digest": digest_of(inputs),
        "hydraflyte.org/sweep-folder": "laptop:/home/me/multirun",
    }
    assert [(pair.key, pair.value) for pair in request.spec.envs.values] == [("OMP_NUM_THREADS", "1")]
    assert request.inputs.literals["lr"].scalar.primitive.float_value == 0.5


def test_submitting_twice_starts_one_execution() -> None:
    client = ScriptedFlyteClient()
    client.create(LAUNCH_PLAN, launch_plan_pb2.LaunchPlanSpec())
    request = execution_request(ORDER, IDENTITY, to_literals(JobInputs(values={}, types={})), {})

    first, second = submit(client, 2, request), submit(client, 2, request)

    assert first == second
    assert list(client.executions) == ["fit-model-k3f09a-2"]
    assert first.link == (
        "http://console/console/projects/flytesnacks/domains/development/executions/fit-model-k3f09a-2"
    )


def test_a_refused_job_is_named() -> None:
    request = execution_request(ORDER, IDENTITY, to_literals(JobInputs(values={}, types={})), {})

    with pytest.raises(ExecutionError, match=r"^Job 2 was not accepted: refused: NOT_FOUND"):
        submit(ScriptedFlyteClient(), 2, request)


def test_inputs_that_flytekit_cannot_send_are_all_named() -> None:
    inputs = JobInputs(values={"lr": "fast", "epochs": 1.5, "seed": 1}, types={"lr": float, "epochs": int, "seed": int})

    with pytest.raises(InputsError) as caught:
        to_literals(inputs)

    text = str(caught.value)
    assert "lr must be float, got 'fast' (str)" in text
    assert "epochs must be int, got 1.5 (float)" in text
    assert "seed" not in text


def test_parameters_have_defaults_and_optional_ones_default_to_none() -> None:
    def function(a: int, b: float = 0.5, c: int | None = None) -> None: ...

    parameters = parameters_of(transform_function_to_interface(function))

    assert [(parameter.name, parameter.default) for parameter in parameters] == [
        ("a", REQUIRED),
        ("b", 0.5),
        ("c", None),
    ]


def test_a_single_output_is_the_value_itself() -> None:
    outputs = to_literals(JobInputs(values={"o0": 0.9}, types={"o0": float}))

    assert from_literals(outputs, interface_of(o0=float)) == 0.9


def test_no_output_is_none() -> None:
    assert from_literals(to_literals(JobInputs(values={}, types={})), interface_of()) is None


def test_several_outputs_are_a_named_tuple_as_in_a_local_run() -> None:
    @workflow
    def scores(accuracy: float = 0.9, epochs: int = 3) -> Scores:
        return Scores(accuracy, epochs)

    outputs = to_literals(JobInputs(values={"accuracy": 0.9, "epochs": 3}, types={"accuracy": float, "epochs": int}))

    value = from_literals(outputs, scores.python_interface)

    assert value == scores()
    assert (value.accuracy, value.epochs) == (0.9, 3)


def test_outputs_that_cannot_be_read_here_are_an_error_of_their_own() -> None:
    outputs = to_literals(JobInputs(values={"o0": "text"}, types={"o0": str}))

    with pytest.raises(ExecutionError, match="succeeded, but its outputs cannot be read here"):
        from_literals(outputs, interface_of(o0=float))
