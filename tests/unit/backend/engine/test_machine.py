"""How task nodes run: events in, commands out."""

from __future__ import annotations

from datetime import timedelta

from flyteidl.core.tasks_pb2 import TaskTemplate
from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    INT,
    compiled,
    given,
    literals,
    plan,
    ref,
    task,
    task_node,
    workflow,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortAttempt, StartAttempt
from hydraflyte.backend.engine.events import AttemptStarted, AttemptSucceeded, ExecutionRequested, LogLink
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import NodeKind
from hydraflyte.identifiers import AttemptId, NodeId

WORK = task("work")


def chain(length: int = 2) -> Run:
    """``n0 -> n1 -> …``, each taking what the one before gave; the last one's output is the workflow's."""
    nodes = [task_node("n0", WORK, x=given("x"))]
    nodes += [task_node(f"n{i}", WORK, x=ref(f"n{i - 1}")) for i in range(1, length)]
    template = workflow("chain", nodes, outputs={"o0": (INT, ref(f"n{length - 1}"))})
    return Run(plan(compiled(template, [WORK])))


def diamond(**settings: bool | int) -> Run:
    """``a`` before ``b`` and ``c``, both before ``d``; ``alone`` beside them."""
    nodes = [
        task_node("a", WORK, x=given("x")),
        task_node("b", WORK, x=ref("a")),
        task_node("c", WORK, x=ref("a")),
        task_node("d", WORK, x=ref("b"), after=["c"]),
        task_node("alone", WORK, x=given("x")),
    ]
    template = workflow(
        "diamond", nodes, outputs={"o0": (INT, ref("d"))}, finishes_others=bool(settings.pop("finishes_others", False))
    )
    return Run(plan(compiled(template, [WORK]), **settings))  # type: ignore[arg-type]  # the settings are ints


def test_a_new_execution_is_undefined_and_has_no_nodes() -> None:
    state = machine.begin(chain().state.plan, START)

    assert state.phase is ExecutionPhase.UNDEFINED
    assert state.nodes == {}


def test_the_first_step_passes_start_node_and_starts_what_follows() -> None:
    run = chain()

    step = run.begin()

    assert run.state.phase is ExecutionPhase.RUNNING
    assert run.state.started_at == START
    assert run.node("start-node").kind is NodeKind.START
    assert run.node("start-node").outputs == literals(x=1)
    assert run.phases() == {"n0": "QUEUED"}
    assert [command.spec.attempt for command in run.commanded(StartAttempt)] == [run.attempt("n0")]
    assert step.touched == {"start-node", "n0"}


def test_files_are_written_before_anybody_reads_them() -> None:
    run = chain()

    run.begin()

    assert run.writes == {
        "/meta/start-node/data/0/outputs.pb": literals(x=1),
        "/meta/n0/data/inputs.pb": literals(x=1),
    }


def test_an_attempt_is_told_everything_it_needs() -> None:
    run = chain()

    run.begin()

    spec = run.commanded(StartAttempt)[0].spec
    assert spec.argv == ("pyflyte-execute", "--inputs", "/meta/n0/data/inputs.pb", "--output-prefix", "/meta/n0/data/0")
    assert spec.inputs_uri == "/meta/n0/data/inputs.pb"
    assert spec.output_prefix == "/meta/n0/data/0"
    assert spec.raw_output_prefix.endswith("/e1-n0-0")
    assert spec.env["FLYTE_ATTEMPT_NUMBER"] == "0"
    assert isinstance(spec.task, TaskTemplate)


def test_a_started_attempt_makes_its_node_run_and_keeps_its_logs() -> None:
    run = chain()
    run.begin()
    run.now += timedelta(seconds=5)
    logs = (LogLink(name="stdout", uri="/logs/1"),)

    run.send(AttemptStarted(attempt=run.attempt("n0"), logs=logs))

    assert run.node("n0").phase is NodePhase.RUNNING
    assert run.node("n0").started_at == START + timedelta(seconds=5)
    assert run.node("n0").queued_at == START
    assert run.node("n0").attempts[0].phase is TaskPhase.RUNNING
    assert run.node("n0").attempts[0].logs == logs


