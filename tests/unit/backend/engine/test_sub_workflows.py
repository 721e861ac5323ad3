from __future__ import annotations

import pytest
from flyteidl.core.workflow_pb2 import WorkflowTemplate
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    ERROR,
    INT,
    NONE,
    compiled,
    const,
    given,
    literals,
    plan,
    ref,
    task,
    task_node,
    union_of,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine.commands import AbortAttempt, StartAttempt
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.backend.engine.state import NodeKind
from hydraflyte.identifiers import NodeId

WORK = task("work")
INNER = workflow("inner", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
CLEAN = task("clean", inputs={"x": INT, "err": union_of(NONE, ERROR)}, outputs={})


def nested(depth: int = 1) -> Run:
    """A task in ``depth`` workflows inside each other, each a node ``n0`` of the next, and a task ``after`` it all."""
    subs = [INNER]
    for level in range(1, depth):
        node = workflow_node("n0", subs[-1], x=given("x"))
        subs.append(workflow(f"inner{level}", [node], outputs={"o0": (INT, ref("n0"))}))
    nodes = [workflow_node("n0", subs[-1], x=given("x")), task_node("after", WORK, x=ref("n0"))]
    template = workflow("outer", nodes, outputs={"o0": (INT, ref("after"))})
    return Run(plan(compiled(template, [WORK], subs)))


def test_a_sub_workflow_node_runs_its_children_under_their_own_ids() -> None:
    run = nested()

    run.begin()

    assert run.phases() == {"n0": "RUNNING", "n0-0-n0": "QUEUED"}
    child = run.node("n0-0-n0")
    assert (child.parent, child.retry_group, child.spec_node_id) == ("n0", 0, "n0")
    assert run.node("n0").kind is NodeKind.SUB_WORKFLOW
    assert run.node("n0-0-start-node").outputs == literals(x=1)
    assert set(run.writes) == {
        "/meta/start-node/data/0/outputs.pb",
        "/meta/n0/data/inputs.pb",
        "/meta/n0/data/0/start-node/0/outputs.pb",
        "/meta/n0/data/0/n0/inputs.pb",
    }
    assert run.commanded(StartAttempt)[0].spec.output_prefix == "/meta/n0/data/0/n0/0"


def test_its_outputs_are_those_of_the_inner_workflow() -> None:
    run = nested()
    run.begin()

    run.succeed("n0-0-n0", o0=5)

    assert run.phases() == {"n0": "SUCCEEDED", "n0-0-n0": "SUCCEEDED", "after": "QUEUED"}
    assert run.node("n0").outputs == literals(o0=5)
    assert run.node("n0-0-end-node").outputs == literals(o0=5)
    assert run.writes["/meta/n0/data/0/outputs.pb"] == literals(o0=5)
    assert run.writes["/meta/n0/data/0/end-node/0/outputs.pb"] == literals(o0=5)
    assert run.node("after").inputs == literals(x=5)


def test_ids_over_twenty_characters_are_hashed_from_the_parents_own_id() -> None:
    run = nested(depth=4)

    run.begin()

    deepest = next(node for node in run.state.nodes.values() if node.kind is NodeKind.TASK)
    assert deepest.parent == "n0-0-n0-0-n0-0-n0"
    assert len(deepest.node_id) == 8
    assert deepest.node_id.startswith("f")


def test_a_failure_inside_fails_the_node_with_the_same_error() -> None:
    run = nested()
    run.begin()

    run.fail("n0-0-n0", code="USER:Deep")

    assert run.phases() == {"n0": "FAILED", "n0-0-n0": "FAILED"}
    assert run.node("n0").failure == run.node("n0-0-n0").failure
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure == run.node("n0-0-n0").failure


def test_a_failure_outside_aborts_what_runs_inside() -> None:
    template = workflow("w", [workflow_node("sub", INNER, x=given("x")), task_node("bad", WORK, x=given("x"))])
    run = Run(plan(compiled(template, [WORK], [INNER])))
    run.begin()

    run.fail("bad")
    assert [command.attempt.node for command in run.commanded(AbortAttempt)] == ["sub-0-n0"]
    run.confirm_abort("sub-0-n0")

    assert run.phases() == {"bad": "FAILED", "sub": "ABORTED", "sub-0-n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.FAILED


def test_termination_reaches_every_level() -> None:
    run = nested(depth=3)
    run.begin()

    run.terminate()
    run.confirm_abort("n0-0-n0-0-n0-0-n0")

    assert set(run.phases().values()) == {"ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


def test_a_sub_workflow_whose_tasks_all_wait_for_a_slot_can_be_aborted() -> None:
    template = workflow("w", [task_node("first", WORK, x=given("x")), workflow_node("sub", INNER, x=given("x"))])
    run = Run(plan(compiled(template, [WORK], [INNER]), max_parallelism=1))
    run.begin()
    assert run.phases() == {"first": "QUEUED", "sub": "RUNNING"}

    run.fail("first")

    assert run.phases() == {"first": "FAILED", "sub": "ABORTED"}
    assert run.state.phase is ExecutionPhase.FAILED


@pytest.mark.parametrize("depth", [1, 2])
def test_the_same_workflow_may_occur_many_times(depth: int) -> None:
    nodes = [workflow_node(f"s{i}", INNER, x=given("x")) for i in range(depth + 1)]
    run = Run(plan(compiled(workflow("w", nodes), [WORK], [INNER])))

    run.begin()

    assert len(run.commanded(StartAttempt)) == depth + 1


# failure nodes


def with_failure_node(**bindings: bool) -> WorkflowTemplate:
    err = {"err": const(None)} if bindings.get("err") else {}
    handler = task_node("fn0", CLEAN, x=given("x"), **err)
    nodes = [task_node("n0", WORK, x=given("x")), task_node("n1", WORK, x=given("x"))]
    return workflow("w", nodes, failure_node=handler)


def test_the_failure_node_runs_after_everything_else_has_ended() -> None:
    run = Run(plan(compiled(with_failure_node(), [WORK, CLEAN])))
    run.begin()

    run.fail("n0", code="USER:First")
    assert "fn0" not in run.phases()
    run.confirm_abort("n1")

    assert run.state.phase is ExecutionPhase.FAILING
    assert run.phases() == {"n0": "FAILED", "n1": "ABORTED", "fn0": "QUEUED"}
    run.succeed("fn0")
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:First"


def test_the_failure_node_is_given_the_error_if_it_binds_err() -> None:
    run = Run(plan(compiled(with_failure_node(err=True), [WORK, CLEAN])))
    run.begin()
    run.confirm_abort("n1")

    run.fail("n0", code="USER:First")
    run.fail("n1")

    inputs = run.node("fn0").inputs
    assert inputs is not None
    union = inputs.literals["err"].scalar.union
    assert union.type.structure.tag == "FlyteError"
    assert union.value.scalar.error.message == "n0 went wrong"
    assert union.value.scalar.error.failed_node_id == "fn0"


def test_a_failure_node_that_fails_gives_the_execution_its_own_error() -> None:
    run = Run(plan(compiled(with_failure_node(), [WORK, CLEAN])))
    run.begin()
    run.fail("n0", code="USER:First")
    run.confirm_abort("n1")

    run.fail("fn0", code="USER:Second")

    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:Second"


def test_a_failure_node_is_aborted_with_its_execution() -> None:
    run = Run(plan(compiled(with_failure_node(), [WORK, CLEAN])))
    run.begin()
    run.fail("n0")
    run.confirm_abort("n1")

    run.terminate()
    run.confirm_abort("fn0")

    assert run.phases()["fn0"] == "ABORTED"
    assert run.state.phase is ExecutionPhase.ABORTED


def test_the_failure_node_of_a_sub_workflow_runs_before_the_node_fails() -> None:
    inner = with_failure_node()
    template = workflow("outer", [workflow_node("sub", inner, x=given("x"))])
    run = Run(plan(compiled(template, [WORK, CLEAN], [inner])))
    run.begin()
    run.succeed("sub-0-n1", o0=1)

    run.fail("sub-0-n0", code="USER:Deep")
    assert run.node("sub").phase is NodePhase.FAILING
    assert run.state.phase is ExecutionPhase.RUNNING
    run.succeed("sub-0-fn0")

    assert run.node("sub").phase is NodePhase.FAILED
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:Deep"


def test_a_failure_node_may_be_a_workflow() -> None:
    handler = workflow("handler", [task_node("h0", WORK, x=given("x"))])
    template = workflow(
        "w", [task_node("n0", WORK, x=given("x"))], failure_node=workflow_node("fn0", handler, x=given("x"))
    )
    run = Run(plan(compiled(template, [WORK], [handler])))
    run.begin()

    run.fail("n0")
    assert run.phases() == {"n0": "FAILED", "fn0": "RUNNING", "fn0-0-h0": "QUEUED"}
    run.succeed("fn0-0-h0", o0=1)

    assert run.node("fn0").phase is NodePhase.SUCCEEDED
    assert run.state.phase is ExecutionPhase.FAILED
    assert NodeId("fn0-0-end-node") in run.state.nodes
