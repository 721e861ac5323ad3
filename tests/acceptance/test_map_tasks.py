"""Map tasks on the embedded backend: the same outputs as in-process, and what clients see of the items."""

import pytest
from flyteidl.admin.task_execution_pb2 import TaskExecutionGetRequest
from flytekit.models.core.execution import TaskExecutionPhase
from map_flows import (
    cached_shifts,
    cached_squares,
    indexes,
    map_in_dynamic,
    none_may_fail,
    some_may_fail,
    squares,
    sum_of_squares,
    tried_again,
)


def task_execution(remote, execution, node_id="n0"):
    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    (only,) = synced.node_executions[node_id].task_executions
    return only


def closure_of(remote, task):
    return remote.client._stub.GetTaskExecution(TaskExecutionGetRequest(id=task.id.to_flyte_idl())).closure


def resources(remote, execution):
    return list(closure_of(remote, task_execution(remote, execution)).metadata.external_resources)


@pytest.mark.parametrize(
    ("workflow", "inputs", "expected"),
    [
        (squares, {"xs": [1, 2, 3]}, [2, 5, 10]),
        (squares, {"xs": []}, []),
        (sum_of_squares, {"xs": [1, 2, 3]}, 14),
        (map_in_dynamic, {"n": 3}, [3, 4, 7]),
    ],
    ids=["few at a time", "no items", "followed by a task", "in a dynamic task"],
)
def test_a_map_task_gives_what_it_gives_in_process(run, workflow, inputs, expected):
    in_process = workflow(**inputs)

    execution = run(workflow, **inputs)

    assert in_process == expected
    assert execution.outputs == {"o0": expected}


def test_clients_see_one_task_execution_with_a_resource_per_item(remote, run):
    execution = run(squares, xs=[4, 5])

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    node = synced.node_executions["n0"]
    (task,) = node.task_executions

    assert (node.metadata.is_array, node.metadata.is_parent_node) == (True, False)
    assert set(synced.node_executions) == {"start-node", "n0", "end-node"}
    closure = closure_of(remote, task)
    items = closure.metadata.external_resources
    assert task.closure.phase == TaskExecutionPhase.SUCCEEDED
    assert (closure.task_type, closure.metadata.plugin_identifier) == ("container_array", "k8s-array")
    assert [(item.external_id, item.index, item.retry_attempt, item.phase) for item in items] == [
        (f"{execution.id.name}-n0-0-n0-0", 0, 0, TaskExecutionPhase.SUCCEEDED),
        (f"{execution.id.name}-n0-0-n1-0", 1, 0, TaskExecutionPhase.SUCCEEDED),
    ]
    assert [[log.name for log in item.logs] for item in items] == [["stdout", "stderr"]] * 2


def test_an_item_that_may_fail_gives_none(remote, run):
    execution = run(some_may_fail, xs=[1, -1, 3])

    assert execution.outputs == {"o0": [1, None, 3]}
    assert [item.phase for item in resources(remote, execution)] == [
        TaskExecutionPhase.SUCCEEDED,
        TaskExecutionPhase.FAILED,
        TaskExecutionPhase.SUCCEEDED,
    ]


def test_an_item_that_may_not_fail_fails_the_map_task(run):
    execution = run(none_may_fail, xs=[1, -1])

    assert execution.closure.phase == 6  # FAILED
    assert execution.closure.error.code == ""
    assert "ValueError: -1 is negative" in execution.closure.error.message
    assert execution.closure.error.message.startswith("[1]: ")


def test_items_know_their_index(run):
    assert run(indexes, xs=[7, 8]).outputs == {"o0": ["7:0", "8:1"]}


def test_items_are_tried_again_one_by_one(remote, run):
    execution = run(tried_again, xs=[1, 2, 3])

    assert execution.outputs == {"o0": [1, 2, 3]}
    assert [item.retry_attempt for item in resources(remote, execution)] == [0, 1, 0]


def test_items_are_cached_one_by_one(remote, run):
    run(cached_squares, xs=[2, 3])

    execution = run(cached_squares, xs=[3, 4])

    assert execution.outputs == {"o0": [9, 16]}
    assert [item.cache_status for item in resources(remote, execution)] == [2, 3]  # CACHE_HIT, CACHE_POPULATED


def test_what_is_bound_for_all_items_counts_for_their_cache(remote, run):
    run(cached_shifts, xs=[1, 2], by=10)

    same, other = run(cached_shifts, xs=[1, 2], by=10), run(cached_shifts, xs=[1, 2], by=20)

    assert [item.cache_status for item in resources(remote, same)] == [2, 2]  # CACHE_HIT
    assert [item.cache_status for item in resources(remote, other)] == [3, 3]  # CACHE_POPULATED
    assert other.outputs == {"o0": [21, 22]}
