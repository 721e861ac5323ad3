"""Gate nodes: signals, approvals and sleeps."""

from __future__ import annotations

from datetime import timedelta

from flyteidl.core.types_pb2 import LiteralType, SimpleType
from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    INT,
    approve_node,
    compiled,
    given,
    literals,
    plan,
    ref,
    signal_node,
    sleep_node,
    task,
    task_node,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import OpenSignal, StartAttempt, WakeAt
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.phases import ExecutionPhase

WORK = task("work")
BOOLEAN = LiteralType(simple=SimpleType.BOOLEAN)


def begun(*nodes, gives: str = "n0") -> Run:  # type: ignore[no-untyped-def]  # nodes are flyteidl's
    run = Run(plan(compiled(workflow("w", nodes, outputs={"o0": (INT, ref(gives))}), [WORK])))
    run.begin()
    return run


def test_a_signal_is_opened_and_the_gate_runs_until_it_is_set() -> None:
    run = begun(signal_node("n0", "age"))

    assert run.phases() == {"n0": "RUNNING"}
    assert run.commands == (OpenSignal(signal_id="age", type=INT),)
    run.set_signal("age", 42)
    assert run.phases() == {"n0": "SUCCEEDED"}
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=42)


def test_another_signal_does_not_open_the_gate() -> None:
    run = begun(signal_node("n0", "age"))

    run.set_signal("size", 42)

    assert run.phases() == {"n0": "RUNNING"}


def test_two_gates_with_one_signal_open_together_also_across_levels() -> None:
    inner = workflow("inner", [signal_node("n0", "age")], inputs={}, outputs={"o0": (INT, ref("n0"))})
    outer = workflow("w", [signal_node("n0", "age"), workflow_node("n1", inner)], outputs={"o0": (INT, ref("n1"))})
    run = Run(plan(compiled(outer, [], [inner])))
    run.begin()

    run.set_signal("age", 42)

    assert run.phases() == {"n0": "SUCCEEDED", "n1": "SUCCEEDED", "n1-0-n0": "SUCCEEDED"}


def test_an_approval_lets_the_value_through() -> None:
    run = begun(task_node("n0", WORK, x=given("x")), approve_node("n1", "ok", o0=ref("n0")), gives="n1")
    run.start("n0")
    run.succeed("n0", o0=3)

    assert run.commands == (OpenSignal(signal_id="ok", type=BOOLEAN),)
    run.set_signal("ok", True)

    assert run.state.outputs == literals(o0=3)


def test_a_rejection_fails_the_gate() -> None:
    run = begun(task_node("n0", WORK, x=given("x")), approve_node("n1", "ok", o0=ref("n0")), gives="n1")
    run.start("n0")
    run.succeed("n0", o0=3)

    run.set_signal("ok", False)

    assert run.phases() == {"n0": "SUCCEEDED", "n1": "FAILED"}
    assert run.state.failure == Failure(
        kind=ErrorKind.USER, code="ReceivedRejectSignal", message="received reject signal for gate [ok]"
    )


def test_a_sleep_ends_by_itself_and_what_comes_after_it_begins() -> None:
    run = begun(sleep_node("n0", 90), task_node("n1", WORK, x=given("x"), after=["n0"]), gives="n1")

    assert run.commands == (WakeAt(at=START + timedelta(seconds=90)),)
    run.pass_time(89)
    assert run.phases() == {"n0": "RUNNING"}
    run.pass_time(1)
    assert run.phases() == {"n0": "SUCCEEDED", "n1": "QUEUED"}
    assert run.node("n0").outputs == literals()
    assert len(run.commanded(StartAttempt)) == 1


def test_a_sleep_lasts_as_long_as_it_says_whatever_the_timeout() -> None:
    run = begun(sleep_node("n0", 7200, timeout_s=3600), task_node("n1", WORK, x=given("x"), after=["n0"]), gives="n1")

    run.pass_time(3601)

    assert run.phases() == {"n0": "RUNNING"}


def test_a_gate_that_waits_longer_than_its_timeout_fails() -> None:
    run = begun(signal_node("n0", "age", timeout_s=60))

    assert run.commands == (OpenSignal(signal_id="age", type=INT), WakeAt(at=START + timedelta(seconds=60)))
    run.pass_time(60)

    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure == Failure(
        kind=ErrorKind.USER,
        code="RetriesExhausted|TimeoutExpired",
        message="[1/1] currentAttempt done. Last Error: USER::task execution timeout [1m0s] expired",
    )


def test_an_abort_ends_the_gate_at_once() -> None:
    run = begun(signal_node("n0", "age"))

    run.terminate("enough")

    assert run.phases() == {"n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_gates_take_no_slot() -> None:
    nodes = [signal_node("n0", "age"), task_node("n1", WORK, x=given("x"))]
    run = Run(plan(compiled(workflow("w", nodes), [WORK]), max_parallelism=1))

    run.begin()

    assert run.phases() == {"n0": "RUNNING", "n1": "QUEUED"}


def test_after_a_restart_a_waiting_gate_asks_again() -> None:
    run = begun(signal_node("n0", "age", timeout_s=60))
    asked = run.commands

    assert machine.recover(run.state, run.now) == asked
    run.set_signal("age", 1)
    assert machine.recover(run.state, run.now) == ()
