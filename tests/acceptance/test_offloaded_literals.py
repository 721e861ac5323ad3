"""Offloaded literals: the same results, whatever looks into them; clients get the address and read the file."""

from pathlib import Path

import offloaded_flows as flows
import pytest
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetDataRequest
from flyteidl.core.execution_pb2 import WorkflowExecution


@pytest.mark.parametrize(
    ("workflow", "inputs"),
    [
        (flows.handed_on, {"n": 4}),
        (flows.attributes, {"x": 3}),
        (flows.mapped, {"n": 3}),
        (flows.from_sub_workflow, {"n": 3}),
        (flows.from_child, {"n": 3}),
        (flows.to_child, {"n": 3}),
        (flows.decided, {"x": 4}),
        (flows.decided, {"x": 3}),
        (flows.from_dynamic, {"n": 3}),
        (flows.given_back, {"n": 3}),
    ],
    ids=[
        "handed on",
        "attributes, keys and indexes",
        "a map task",
        "out of a sub-workflow",
        "out of a child execution",
        "into a child execution",
        "a condition that holds",
        "a condition that does not hold",
        "out of a dynamic task",
        "as a result",
    ],
)
def test_an_offloaded_literal_is_what_it_stands_for(run, workflow, inputs):
    in_process = workflow(**inputs)

    execution = run(workflow, **inputs)

    expected = in_process if isinstance(in_process, tuple) else (in_process,)
    assert execution.outputs == {f"o{index}": value for index, value in enumerate(expected)}


def test_a_map_over_a_launch_plan_takes_an_offloaded_list_apart(run):
    assert run(flows.mapped_over_plans, n=3).outputs == {"o0": [0, 3, 6]}


def test_clients_are_given_the_address_of_an_offloaded_result(run, remote):
    execution = run(flows.given_back, n=3)

    data = remote.client._stub.GetExecutionData(WorkflowExecutionGetDataRequest(id=execution.id.to_flyte_idl()))
    literal = data.full_outputs.literals["o0"]

    assert literal.WhichOneof("value") == "offloaded_metadata"
    assert literal.offloaded_metadata.uri.endswith("/n0/data/0/o0_offloaded_metadata.pb")
    assert literal.offloaded_metadata.inferred_type.HasField("collection_type")
    assert literal.hash


def test_a_map_over_an_offloaded_list_that_is_gone_fails_with_its_address(run, remote):
    before = run(flows.given_back, n=3)
    data = remote.client._stub.GetExecutionData(WorkflowExecutionGetDataRequest(id=before.id.to_flyte_idl()))
    lost = data.full_outputs.literals["o0"]
    Path(lost.offloaded_metadata.uri).unlink()

    from flytekit.models.literals import Literal

    execution = run(flows.mapped_input, xs=Literal.from_flyte_idl(lost))

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "BindingResolutionFailure"
    assert execution.error.message == (
        f"the offloaded literal {lost.offloaded_metadata.uri} cannot be read: No such file or directory"
    )
