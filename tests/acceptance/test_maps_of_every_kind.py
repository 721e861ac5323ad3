"""Maps over launch plans and reference entities, and the older map task: outputs, phases, and what clients see."""

from pathlib import Path

import library_flows
import mapped_flows as flows
import pytest
from flyteidl.admin.node_execution_pb2 import NodeExecutionGetDataRequest
from flyteidl.admin.task_execution_pb2 import TaskExecutionGetRequest, TaskExecutionListRequest
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution
from flytekit.exceptions.user import FlyteInvalidInputException
from flytekit.models.core.identifier import NodeExecutionIdentifier

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="module", autouse=True)
def library(remote):
    """Register what the flows refer to."""
    for entity in (library_flows.tripled_plan, library_flows.scale_plan, library_flows.silent_plan):
        remote.register_script(
            entity, source_path=str(FLOWS), module_name="library_flows", version=flows.LIBRARY_VERSION
        )


def items_of(remote, execution, node_id="n0"):
    """The one task execution of a map, and what it says about its items."""
    node = NodeExecutionIdentifier(node_id, execution.id).to_flyte_idl()
    listed = remote.client._stub.ListTaskExecutions(TaskExecutionListRequest(node_execution_id=node, limit=10))
    (only,) = listed.task_executions
    assert remote.client._stub.GetTaskExecution(TaskExecutionGetRequest(id=only.id)) == only
    return only, list(only.closure.metadata.external_resources)


@pytest.mark.parametrize(
    ("workflow", "inputs", "expected"),
    [
        (flows.over_a_plan, {"xs": [1, 2, 3]}, [3, 6, 9]),
        (flows.over_a_plan, {"xs": []}, []),
        (flows.over_a_plan_then_on, {"xs": [1, 2, 3]}, 18),
        (flows.over_a_plan_with_two_lists, {"xs": [1, 2], "factors": [5, 6]}, [105, 112]),
        (flows.over_a_plan_that_may_fail, {"xs": [1, -2, 3]}, [3, None, 9]),
        (flows.over_a_plan_in_a_condition, {"xs": [1, 2], "a": 1}, 9),
        (flows.over_a_plan_in_a_condition, {"xs": [1, 2], "a": 0}, 3),
        (flows.over_a_reference_plan, {"xs": [1, 2]}, [3, 6]),
        (flows.over_a_reference_task, {"xs": [1, 2, 3]}, [3, 6, 9]),
        (flows.over_a_reference_task, {"xs": []}, []),
        (flows.over_a_reference_task_then_on, {"xs": [1, 2, 3]}, 18),
        (flows.older_tried_again, {"xs": [1, 2, 3]}, [1, 2, 3]),
    ],
    ids=[
        "launch plan, few at a time",
        "launch plan, no items",
        "launch plan, followed by a task",
        "launch plan, two lists and a fixed input",
        "launch plan, items that may fail",
        "launch plan below an arm that is taken",
        "launch plan below an arm that is not taken",
        "reference launch plan",
        "reference task, one at a time",
        "reference task, no items",
        "reference task, followed by a task",
        "older map task, with an item that is tried again",
    ],
)
def test_a_map_that_flytekit_cannot_run_in_process_gives_one_result_per_item(run, workflow, inputs, expected):
    assert run(workflow, **inputs).outputs == {"o0": expected}


@pytest.mark.parametrize(
    ("workflow", "inputs", "expected"),
    [
        (flows.older, {"xs": [1, 2, 3]}, [6, 7, 8]),
        (flows.older, {"xs": []}, []),
        (flows.older_then_on, {"xs": [1, 2, 3]}, 6),
        (flows.older_that_may_fail, {"xs": [1, -2, 3]}, [1, None, 3]),
    ],
    ids=["a bound input", "no items", "followed by a task", "items that may fail"],
)
def test_an_older_map_task_gives_what_it_gives_in_process(run, workflow, inputs, expected):
    in_process = workflow(**inputs)

    execution = run(workflow, **inputs)

    assert in_process == expected
    assert execution.outputs == {"o0": expected}


@pytest.mark.parametrize("workflow", [flows.over_a_silent_plan, flows.older_without_outputs])
def test_a_map_over_what_gives_nothing_gives_nothing(run, workflow):
    execution = run(workflow, xs=[1, 2])

    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.outputs == {}


