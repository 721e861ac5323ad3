"""Dynamic tasks on the embedded backend: the same outputs as in-process, and what clients see of the nodes."""

import pytest
from dynamic_flows import below_a_sub_workflow, failing_child, nested_dynamics, static_result, sum_of_squares
from flyteidl.admin.node_execution_pb2 import GetDynamicNodeWorkflowRequest, NodeExecutionGetRequest
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flytekit.exceptions.user import FlyteEntityNotExistException


def node_identifier(execution, node_id):
    return NodeExecutionIdentifier(node_id=node_id, execution_id=execution.id.to_flyte_idl())


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [(sum_of_squares, {"o0": 14}), (nested_dynamics, {"o0": 14, "o1": 256}), (below_a_sub_workflow, {"o0": 196})],
    ids=["flat", "nested", "below a sub-workflow"],
)
def test_a_dynamic_task_gives_what_it_gives_in_process(run, workflow, expected):
    n = 4
    in_process = workflow(n=n)

    execution = run(workflow, n=n)

    values = in_process if isinstance(in_process, tuple) else (in_process,)
    assert {f"o{index}": value for index, value in enumerate(values)} == expected
    assert execution.outputs == expected


def test_a_dynamic_node_is_a_parent_with_a_workflow_of_its_own(remote, run):
    execution = run(sum_of_squares, n=2)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)

    node = synced.node_executions["n0"]
    assert (node.metadata.is_parent_node, node.metadata.is_dynamic) == (True, True)
    assert {node_id: child.metadata.spec_node_id for node_id, child in node.subworkflow_node_executions.items()} == {
        "n0-0-start-node": "start-node",
        "n0-0-dn0": "dn0",
        "n0-0-dn1": "dn1",
        "n0-0-dn2": "dn2",
        "n0-0-end-node": "end-node",
    }
    assert node.outputs == {"o0": 1}


def test_the_compiled_workflow_of_a_dynamic_node_can_be_read(remote, run):
    execution = run(sum_of_squares, n=1)

    request = GetDynamicNodeWorkflowRequest(id=node_identifier(execution, "n0"))
    node = remote.client._stub.GetNodeExecution(NodeExecutionGetRequest(id=node_identifier(execution, "n0")))
    closure = remote.client._stub.GetDynamicNodeWorkflow(request).compiled_workflow

    assert node.closure.dynamic_job_spec_uri.endswith("/n0/data/0/futures.pb")
    assert closure.primary.template.id.name == "dynamic_n0"
    assert [node.id for node in closure.primary.template.nodes] == ["start-node", "end-node", "dn0", "dn1"]
    assert [task.template.id.name for task in closure.tasks] == ["dynamic_flows.add", "dynamic_flows.square"]


def test_a_dynamic_task_that_starts_nothing_is_a_plain_task(remote, run):
    execution = run(static_result, n=3)

    node = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True).node_executions["n0"]
    with pytest.raises(FlyteEntityNotExistException):
        remote.client._stub.GetDynamicNodeWorkflow(GetDynamicNodeWorkflowRequest(id=node_identifier(execution, "n0")))

    assert execution.outputs == {"o0": 3}
    assert (node.metadata.is_parent_node, node.metadata.is_dynamic) == (False, False)


def test_a_failing_child_fails_the_dynamic_node_for_good(remote, run):
    execution = run(failing_child, n=3)

    children = remote.client.list_node_executions(execution.id, limit=10, unique_parent_id="n0")[0]

    assert execution.closure.phase == 6  # FAILED
    assert execution.closure.error.code == "USER:RuntimeError"
    assert "ValueError: no 3" in execution.closure.error.message
    assert {child.id.node_id: child.closure.phase for child in children} == {"n0-0-start-node": 3, "n0-0-dn0": 5}