def test_outputs_flow_into_the_next_node_and_out_of_the_workflow() -> None:
    run = chain()
    run.begin()

    run.start("n0")
    run.succeed("n0", o0=7)
    next_inputs = run.node("n1").inputs
    run.start("n1")
    run.succeed("n1", o0=8)

    assert next_inputs == literals(x=7)
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=8)
    assert run.node("end-node").phase is NodePhase.SUCCEEDED
    assert run.writes == {"/meta/end-node/data/0/outputs.pb": literals(o0=8)}


def test_a_node_waits_for_all_that_is_upstream() -> None:
    run = diamond()
    run.begin()
    run.succeed("a", o0=2)

    run.succeed("b", o0=3)

    assert "d" not in run.phases()
    run.succeed("c", o0=4)
    assert run.phases()["d"] == "QUEUED"


def test_a_chain_of_a_thousand_nodes_needs_no_deep_stack() -> None:
    run = chain(1000)
    run.begin()

    run.fail("n0")

    assert run.state.phase is ExecutionPhase.FAILED


def test_a_result_without_the_news_of_its_start_counts_all_the_same() -> None:
    run = chain()
    run.begin()

    run.succeed("n0", o0=7)
    run.send(AttemptStarted(attempt=AttemptId(execution=run.state.plan.execution_id, node=NodeId("n0"), attempt=0)))

    assert run.node("n0").phase is NodePhase.SUCCEEDED
    assert run.node("n0").started_at == START


def test_late_and_repeated_events_change_nothing() -> None:
    run = chain()
    run.begin()
    first = run.attempt("n0")
    run.start("n0")
    run.succeed("n0", o0=7)
    before = run.state

    run.send(AttemptStarted(attempt=first))
    run.send(AttemptSucceeded(attempt=first, outputs=literals(o0=99)))
    run.send(ExecutionRequested())
    run.lose("n0")

    assert run.state == before
    assert run.commands == ()


def test_events_about_unknown_nodes_and_other_executions_change_nothing() -> None:
    run = chain()
    run.begin()
    before = run.state
    elsewhere = AttemptId(execution=run.state.plan.execution_id, node=NodeId("n7"), attempt=0)

    run.send(AttemptStarted(attempt=elsewhere))

    assert run.state == before


def test_with_fail_immediately_a_failure_aborts_what_runs_and_fails_the_execution() -> None:
    run = diamond()
    run.begin()
    run.start("alone")

    run.fail("a", code="USER:ValueError")

    assert run.state.phase is ExecutionPhase.FAILING
    assert run.phases() == {"a": "FAILED", "alone": "RUNNING"}
    abort = run.commanded(AbortAttempt)[0]
    assert (abort.attempt, abort.reason) == (run.attempt("alone"), "Some node execution failed, auto-abort.")

    run.confirm_abort("alone")

    assert run.phases() == {"a": "FAILED", "alone": "ABORTED"}
    assert run.node("alone").failure is not None
    assert run.node("alone").failure.code == "NodeAborted"
    assert run.node("alone").attempts[0].phase is TaskPhase.ABORTED
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:ValueError"


def test_with_fail_after_others_complete_only_what_is_downstream_is_skipped() -> None:
    run = diamond(finishes_others=True)
    run.begin()
    run.succeed("a", o0=2)

    run.fail("b", code="USER:First")
    run.succeed("alone", o0=1)
    assert run.state.phase is ExecutionPhase.RUNNING
    run.succeed("c", o0=3)

    assert run.phases() == {
        "a": "SUCCEEDED",
        "b": "FAILED",
        "c": "SUCCEEDED",
        "d": "SKIPPED",
        "alone": "SUCCEEDED",
    }
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:First"


