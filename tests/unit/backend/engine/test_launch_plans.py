"""Launch-plan nodes: an execution of its own for each, and what becomes of the node when that ends."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    INT,
    PLAN,
    branch_node,
    compare,
    compiled,
    given,
    literals,
    plan,
    plan_node,
    ref,
    task,
    task_node,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortChild, StartAttempt, StartChild, WakeAt
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.nodeids import child_execution_name
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.identifiers import ExecutionId, NodeId

CHILD = ExecutionId(project="p", domain="d", name="e1-n0-0")
CASCADE = "cascading abort as parent execution id [e1] aborted, reason [{}]"
WORK = task("work")


def calling(**changes: int) -> Run:
    """A run of a workflow that begins one child with its own input and gives the child's output."""
    template = workflow("w", [plan_node("n0", x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    run = Run(plan(compiled(template, []), **changes))
    run.begin()
    return run


def beside_a_task() -> Run:
    """A child and a task run side by side."""
    template = workflow("w", [plan_node("n0", x=given("x")), task_node("n1", WORK, x=given("x"))])
    run = Run(plan(compiled(template, [WORK])))
    run.begin()
    run.start_child("n0")
    run.start("n1")
    return run


def test_the_node_asks_for_a_child_with_its_inputs_under_a_name_made_from_its_own() -> None:
    run = calling()

    assert run.phases() == {"n0": "QUEUED"}
    assert run.commands == (
        StartChild(node=NodeId("n0"), child=CHILD, launch_plan=PLAN.identifier, inputs=literals(x=1)),
    )


def test_a_long_name_and_one_with_forbidden_characters_are_hashed() -> None:
    assert child_execution_name("a6gmqtchm82mdbhx5c8d", NodeId("n0"), 0) == "fntxnrxq"
    assert child_execution_name("e1", NodeId("N_0"), 0) == "fswwjpvq"
    assert child_execution_name("e1", NodeId("n0-0-n1"), 0) == "e1-n0-0-n1-0"


def test_the_node_runs_while_its_child_does_and_gives_its_outputs() -> None:
    run = calling()

    run.start_child("n0")
    assert run.phases() == {"n0": "RUNNING"}
    run.succeed_child("n0", o0=5)

    assert run.phases() == {"n0": "SUCCEEDED"}
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=5)
    assert run.files["/meta/n0/data/0/outputs.pb"] == literals(o0=5)


def test_the_news_of_the_childs_start_may_come_after_that_of_its_end() -> None:
    run = calling()

    run.succeed_child("n0", o0=5)
    run.start_child("n0")
    run.abort_child("n0")

    assert run.phases() == {"n0": "SUCCEEDED"}
    assert run.node("n0").started_at is not None


def test_a_child_that_failed_fails_the_node_with_the_childs_own_error() -> None:
    run = calling()
    run.start_child("n0")

    run.fail_child("n0")

    failure = Failure(kind=ErrorKind.USER, code="USER:ValueError", message="the child's own words")
    assert run.node("n0").failure == failure
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure == failure


def test_a_child_that_is_refused_fails_the_node_before_it_ran() -> None:
    run = calling()

    run.fail_child("n0")

    assert run.phases() == {"n0": "FAILED"}
    assert run.node("n0").started_at is None


def test_a_child_that_somebody_aborted_fails_the_node() -> None:
    run = calling()
    run.start_child("n0")

    run.abort_child("n0")

    assert run.node("n0").failure == Failure(
        kind=ErrorKind.USER,
        code="RemoteChildWorkflowExecutionFailed",
        message="launch plan execution [e1-n0-0] was aborted",
    )


def test_terminating_the_parent_aborts_the_child_and_waits_for_its_end() -> None:
    run = calling()
    run.start_child("n0")

    run.terminate("enough")

    assert run.state.phase is ExecutionPhase.ABORTING
    assert run.commands == (AbortChild(node=NodeId("n0"), child=CHILD, reason=CASCADE.format("enough")),)
    run.abort_child("n0")
    assert run.phases() == {"n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_the_result_of_a_child_that_was_quicker_than_the_abort_is_kept() -> None:
    run = calling()
    run.start_child("n0")
    run.terminate()

    run.succeed_child("n0", o0=5)

    assert run.phases() == {"n0": "SUCCEEDED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_a_failure_elsewhere_aborts_the_child() -> None:
    run = beside_a_task()

    run.fail("n1")

    reason = CASCADE.format("Some node execution failed, auto-abort.")
    assert run.commands == (AbortChild(node=NodeId("n0"), child=CHILD, reason=reason),)
    assert run.state.phase is ExecutionPhase.FAILING
    run.fail_child("n0")  # as ABORTED or FAILED: the reason for its end is the other node's failure
    assert run.node("n0").phase is NodePhase.ABORTED
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "Oops"


def test_children_count_towards_the_parallelism() -> None:
    nodes = [plan_node("n0", x=given("x")), plan_node("n1", x=given("x")), task_node("n2", WORK, x=given("x"))]
    run = Run(plan(compiled(workflow("w", nodes), [WORK]), max_parallelism=1))

    run.begin()
    assert [command.node for command in run.commanded(StartChild)] == ["n0"]
    run.start_child("n0")
    assert run.commands == ()
    run.succeed_child("n0", o0=1)
    assert [command.node for command in run.commanded(StartChild)] == ["n1"]
    run.succeed_child("n1", o0=1)
    assert len(run.commanded(StartAttempt)) == 1


def test_a_child_may_be_an_arm_of_a_branch_and_lie_in_a_sub_workflow() -> None:
    branch = branch_node("n0", [(compare("$v", "EQ", 1), plan_node("n1", x=given("x")))], error="no", v=given("x"))
    inner = workflow("inner", [branch], outputs={"o0": (INT, ref("n0"))})
    outer = workflow("w", [workflow_node("n0", inner, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    run = Run(plan(compiled(outer, [], [inner])))

    run.begin()
    (command,) = run.commanded(StartChild)
    run.succeed_child(command.node, o0=7)

    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=7)


def test_after_a_restart_the_same_child_is_asked_for_again() -> None:
    run = calling()
    asked = run.commands

    assert machine.recover(run.state, run.now) == asked
    run.start_child("n0")
    assert machine.recover(run.state, run.now) == asked
    run.terminate("enough")
    assert machine.recover(run.state, run.now) == run.commands
    run.abort_child("n0")
    assert machine.recover(run.state, run.now) == ()


def impatient() -> Run:
    """A run whose child has ten seconds; it has begun."""
    node = plan_node("n0", x=given("x"))
    node.metadata.timeout.FromTimedelta(timedelta(seconds=10))
    run = Run(plan(compiled(workflow("w", [node], outputs={"o0": (INT, ref("n0"))}), [])))
    run.begin()
    run.start_child("n0")
    return run


def test_a_child_that_takes_too_long_is_ended_and_fails_the_node() -> None:
    run = impatient()
    assert run.commands == (WakeAt(at=START + timedelta(seconds=10)),)

    run.pass_time(9)
    assert run.commands == ()
    run.pass_time(1)

    reason = CASCADE.format("node failing")
    assert run.commands == (AbortChild(node=NodeId("n0"), child=CHILD, reason=reason),)
    assert run.phases() == {"n0": "FAILING"}
    assert machine.recover(run.state, run.now) == run.commands
    run.pass_time(1)
    assert run.commands == ()
    run.abort_child("n0")
    assert run.phases() == {"n0": "FAILED"}
    assert run.node("n0").failure == Failure(
        kind=ErrorKind.USER,
        code="RetriesExhausted|TimeoutExpired",
        message="[1/1] currentAttempt done. Last Error: USER::task execution timeout [10s] expired",
    )
    assert run.state.phase is ExecutionPhase.FAILED


def test_the_result_of_a_child_that_came_in_while_it_was_ended_is_kept() -> None:
    run = impatient()
    run.pass_time(10)

    run.succeed_child("n0", o0=5)

    assert run.phases() == {"n0": "SUCCEEDED"}
    assert run.state.outputs == literals(o0=5)


def test_an_abort_of_the_parent_goes_before_a_timeout_of_the_child() -> None:
    run = impatient()
    run.pass_time(10)
    run.terminate("enough")

    run.abort_child("n0")

    assert run.phases() == {"n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_after_a_restart_the_time_of_a_running_child_goes_on() -> None:
    run = impatient()

    assert WakeAt(at=START + timedelta(seconds=10)) in machine.recover(run.state, run.now)
