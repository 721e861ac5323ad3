"""``max_parallelism``, and what is done again after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    cached,
    compiled,
    given,
    literals,
    plan,
    task,
    task_node,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortAttempt, LookUpCache, StartAttempt, WakeAt, WriteCache
from hydraflyte.backend.engine.events import AttemptSucceeded, CacheAnswered
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.identifiers import NodeId

WORK = task("work")


def fan_out(width: int, *, max_parallelism: int) -> Run:
    nodes = [task_node(f"n{i}", WORK, x=given("x")) for i in range(width)]
    run = Run(plan(compiled(workflow("w", nodes), [WORK]), max_parallelism=max_parallelism))
    run.begin()
    return run


def started(run: Run) -> list[str]:
    return [command.spec.attempt.node for command in run.commanded(StartAttempt)]


def test_no_more_tasks_are_started_than_allowed() -> None:
    run = fan_out(5, max_parallelism=2)

    assert started(run) == ["n0", "n1"]
    assert run.phases() == {"n0": "QUEUED", "n1": "QUEUED"}


def test_the_first_to_wait_is_the_first_to_start() -> None:
    run = fan_out(4, max_parallelism=2)

    run.succeed("n1", o0=1)
    assert started(run) == ["n2"]
    run.succeed("n0", o0=1)
    assert started(run) == ["n3"]


def test_zero_means_no_limit() -> None:
    assert len(started(fan_out(100, max_parallelism=0))) == 100


def test_tasks_of_sub_workflows_count_as_well() -> None:
    inner = workflow("inner", [task_node(f"i{i}", WORK, x=given("x")) for i in range(3)])
    nodes = [workflow_node(f"s{i}", inner, x=given("x")) for i in range(2)]
    run = Run(plan(compiled(workflow("w", nodes), [WORK], [inner]), max_parallelism=2))

    run.begin()

    assert len(started(run)) == 2
    assert [run.node(node).phase for node in ("s0", "s1")] == [NodePhase.RUNNING] * 2


def test_a_retry_keeps_its_slot() -> None:
    nodes = [task_node(f"n{i}", WORK, retries=1, x=given("x")) for i in range(2)]
    run = Run(plan(compiled(workflow("w", nodes), [WORK]), max_parallelism=1))
    run.begin()

    run.fail("n0", is_retryable=True)

    assert started(run) == ["n0"]


def test_nodes_that_wait_for_a_slot_never_start_after_a_failure() -> None:
    run = fan_out(3, max_parallelism=1)

    run.fail("n0")

    assert run.phases() == {"n0": "FAILED"}
    assert run.state.phase is ExecutionPhase.FAILED


def test_a_state_that_was_read_back_goes_on_where_it_was() -> None:
    run = fan_out(3, max_parallelism=1)
    run.state = replace(run.state, admission=None)

    run.succeed("n0", o0=1)

    assert started(run) == ["n1"]


# recovery


def test_a_queued_attempt_is_handed_over_again() -> None:
    run = fan_out(2, max_parallelism=0)
    run.start("n0")

    commands = machine.recover(run.state, run.now)

    assert [type(command) for command in commands] == [StartAttempt]
    assert isinstance(commands[0], StartAttempt)
    assert commands[0].spec.attempt == run.attempt("n1")


def test_open_attempts_are_those_that_have_not_ended() -> None:
    run = fan_out(3, max_parallelism=0)
    run.start("n0")
    run.succeed("n1", o0=1)

    assert [spec.attempt.node for spec in machine.open_attempts(run.state)] == ["n0", "n2"]


def test_a_question_to_the_cache_is_asked_again() -> None:
    template = task("work", metadata=cached())
    run = Run(plan(compiled(workflow("w", [task_node("n0", template, x=given("x"))]), [template])))
    run.begin()

    assert machine.recover(run.state, run.now) == run.commands
    assert isinstance(run.commands[0], LookUpCache)


def test_outputs_that_may_not_have_reached_the_cache_are_sent_again() -> None:
    template = task("work", metadata=cached())
    run = Run(plan(compiled(workflow("w", [task_node("n0", template, x=given("x"))]), [template])))
    run.begin()
    run.send(CacheAnswered(node=NodeId("n0"), attempt=0, outputs=None))
    run.send(AttemptSucceeded(attempt=run.attempt("n0"), outputs=literals(o0=1)))

    commands = machine.recover(run.state, run.now)

    assert commands == run.commands
    assert isinstance(commands[0], WriteCache)


def test_an_abort_that_may_not_have_been_sent_is_sent_again() -> None:
    run = fan_out(1, max_parallelism=0)
    run.start("n0")
    run.terminate("enough")

    commands = machine.recover(run.state, run.now)

    assert commands == (AbortAttempt(attempt=run.attempt("n0"), reason="enough"),)


def test_deadlines_are_kept_over_a_restart() -> None:
    nodes = [task_node("n0", WORK, timeout_s=60, x=given("x"))]
    run = Run(plan(compiled(workflow("w", nodes), [WORK])))
    run.begin()
    run.start("n0")

    commands = machine.recover(run.state, run.now + timedelta(seconds=30))

    assert commands == (WakeAt(at=START + timedelta(seconds=60)), WakeAt(at=START + timedelta(seconds=120)))


def test_nothing_is_left_to_do_for_an_execution_that_has_ended() -> None:
    run = fan_out(1, max_parallelism=0)
    run.succeed("n0", o0=1)

    assert machine.recover(run.state, run.now) == ()
    assert machine.open_attempts(run.state) == ()
