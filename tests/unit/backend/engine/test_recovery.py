"""Recovered executions: what is taken over, what runs again, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.workflow_pb2 import Node
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    INT,
    array_node,
    bind,
    branch_node,
    cached,
    collect,
    compare,
    compiled,
    const,
    given,
    list_of,
    literals,
    plan,
    plan_node,
    ref,
    signal_node,
    task,
    task_node,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.dynamic import compile_dynamic
from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import LookUpCache, OpenSignal, StartAttempt, StartChild, WriteCache
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.backend.engine.state import CacheStatus, RecoveredNode
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

ORIGINAL = ExecutionId(project="p", domain="d", name="e0")
WORK = task("work")
CACHED = task("cached", metadata=cached())
QUIET = task("quiet", outputs={})
MAPPED = task("mapped", inputs={"x": list_of(INT)}, outputs={"o0": list_of(INT)})


def ended_well(value: int = 7, **changes: object) -> RecoveredNode:
    return replace(
        RecoveredNode(phase=NodePhase.SUCCEEDED, inputs=literals(x=1), outputs=literals(o0=value)), **changes
    )


def recovering(nodes: list[Node], known: Mapping[str, RecoveredNode], **changes: object) -> Run:
    """A run that has begun, of a workflow of these nodes; ``known`` is what the original left, by node."""
    inner = workflow("inner", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    outputs = {"o0": (INT, ref(nodes[-1].id))}
    template = workflow("w", nodes, outputs=outputs, **changes)  # type: ignore[arg-type]  # passed on
    closure = compiled(template, [WORK, CACHED, QUIET, MAPPED, task("dynamic")], [inner])
    recovered = {NodeId(node_id): node for node_id, node in known.items()}
    run = Run(replace(plan(closure), recovers=ORIGINAL, recovered=recovered))
    run.begin()
    return run


def test_a_node_that_ended_well_is_taken_over_with_inputs_and_outputs_and_never_runs() -> None:
    nodes = [task_node("n0", WORK, x=given("x")), task_node("n1", WORK, x=ref("n0"))]

    run = recovering(nodes, {"n0": ended_well(7)})

    assert run.phases() == {"n0": "RECOVERED", "n1": "QUEUED"}
    assert [command.spec.attempt.node for command in run.commanded(StartAttempt)] == ["n1"]
    assert run.node("n0").started_at is None
    assert run.files["/meta/n0/data/inputs.pb"] == literals(x=1)
    assert run.files["/meta/n0/data/0/outputs.pb"] == literals(o0=7)
    assert run.node("n1").inputs == literals(x=7)


def test_an_execution_whose_every_node_ended_well_runs_nothing() -> None:
    nodes = [task_node("n0", WORK, x=given("x"))]

    run = recovering(nodes, {"n0": ended_well(7), "end-node": ended_well(7)})

    assert run.commands == ()
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=7)
    assert run.node("end-node").phase is NodePhase.RECOVERED


def test_what_failed_was_skipped_or_never_began_runs() -> None:
    nodes = [task_node(f"n{number}", WORK, x=given("x")) for number in range(3)]
    known = {"n0": RecoveredNode(phase=NodePhase.FAILED), "n1": RecoveredNode(phase=NodePhase.SKIPPED)}

    run = recovering(nodes, known)

    assert run.phases() == {"n0": "QUEUED", "n1": "QUEUED", "n2": "QUEUED"}


def test_a_node_whose_outputs_are_gone_runs_unless_it_has_none() -> None:
    nodes = [task_node("n0", QUIET, x=given("x")), task_node("n1", WORK, x=given("x"))]
    known = {"n0": ended_well(outputs=None), "n1": ended_well(outputs=None)}

    run = recovering(nodes, known)

    assert run.phases() == {"n0": "RECOVERED", "n1": "QUEUED"}


def test_what_the_catalog_knew_of_a_node_is_kept_and_not_stored_again() -> None:
    known = ended_well(cache_status=CacheStatus.CACHE_POPULATED, cache_dataset="dataset", cache_tag="tag")

    run = recovering([task_node("n0", CACHED, x=given("x")), task_node("n1", WORK, x=given("x"))], {"n0": known})

    assert run.node("n0").cache_status is CacheStatus.CACHE_POPULATED
    assert run.node("n0").cache_tag == "tag"
    assert not run.commanded(LookUpCache)
    assert not [command for command in machine.recover(run.state, run.now) if isinstance(command, WriteCache)]


def test_the_first_attempt_goes_on_from_the_originals_last_checkpoint() -> None:
    checkpointed = task("work", args=["{{.prevCheckpointPrefix}}"])
    template = workflow("w", [task_node("n0", checkpointed, x=given("x"))])
    known = {NodeId("n0"): RecoveredNode(phase=NodePhase.FAILED, checkpoints="/raw/ab/e0-n0-2/_flytecheckpoints")}
    run = Run(replace(plan(compiled(template, [checkpointed])), recovers=ORIGINAL, recovered=known))

    run.begin()

    assert [command.spec.argv for command in run.commanded(StartAttempt)] == [("/raw/ab/e0-n0-2/_flytecheckpoints",)]


def test_a_sub_workflow_is_recovered_whole_or_by_its_nodes() -> None:
    inner = workflow("inner", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    nodes = [workflow_node("s0", inner, x=given("x")), workflow_node("s1", inner, x=given("x"))]
    known = {"s0": ended_well(7), "s1": RecoveredNode(phase=NodePhase.FAILED), "s1-0-n0": ended_well(8)}

    run = recovering(nodes, known)

    assert run.phases() == {"s0": "RECOVERED", "s1": "SUCCEEDED", "s1-0-n0": "RECOVERED"}
    assert run.state.outputs == literals(o0=8)


def test_a_branch_that_failed_chooses_again_and_recovers_its_arm() -> None:
    branch = branch_node("b", [(compare("$v", "EQ", 1), task_node("a", WORK, x=given("x")))], error="no", v=given("x"))
    known = {"b": RecoveredNode(phase=NodePhase.ABORTED), "b-0-b-a": ended_well(7)}

    run = recovering([branch], known)

    assert run.phases() == {"b": "SUCCEEDED", "b-0-b-a": "RECOVERED"}


def test_a_gate_that_was_answered_is_not_asked_again() -> None:
    nodes = [signal_node("n0", "first"), signal_node("n1", "second")]

    run = recovering(nodes, {"n0": ended_well(7), "n1": RecoveredNode(phase=NodePhase.ABORTED)})

    assert run.phases() == {"n0": "RECOVERED", "n1": "RUNNING"}
    assert [command.signal_id for command in run.commanded(OpenSignal)] == ["second"]


def test_the_child_of_a_launch_plan_node_recovers_the_one_before() -> None:
    child = ExecutionId(project="p", domain="d", name="e0-n1-0")
    nodes = [plan_node("n0", x=given("x")), plan_node("n1", x=given("x")), plan_node("n2", x=given("x"))]

    run = recovering(nodes, {"n0": ended_well(7), "n1": RecoveredNode(phase=NodePhase.FAILED, child=child)})

    assert run.phases() == {"n0": "RECOVERED", "n1": "QUEUED", "n2": "QUEUED"}
    assert [(command.node, command.recovers) for command in run.commanded(StartChild)] == [("n1", child), ("n2", None)]


def test_the_items_of_a_map_task_are_recovered_one_by_one() -> None:
    numbers = collect(const(1), const(2), const(3))
    nodes = [array_node("n0", MAPPED, x=numbers), task_node("n1", WORK, x=given("x"))]
    known = {"n0": RecoveredNode(phase=NodePhase.FAILED), "n0-0-n0": ended_well(7), "n0-0-n2": ended_well(9)}

    run = recovering(nodes, known)
    assert [command.spec.attempt.node for command in run.commanded(StartAttempt)] == ["n0-0-n1", "n1"]
    run.succeed("n0-0-n1", o0=8)

    assert run.phases()["n0"] == "SUCCEEDED"
    assert run.node("n0").outputs == literals(o0=[7, 8, 9])


def test_a_dynamic_task_that_produced_a_workflow_runs_what_is_left_of_it() -> None:
    known = {
        "n0": RecoveredNode(
            phase=NodePhase.FAILED, inputs=literals(x=1), workflow=produced(), job_spec=DynamicJobSpec(min_successes=2)
        ),
        "n0-0-dn0": ended_well(7),
    }

    run = recovering([task_node("n0", task("dynamic"), retries=1, x=given("x"))], known)

    assert run.phases() == {"n0": "DYNAMIC_RUNNING", "n0-0-dn0": "RECOVERED", "n0-0-dn1": "QUEUED"}
    assert run.node("n0").attempts == ()
    closure = run.files["/meta/n0/data/0/dynamic_compiled.pb"]
    assert isinstance(closure, CompiledWorkflowClosure)
    assert closure.primary.template.id.version == "e1-n0-0"
    assert run.files["/meta/n0/data/0/futures.pb"] == DynamicJobSpec(min_successes=2)
    run.succeed("n0-0-dn1", o0=8)
    assert run.state.outputs == literals(o0=8)


def test_a_dynamic_task_that_ended_well_keeps_its_workflow() -> None:
    known = ended_well(7, workflow=produced())

    run = recovering([task_node("n0", task("dynamic"), x=given("x"))], {"n0": known})

    assert run.phases() == {"n0": "RECOVERED"}
    assert "/meta/n0/data/0/dynamic_compiled.pb" in run.files


def test_a_recovered_dynamic_task_is_tried_again_when_a_child_takes_too_long() -> None:
    known = {"n0": RecoveredNode(phase=NodePhase.FAILED, inputs=literals(x=1), workflow=produced(timeout_s=10))}
    run = recovering([task_node("n0", task("dynamic"), retries=1, x=given("x"))], known)
    run.start("n0-0-dn0")

    run.pass_time(25)
    run.confirm_abort("n0-0-dn0")

    assert run.node("n0").phase is NodePhase.QUEUED
    assert [attempt.attempt for attempt in run.node("n0").attempts] == [1]


def test_the_failure_node_is_never_recovered() -> None:
    cleanup = task_node("clean", WORK, x=given("x"))
    known = {"n0": RecoveredNode(phase=NodePhase.FAILED), "clean": ended_well()}
    run = recovering([task_node("n0", WORK, x=given("x"))], known, failure_node=cleanup)

    run.fail("n0")

    assert run.phases() == {"n0": "FAILED", "clean": "QUEUED"}


def produced(timeout_s: float = 0) -> CompiledWorkflowClosure:
    """What the original's dynamic task ``n0`` made in its second attempt: two nodes, one after the other."""
    nodes = [
        task_node("dn0", WORK, timeout_s=timeout_s, x=const(1)),
        task_node("dn1", WORK, x=ref("dn0")),
    ]
    spec = DynamicJobSpec(nodes=nodes, tasks=[WORK], outputs=bind({"o0": ref("dn1")}))
    attempt = AttemptId(execution=ORIGINAL, node=NodeId("n0"), attempt=1)
    return compile_dynamic(spec, attempt, variables({"o0": INT}))
