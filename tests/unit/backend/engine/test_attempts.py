"""Retries, losses, deadlines: what follows a failed attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import compiled, given, plan, task, task_node, workflow

from hydraflyte.backend.engine.commands import AbortAttempt, StartAttempt, WakeAt
from hydraflyte.backend.engine.events import AttemptAborted
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase

WORK = task("work")


def one_task(*, retries: int = 0, timeout_s: float = 0) -> Run:
    node = task_node("n0", WORK, retries=retries, timeout_s=timeout_s, x=given("x"))
    run = Run(plan(compiled(workflow("w", [node]), [WORK])))
    run.begin()
    run.start("n0")
    return run


def failure_of(run: Run) -> tuple[str, str, str]:
    failure = run.node("n0").failure
    assert failure is not None
    return failure.kind.name, failure.code, failure.message


def test_a_failed_attempt_is_retried_until_the_budget_is_spent() -> None:
    run = one_task(retries=2)

    for attempt in (1, 2):
        run.fail("n0", is_retryable=True)
        assert run.node("n0").attempt == attempt
        assert run.node("n0").phase is NodePhase.RUNNING
        assert run.commanded(StartAttempt)[0].spec.output_prefix == f"/meta/n0/data/{attempt}"
        run.start("n0")
    run.fail("n0", is_retryable=True)

    assert failure_of(run) == (
        "USER",
        "RetriesExhausted|Oops",
        "[3/3] currentAttempt done. Last Error: USER::n0 went wrong",
    )
    assert [attempt.phase for attempt in run.node("n0").attempts] == [TaskPhase.FAILED] * 3
    assert run.state.phase is ExecutionPhase.FAILED


def test_a_permanent_failure_ends_the_node_whatever_the_budget() -> None:
    run = one_task(retries=5)

    run.fail("n0", code="USER:ValueError")

    assert failure_of(run) == ("USER", "USER:ValueError", "n0 went wrong")


def test_an_attempt_that_never_started_is_retried_from_the_queue() -> None:
    node = task_node("n0", WORK, retries=1, x=given("x"))
    run = Run(plan(compiled(workflow("w", [node]), [WORK])))
    run.begin()

    run.fail("n0", is_retryable=True)

    assert run.node("n0").phase is NodePhase.QUEUED
    assert run.node("n0").attempt == 1


def test_lost_attempts_have_three_tries_of_their_own() -> None:
    run = one_task()

    for _ in range(3):
        run.lose("n0")
        assert run.state.phase is ExecutionPhase.RUNNING
    run.lose("n0")

    assert failure_of(run) == (
        "USER",
        "RetriesExhausted|ResourceDeletedExternally",
        "[3/3] currentAttempt done. Last Error: SYSTEM::the backend was restarted",
    )
    assert len(run.node("n0").attempts) == 4


def test_losses_do_not_count_against_the_users_own_retries() -> None:
    run = one_task(retries=1)

    run.lose("n0")
    run.lose("n0")
    run.fail("n0", is_retryable=True)
    assert run.state.phase is ExecutionPhase.RUNNING
    run.fail("n0", is_retryable=True)

    assert failure_of(run)[2].startswith("[2/2] currentAttempt done.")
    assert run.node("n0").system_failures == 2


def test_failures_of_unknown_kind_count_as_the_users() -> None:
    run = one_task()

    run.fail("n0", code="OutputsNotFound", kind=ErrorKind.UNKNOWN, is_retryable=True)

    assert failure_of(run)[1:] == (
        "RetriesExhausted|OutputsNotFound",
        "[1/1] currentAttempt done. Last Error: UNKNOWN::n0 went wrong",
    )


def test_a_later_attempt_is_given_the_checkpoints_of_the_one_before() -> None:
    saver = task("saver", args=["run", "{{.checkpointOutputPrefix}}", "{{.prevCheckpointPrefix}}"])
    run = Run(plan(compiled(workflow("w", [task_node("n0", saver, retries=1, x=given("x"))]), [saver])))
    run.begin()
    first = run.commanded(StartAttempt)[0].spec

    run.fail("n0", is_retryable=True)

    second = run.commanded(StartAttempt)[0].spec
    assert first.argv[2] == '""'
    assert second.argv[2] == first.argv[1]
    assert second.argv[1] == f"{second.raw_output_prefix}/_flytecheckpoints"


def test_events_about_a_replaced_attempt_change_nothing() -> None:
    run = one_task(retries=1)
    first = run.attempt("n0")
    run.fail("n0", is_retryable=True)
    before = run.state

    run.send(AttemptAborted(attempt=first))

    assert run.state == before


def test_the_clock_of_an_attempt_starts_with_its_process() -> None:
    node = task_node("n0", WORK, timeout_s=60, x=given("x"))
    run = Run(plan(compiled(workflow("w", [node]), [WORK])))
    run.begin()
    assert run.commanded(WakeAt) == []
    run.now += timedelta(seconds=1000)

    run.start("n0")

    assert run.commanded(WakeAt) == [
        WakeAt(at=START + timedelta(seconds=1060)),
        WakeAt(at=START + timedelta(seconds=1120)),
    ]


def test_an_attempt_that_takes_too_long_is_killed_and_counts_as_a_failure_of_the_users() -> None:
    run = one_task(timeout_s=60)

    run.pass_time(59)
    assert run.commands == ()
    run.pass_time(1)
    assert [command.reason for command in run.commanded(AbortAttempt)] == ["task execution timeout [1m0s] expired"]
    assert run.node("n0").phase is NodePhase.RUNNING
    run.confirm_abort("n0")

    assert failure_of(run) == (
        "USER",
        "RetriesExhausted|TimeoutExpired",
        "[1/1] currentAttempt done. Last Error: USER::task execution timeout [1m0s] expired",
    )
    assert run.node("n0").attempts[0].phase is TaskPhase.FAILED


def test_an_attempt_that_is_being_killed_is_not_killed_again() -> None:
    run = one_task(timeout_s=60)
    run.pass_time(60)

    run.pass_time(30)

    assert run.commands == ()


def test_a_timed_out_attempt_is_retried() -> None:
    run = one_task(retries=1, timeout_s=60)
    run.pass_time(60)

    run.confirm_abort("n0")

    assert run.node("n0").attempt == 1
    assert [attempt.phase for attempt in run.node("n0").attempts] == [TaskPhase.FAILED, TaskPhase.QUEUED]


def test_all_attempts_together_have_twice_the_time_of_one() -> None:
    run = one_task(retries=5, timeout_s=60)
    run.pass_time(60)
    run.confirm_abort("n0")
    run.start("n0")

    run.pass_time(60)
    run.confirm_abort("n0")

    assert run.node("n0").phase is NodePhase.TIMED_OUT
    assert failure_of(run) == ("USER", "Timeout", "active deadline [2m0s] elapsed")
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "Timeout"


def test_a_result_that_races_with_the_deadline_is_kept() -> None:
    run = one_task(timeout_s=60)
    run.pass_time(60)

    run.succeed("n0", o0=1)

    assert run.node("n0").phase is NodePhase.SUCCEEDED
    assert run.node("n0").attempts[0].failure is None
    assert run.state.phase is ExecutionPhase.SUCCEEDED


def interruptible(*, node: bool | None = None, execution: bool | None = None, workflow_says: bool = False) -> Run:
    spec = task_node("n0", WORK, x=given("x"))
    if node is not None:
        spec.metadata.interruptible = node
    template = workflow("w", [spec])
    template.metadata_defaults.interruptible = workflow_says
    run = Run(replace(plan(compiled(template, [WORK])), interruptible=execution))
    run.begin()
    return run


def test_the_node_goes_before_the_execution_and_that_before_the_workflow() -> None:
    def first(run: Run) -> bool:
        return run.node("n0").attempts[0].is_interruptible

    assert not first(interruptible())
    assert first(interruptible(workflow_says=True))
    assert not first(interruptible(execution=False, workflow_says=True))
    assert first(interruptible(execution=True))
    assert first(interruptible(node=True, execution=False))
    assert not first(interruptible(node=False, execution=True))


def test_the_last_attempts_that_the_system_may_lose_run_where_nothing_is_taken_away() -> None:
    run = interruptible(node=True)

    for _ in range(3):
        run.lose("n0")

    assert [attempt.is_interruptible for attempt in run.node("n0").attempts] == [True, True, False, False]