def test_with_fail_after_others_complete_the_last_failure_is_told() -> None:
    run = diamond(finishes_others=True)
    run.begin()

    run.fail("a", code="USER:First")
    run.now += timedelta(seconds=1)
    run.fail("alone", code="USER:Second")

    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:Second"


def test_a_success_that_races_with_its_abort_is_kept() -> None:
    run = diamond()
    run.begin()
    run.start("alone")
    run.fail("a")

    run.succeed("alone", o0=5)

    assert run.phases() == {"a": "FAILED", "alone": "SUCCEEDED"}
    assert run.state.phase is ExecutionPhase.FAILED


def test_an_execution_that_is_terminated_ends_when_its_processes_are_gone() -> None:
    run = diamond()
    run.begin()
    run.start("a")

    run.terminate("wrong config")

    assert run.state.phase is ExecutionPhase.ABORTING
    assert {(c.attempt.node, c.reason) for c in run.commanded(AbortAttempt)} == {
        ("a", "wrong config"),
        ("alone", "wrong config"),
    }
    run.confirm_abort("a")
    assert run.state.phase is ExecutionPhase.ABORTING
    run.confirm_abort("alone")
    assert run.state.phase is ExecutionPhase.ABORTED
    assert run.state.failure is None
    assert (run.state.abort_cause, run.state.abort_principal) == ("wrong config", "ann")
    assert run.phases() == {"a": "ABORTED", "alone": "ABORTED"}


def test_a_process_that_dies_of_its_abort_counts_as_aborted() -> None:
    run = chain()
    run.begin()
    run.terminate()

    run.fail("n0", code="Interrupted", kind=ErrorKind.SYSTEM, is_retryable=True)

    assert run.phases() == {"n0": "ABORTED"}


def test_an_execution_that_has_not_begun_is_aborted_at_once() -> None:
    run = chain()

    run.terminate()

    assert run.state.phase is ExecutionPhase.ABORTED


def test_asking_twice_for_the_end_changes_nothing() -> None:
    run = chain()
    run.begin()
    run.terminate("first")

    run.terminate("second")

    assert run.state.abort_cause == "first"
    assert run.commands == ()


def test_inputs_that_cannot_be_resolved_fail_the_node_for_the_system() -> None:
    run = chain()
    run.begin()

    run.succeed("n0", something_else=7)

    assert run.phases()["n1"] == "FAILED"
    failure = run.node("n1").failure
    assert failure is not None
    assert (failure.kind, failure.code) == (ErrorKind.SYSTEM, "BindingResolutionFailure")
    assert failure.message == "input 'x': node 'n0' has no output 'o0' (it has: something_else)"
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure == failure


def test_outputs_that_cannot_be_resolved_fail_the_execution() -> None:
    run = chain(1)
    run.begin()

    run.succeed("n0")

    assert run.phases() == {"n0": "SUCCEEDED", "end-node": "FAILED"}
    assert run.state.failure is not None
    assert run.state.failure.code == "BindingResolutionFailure"


def test_a_command_line_that_cannot_be_rendered_fails_the_node_for_the_user() -> None:
    odd = task("odd", args=["echo", "{{.inputs.y}}"])
    run = Run(plan(compiled(workflow("w", [task_node("n0", odd, x=given("x"))]), [odd])))

    run.begin()

    failure = run.node("n0").failure
    assert failure is not None
    assert (failure.kind, failure.code) == (ErrorKind.USER, "BadTaskDefinition")
    assert run.state.phase is ExecutionPhase.FAILED


def test_the_task_template_is_written_for_those_who_ask() -> None:
    curious = task("curious", args=["show", "{{.taskTemplatePath}}"])
    run = Run(plan(compiled(workflow("w", [task_node("n0", curious, x=given("x"))]), [curious])))

    run.begin()

    assert run.writes["/meta/n0/data/task.pb"] == curious
    assert run.commanded(StartAttempt)[0].spec.argv == ("show", "/meta/n0/data/task.pb")
