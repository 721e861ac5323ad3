"""What the loop meets on a real machine: a clock that goes its own way, an executor that cannot take an attempt."""

import asyncio
from datetime import timedelta

import pytest
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from hydraflyte.identifiers import ExecutionId


def id_of(execution):
    return ExecutionId(project=execution.project, domain=execution.domain, name=execution.name)


def closure_of(admin, execution):
    return admin.GetExecution(WorkflowExecutionGetRequest(id=execution)).closure


@pytest.fixture
def begin_pause(admin, register):
    """Begin an execution whose only node sleeps for this long; returns its id."""

    def begin(seconds):
        workflow = Identifier(
            resource_type=ResourceType.WORKFLOW, project="flytesnacks", domain="development", name="pause", version="v1"
        )
        pause = timedelta(seconds=seconds)
        template = {"id": workflow, "nodes": [{"id": "n0", "gate_node": {"sleep": {"duration": pause}}}]}
        admin.CreateWorkflow(WorkflowCreateRequest(id=workflow, spec={"template": template}))
        return register.execution(register.launch_plan("pause", workflow="pause"), inputs={})

    return begin


def test_a_pause_ends_though_the_clock_was_set_back_meanwhile(plane, begin_pause):
    execution = begin_pause(seconds=0.05)
    longer = asyncio.sleep(0.1)  # by the clock that timers go by; the other one stands still
    asyncio.run_coroutine_threadsafe(longer, plane.loop).result(timeout=10)

    plane.parts.clock.advance(timedelta(seconds=0.05))

    plane.wait_until_ended(id_of(execution))


def test_an_attempt_that_cannot_be_handed_over_fails_and_no_other_is_held_up(plane, admin, register):
    main = register.everything()
    register.task("broken")
    register.workflow("breaks", task="broken")
    plane.executor.unstartable.add("broken")
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": Literal(scalar={"primitive": {"integer": 6}})})

    broken = register.execution(register.launch_plan("breaks", workflow="breaks"))
    well = register.execution(main)

    for execution in (broken, well):
        plane.wait_until_ended(id_of(execution))
    assert closure_of(admin, well).phase == WorkflowExecution.SUCCEEDED
    failed = closure_of(admin, broken)
    assert failed.phase == WorkflowExecution.FAILED
    assert "No space left on device" in failed.error.message
