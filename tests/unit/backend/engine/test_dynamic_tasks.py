from __future__ import annotations

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.tasks_pb2 import TaskMetadata
from flyteidl.core.workflow_pb2 import Node
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    INT,
    bind,
    cached,
    compiled,
    const,
    given,
    literals,
    plan,
    ref,
    task,
    task_node,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.dynamic import compile_dynamic
from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortAttempt, ReleaseReservation, StartAttempt, WriteCache
from hydraflyte.backend.engine.events import AttemptProducedWorkflow, CacheAnswered
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.identifiers import NodeId

WORK = task("work")
INNER = workflow("inner", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
CHAIN = [task_node("dn0", WORK, x=const(3)), task_node("dn1", WORK, x=ref("dn0"))]


def running(*, retries: int = 0, max_parallelism: int = 0, is_cached: bool = False) -> Run:
    """A workflow of one dynamic task ``n0`` whose first attempt runs."""
    template = task("maker", metadata=cached() if is_cached else None)
    flow = workflow("wf", [task_node("n0", template, retries=retries, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    run = Run(plan(compiled(flow, [template]), max_parallelism=max_parallelism))
    run.begin()
    if is_cached:
        run.miss_cache("n0")
    run.start("n0")
    return run


def produced(run: Run, node: str, nodes: list[Node], result: str) -> CompiledWorkflowClosure:
    spec = DynamicJobSpec(nodes=nodes, tasks=[WORK], subworkflows=[INNER], outputs=bind({"o0": ref(result)}))
    return compile_dynamic(spec, run.attempt(node), variables({"o0": INT}))


def produce(run: Run, node: str = "n0", nodes: list[Node] = CHAIN, result: str = "dn1") -> None:
    run.send(AttemptProducedWorkflow(attempt=run.attempt(node), workflow=produced(run, node, nodes, result)))


def test_a_workflow_that_an_attempt_produced_runs_below_its_node() -> None:
    run = running()

    produce(run)

    assert run.phases() == {"n0": "DYNAMIC_RUNNING", "n0-0-dn0": "QUEUED"}
    assert run.node("n0").attempts[0].phase is TaskPhase.SUCCEEDED
    child = run.node("n0-0-dn0")
    assert (child.parent, child.retry_group, child.spec_node_id, child.inputs) == ("n0", 0, "dn0", literals(x=3))
    assert set(run.writes) == {
        "/meta/n0/data/0/dynamic_compiled.pb",
        "/meta/n0/data/0/start-node/0/outputs.pb",
        "/meta/n0/data/0/dn0/inputs.pb",
    }


def test_its_end_node_gives_the_outputs_of_the_dynamic_node() -> None:
    run = running()
    produce(run)

    run.succeed("n0-0-dn0", o0=9)
    run.succeed("n0-0-dn1", o0=81)

    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=81)
    assert run.files["/meta/n0/data/0/outputs.pb"] == literals(o0=81)


def test_sub_workflows_come_with_the_workflow_that_was_produced() -> None:
    run = running()

    produce(run, nodes=[workflow_node("dn0", INNER, x=const(2))], result="dn0")
    run.succeed("n0-0-dn0-0-n0", o0=4)

    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=4)


def test_the_final_outputs_are_cached_not_the_workflow() -> None:
    run = running(is_cached=True)

    produce(run)
    at_once = run.commanded(WriteCache)
    run.succeed("n0-0-dn0", o0=9)
    run.succeed("n0-0-dn1", o0=81)

    assert at_once == []
    assert [command.outputs for command in run.commanded(WriteCache)] == [literals(o0=81)]


def test_a_failed_child_fails_the_dynamic_node_for_good() -> None:
    run = running(retries=2)
    produce(run)

    run.fail("n0-0-dn0", code="USER:ValueError")

    assert run.phases() == {"n0": "FAILED", "n0-0-dn0": "FAILED"}
    assert run.node("n0").failure == run.node("n0-0-dn0").failure


def test_a_child_that_took_too_long_leads_to_another_attempt() -> None:
    run = running(retries=1)
    produce(run, nodes=[task_node("dn0", WORK, timeout_s=10, x=const(3))], result="dn0")
    run.start("n0-0-dn0")

    run.pass_time(20)
    run.confirm_abort("n0-0-dn0")

    assert run.phases() == {"n0": "QUEUED", "n0-0-dn0": "TIMED_OUT"}
    assert [command.spec.attempt.attempt for command in run.commanded(StartAttempt)] == [1]

    produce(run)

    assert run.node("n0").phase is NodePhase.DYNAMIC_RUNNING
    assert run.node("n0-1-dn0").phase is NodePhase.QUEUED


def test_an_abort_reaches_what_runs_below_a_dynamic_node() -> None:
    run = running()
    produce(run)
    run.start("n0-0-dn0")

    run.terminate()
    aborted = [command.attempt.node for command in run.commanded(AbortAttempt)]
    run.confirm_abort("n0-0-dn0")

    assert aborted == ["n0-0-dn0"]
    assert run.phases() == {"n0": "ABORTED", "n0-0-dn0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_a_workflow_that_comes_from_an_attempt_being_killed_is_not_begun() -> None:
    run = running()
    workflow_of_attempt = produced(run, "n0", CHAIN, "dn1")
    run.terminate()

    run.send(AttemptProducedWorkflow(attempt=run.attempt("n0"), workflow=workflow_of_attempt))

    assert run.phases() == {"n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_a_dynamic_node_gives_its_slot_to_its_children() -> None:
    run = running(max_parallelism=1)

    produce(run, nodes=[task_node("dn0", WORK, x=const(3)), task_node("dn1", WORK, x=const(4))])

    assert run.phases() == {"n0": "DYNAMIC_RUNNING", "n0-0-dn0": "QUEUED"}


def test_nothing_of_a_dynamic_node_is_started_again_after_a_restart_but_its_children() -> None:
    run = running()
    produce(run)

    commands = machine.recover(run.state, run.now)

    assert [command.spec.attempt.node for command in commands if isinstance(command, StartAttempt)] == ["n0-0-dn0"]


def test_the_turn_of_a_dynamic_task_ends_when_its_children_begin() -> None:
    maker = task("maker", metadata=TaskMetadata(discoverable=True, discovery_version="1", cache_serializable=True))
    flow = workflow("wf", [task_node("n0", maker, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    run = Run(plan(compiled(flow, [maker])))
    run.begin()
    run.send(CacheAnswered(node=NodeId("n0"), attempt=0, outputs=None, is_reserved=True))
    run.start("n0")

    produce(run)

    assert [command.node for command in run.commanded(ReleaseReservation)] == ["n0"]
    assert not run.node("n0").holds_reservation
