"""The items of a map as its task execution shows them, looked at again and again while they run."""

import time

import pytest
from flyteidl.admin.task_execution_pb2 import TaskExecutionGetRequest, TaskExecutionListRequest
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, ResourceType
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.core.types_pb2 import SimpleType

from hydraflyte.backend.admin import array_items
from hydraflyte.identifiers import ExecutionId


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def lists(name):
    return {"variables": {name: {"type": {"collection_type": {"simple": SimpleType.INTEGER}}}}}


@pytest.fixture
def begin_map(plane, admin, register):
    """Begin an execution that maps ``double`` over this many numbers, two at a time; returns its id."""
    task = register.task(interface={"inputs": lists("x"), "outputs": lists("o0")})
    workflow = {"resource_type": ResourceType.WORKFLOW, "name": "main", "version": task.version}
    workflow |= {"project": task.project, "domain": task.domain}
    promise = {"var": "x", "binding": {"promise": {"node_id": "", "var": "x"}}}
    element = {"id": "n0-element", "inputs": [promise], "task_node": {"reference_id": task}}
    node = {"id": "n0", "inputs": [promise], "array_node": {"node": element, "parallelism": 2}}
    template = {"id": workflow, "interface": {"inputs": lists("x"), "outputs": lists("o0")}, "nodes": [node]}
    template["outputs"] = [{"var": "o0", "binding": {"promise": {"node_id": "n0", "var": "o0"}}}]
    admin.CreateWorkflow(WorkflowCreateRequest(id=workflow, spec={"template": template}))
    plan = register.launch_plan()
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": integer(6)})

    def begin(size, name=""):
        given = Literal(collection={"literals": [integer(number) for number in range(size)]})
        return register.execution(plan, name, inputs={"x": given})

    return begin


@pytest.fixture
def items_of(admin):
    """Return the items that the task execution of ``n0`` shows, to the call for all or to that for one."""

    def look(execution, *, as_one=False):
        node = NodeExecutionIdentifier(execution_id=execution, node_id="n0")
        found = admin.ListTaskExecutions(TaskExecutionListRequest(node_execution_id=node, limit=9)).task_executions
        if as_one:
            found = [admin.GetTaskExecution(TaskExecutionGetRequest(id=task.id)) for task in found]
        return [(item.index, item.phase) for task in found for item in task.closure.metadata.external_resources]

    return look


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def ended(plane, execution):
    plane.wait_until_ended(ExecutionId(project=execution.project, domain=execution.domain, name=execution.name))


RUNNING, SUCCEEDED = TaskExecution.RUNNING, TaskExecution.SUCCEEDED


def test_each_look_shows_what_has_ended_and_what_runs_now(plane, begin_map, items_of):
    plane.executor.stuck.add("double")
    execution = begin_map(3)

    wait_for(lambda: items_of(execution) == [(0, RUNNING), (1, RUNNING)])
    plane.do(plane.executor.finish)
    wait_for(lambda: items_of(execution) == [(0, SUCCEEDED), (1, SUCCEEDED), (2, RUNNING)])
    plane.do(plane.executor.finish)
    ended(plane, execution)
    assert items_of(execution) == [(0, SUCCEEDED), (1, SUCCEEDED), (2, SUCCEEDED)]
    assert items_of(execution, as_one=True) == items_of(execution)


def test_each_array_shows_its_own_items_even_when_no_more_can_be_kept(plane, begin_map, items_of, monkeypatch):
    monkeypatch.setattr(array_items, "_MOST_KEPT", 3)
    first, second = begin_map(2, "first"), begin_map(3, "second")
    ended(plane, first)
    ended(plane, second)

    for _ in range(2):
        assert items_of(first) == [(0, SUCCEEDED), (1, SUCCEEDED)]
        assert items_of(second) == [(0, SUCCEEDED), (1, SUCCEEDED), (2, SUCCEEDED)]