def test_each_item_of_a_map_over_a_launch_plan_is_an_execution_of_its_own(run, remote):
    execution = run(flows.over_a_plan, xs=[4, 5])

    task, items = items_of(remote, execution)
    children = [
        remote.sync(remote.fetch_execution(name=item.workflow_node_metadata.execution_id.name)) for item in items
    ]

    assert (task.closure.task_type, task.closure.metadata.plugin_identifier) == ("container_array", "k8s-array")
    assert task.id.task_id.name == "library.tripled_plan"
    assert [(item.index, item.phase) for item in items] == [(0, TaskExecution.SUCCEEDED), (1, TaskExecution.SUCCEEDED)]
    assert [child.inputs for child in children] == [{"x": 4}, {"x": 5}]
    assert [child.outputs for child in children] == [{"o0": 12}, {"o0": 15}]
    assert {child.spec.launch_plan.name for child in children} == {"library.tripled_plan"}
    assert {child.spec.metadata.parent_node_execution.execution_id.name for child in children} == {execution.id.name}
    assert {len(child.id.name) for child in children} == {14}


def test_flyte_remote_walks_a_map_over_a_launch_plan(run, remote):
    execution = run(flows.over_a_plan, xs=[4, 5])

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    node = synced.node_executions["n0"]

    assert set(synced.node_executions) == {"start-node", "n0", "end-node"}
    assert (node.metadata.is_array, node.metadata.is_parent_node) == (True, False)
    assert len(node.task_executions) == 1
    assert node.task_executions[0].outputs == {"o0": [12, 15]}


def test_a_failed_child_fails_the_map_with_the_childs_own_words(run, remote):
    execution = run(flows.over_a_plan, xs=[1, -2])

    _, items = items_of(remote, execution)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == ""
    assert execution.error.message.startswith("[1]: ")
    assert "ValueError: -2 is negative" in execution.error.message
    assert items[1].phase == TaskExecution.FAILED


def test_clients_see_an_older_map_task_as_one_task(run, remote):
    execution = run(flows.older, xs=[1, 2])

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    node = synced.node_executions["n0"]
    task, items = items_of(remote, execution)

    assert (node.metadata.is_array, node.metadata.is_parent_node) == (False, False)
    assert node.outputs == {"o0": [6, 7]}
    assert task.id.task_id.name.startswith("mapped_flows.map_shifted_")
    assert task.closure.task_type == "container_array"
    assert [(item.external_id, item.index, item.phase) for item in items] == [
        (f"{execution.id.name}-n0-0-n0-0", 0, TaskExecution.SUCCEEDED),
        (f"{execution.id.name}-n0-0-n1-0", 1, TaskExecution.SUCCEEDED),
    ]


def test_the_files_of_an_older_map_task_lie_where_flytekit_puts_them(run, remote):
    execution = run(flows.older, xs=[1])

    node = NodeExecutionIdentifier("n0", execution.id).to_flyte_idl()
    found = remote.client._stub.GetNodeExecution(NodeExecutionGetDataRequest(id=node))
    output_folder = Path(found.closure.output_uri).parent

    assert output_folder.name == "0"
    assert (output_folder / "0" / "outputs.pb").is_file()


def test_an_older_map_task_fails_as_its_plugin_says_it(run):
    execution = run(flows.older_that_may_not_fail, xs=[1, -2])

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "RetriesExhausted|ARRAY_JOB_GENERIC_FAILURE"
    assert execution.error.message.startswith("[1/1] currentAttempt done. Last Error: USER::[1]: ")
    assert "ValueError: -2 is negative" in execution.error.message


def test_lists_of_different_lengths_fail_the_map(run):
    execution = run(flows.over_a_plan_with_two_lists, xs=[1, 2], factors=[1])

    assert execution.error.code == "InvalidArrayLength"
    assert execution.error.message == "all input arrays must have the same length: factor has 1, x has 2"


def test_a_map_over_a_launch_plan_that_is_not_there_is_refused(remote):
    from flytekit import map_task, reference_launch_plan, workflow

    @reference_launch_plan(project="flytesnacks", domain="development", name="nobody.s_plan", version="1")
    def missing(x: int) -> int: ...

    @workflow
    def lost(xs: list[int]) -> list[int]:
        return map_task(missing)(x=xs)

    with pytest.raises(FlyteInvalidInputException, match=r"launch plan flytesnacks:development:nobody\.s_plan:1"):
        remote.register_workflow(lost, version="1")
