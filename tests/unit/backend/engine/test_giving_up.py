"""The end of an execution that cannot be driven on: nothing of it goes on elsewhere."""

from __future__ import annotations

from flyteidl.core.tasks_pb2 import TaskMetadata
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    compiled,
    given,
    plan,
    plan_node,
    task,
    task_node,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortAttempt, AbortChild, ReleaseReservation
from hydraflyte.backend.engine.events import CacheAnswered
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.phases import ExecutionPhase, TaskPhase
from hydraflyte.identifiers import NodeId

WORK = task("work")
SERIALISED = task("serialised", metadata=TaskMetadata(discoverable=True, cache_serializable=True))


def test_attempts_children_and_reservations_are_ended_and_every_open_node_is_aborted() -> None:
    inner = workflow("inner", [task_node("n0", WORK, x=given("x"))])
    nodes = [
        task_node("n0", WORK, x=given("x")),
        workflow_node("n1", inner, x=given("x")),
        plan_node("n2", x=given("x")),
        task_node("n3", SERIALISED, x=given("x")),
        task_node("n4", WORK, after=["n0"], x=given("x")),
    ]
    run = Run(plan(compiled(workflow("w", nodes), [WORK, SERIALISED], [inner])))
    run.begin()
    run.start("n1-0-n0")
    run.start_child("n2")
    run.send(CacheAnswered(node=NodeId("n3"), attempt=0, outputs=None, is_reserved=True))

    step = machine.give_up(run.state, "the engine failed", run.now)

    run.state = step.state
    machine.check_invariants(run.state)
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure == Failure(kind=ErrorKind.SYSTEM, code="EngineFailure", message="the engine failed")
    assert run.phases() == dict.fromkeys(["n0", "n1", "n1-0-n0", "n2", "n3"], "ABORTED")
    assert run.node("n1-0-n0").attempts[0].phase is TaskPhase.ABORTED
    assert sorted(c.attempt.node for c in step.commands if isinstance(c, AbortAttempt)) == ["n0", "n1-0-n0", "n3"]
    assert [c.child.name for c in step.commands if isinstance(c, AbortChild)] == ["e1-n2-0"]
    assert [c.node for c in step.commands if isinstance(c, ReleaseReservation)] == ["n3"]
    assert step.touched == {"n0", "n1", "n1-0-n0", "n2", "n3"}
