"""Executions whose storing goes wrong: the trouble of one stays its own."""

import sqlite3
import time

import pytest
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from hydraflyte.backend.engine.phases import ExecutionPhase
from hydraflyte.backend.store.executions import ExecutionStore

ENDED = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)


def named(name):
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


def ended(admin, name):
    """Return the execution once it has ended, asking the API alone."""
    deadline = time.monotonic() + 10
    while True:
        execution = admin.GetExecution(WorkflowExecutionGetRequest(id=named(name)))
        if execution.closure.phase in ENDED:
            return execution
        assert time.monotonic() < deadline, f"still {WorkflowExecution.Phase.Name(execution.closure.phase)}"


@pytest.fixture
def launch_plan(plane, register):
    """A launch plan whose executions succeed."""
    result = Literal(scalar=Scalar(primitive=Primitive(integer=6)))
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": result})
    return register.everything()


class FullForAMoment(ExecutionStore):
    """Its disk is full when it is told of the first execution that failed."""

    was_full = False

    async def save(self, changes, now):
        if not self.was_full and any(change.state.phase is ExecutionPhase.FAILED for change in changes):
            self.was_full = True
            raise sqlite3.OperationalError("database or disk is full")
        await super().save(changes, now)


def test_an_execution_whose_files_cannot_exist_fails_and_the_others_go_on(plane, register, admin, launch_plan):
    folder = plane.parts.blobs.metadata_root / "propeller" / "flytesnacks-development-odd"
    folder.mkdir(parents=True)
    (folder / "n0").write_text("a file where the folder of the node must be")

    register.execution(launch_plan, "odd")
    register.execution(launch_plan, "sound")

    assert ended(admin, "sound").closure.phase == WorkflowExecution.SUCCEEDED
    odd = ended(admin, "odd").closure
    assert odd.phase == WorkflowExecution.FAILED
    assert "its state cannot be stored: " in odd.error.message
    assert "flytesnacks-development-odd/n0" in odd.error.message


def test_its_failure_is_stored_also_when_the_disk_is_full_at_that_moment(serve, register_through):
    with serve(hold_reads=False, store_class=FullForAMoment) as plane:
        admin = AdminServiceStub(plane.channel())
        register = register_through(admin)
        folder = plane.parts.blobs.metadata_root / "propeller" / "flytesnacks-development-odd"
        folder.mkdir(parents=True)
        (folder / "n0").write_text("a file where the folder of the node must be")

        register.execution(register.everything(), "odd")

        assert ended(admin, "odd").closure.phase == WorkflowExecution.FAILED
