from __future__ import annotations

from datetime import datetime, timezone

import pytest
from flyteidl.core.condition_pb2 import BooleanExpression, ConjunctionExpression
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar, Union
from flyteidl.core.workflow_pb2 import Node
from google.protobuf.timestamp_pb2 import Timestamp
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    INT,
    Value,
    branch_node,
    compare,
    compiled,
    given,
    literal,
    literals,
    plan,
    ref,
    task,
    task_node,
    workflow,
    workflow_node,
)

from hydraflyte.backend.engine.branches import BranchError, choose
from hydraflyte.backend.engine.commands import AbortAttempt, StartAttempt
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase

WORK = task("work")


def chosen(condition: BooleanExpression, **inputs: Value) -> bool:
    block = branch_node("b", [(condition, Node(id="yes"))], default=Node(id="no")).branch_node.if_else
    return choose(block, literals(**inputs)).id == "yes"


def both(operator: str, left: BooleanExpression, right: BooleanExpression) -> BooleanExpression:
    return BooleanExpression(
        conjunction=ConjunctionExpression(operator=operator, left_expression=left, right_expression=right)
    )


@pytest.mark.parametrize(
    ("left", "operator", "right", "answer"),
    [
        (1, "EQ", 1, True),
        (1, "NEQ", 1, False),
        (2, "GT", 1, True),
        (1, "GTE", 1, True),
        (1, "LT", 1, False),
        (1, "LTE", 1, True),
        (1.5, "GT", 1.0, True),
        ("a", "LT", "b", True),
        (True, "EQ", True, True),
        (True, "NEQ", False, True),
        (None, "EQ", None, True),
        (3, "EQ", None, False),
        (3, "NEQ", None, True),
    ],
)
def test_values_of_one_kind_are_compared(left: Value, operator: str, right: Value, answer: bool) -> None:
    assert chosen(compare("$v", operator, right), v=left) is answer


@pytest.mark.parametrize(
    ("left", "operator", "right"),
    [(1, "EQ", 1.0), ("1", "EQ", 1), (True, "GT", False), (None, "LT", 1), ([1], "EQ", 1)],
)
def test_values_that_cannot_be_compared_fail_the_branch(left: Value, operator: str, right: Value) -> None:
    with pytest.raises(BranchError) as raised:
        chosen(compare("$v", operator, right), v=left)

    assert (raised.value.failure.kind, raised.value.failure.code) == (ErrorKind.USER, "MalformedBranchUserError")


def test_optional_values_count_as_what_is_in_them() -> None:
    block = branch_node("b", [(compare("$v", "EQ", 3), Node(id="yes"))], default=Node(id="no")).branch_node.if_else
    wrapped = Literal(scalar=Scalar(union=Union(value=literal(3))))

    assert choose(block, LiteralMap(literals={"v": wrapped})).id == "yes"


def test_times_are_compared_by_whole_seconds() -> None:
    stamps = []
    for microsecond in (0, 900_000):
        stamp = Timestamp()
        stamp.FromDatetime(datetime(2026, 1, 1, microsecond=microsecond, tzinfo=timezone.utc))
        stamps.append(Literal(scalar=Scalar(primitive=Primitive(datetime=stamp))))
    condition = compare("$v", "EQ", 0)
    condition.comparison.right_value.scalar.CopyFrom(stamps[1].scalar)
    block = branch_node("b", [(condition, Node(id="yes"))], default=Node(id="no")).branch_node.if_else

    assert choose(block, LiteralMap(literals={"v": stamps[0]})).id == "yes"


@pytest.mark.parametrize(
    ("operator", "left", "right", "answer"),
    [("AND", 1, 2, False), ("AND", 1, 1, True), ("OR", 1, 2, True), ("OR", 2, 2, False)],
)
def test_conditions_are_combined(operator: str, left: int, right: int, answer: bool) -> None:
    condition = both(operator, compare(left, "EQ", 1), compare(right, "EQ", 1))

    assert chosen(condition) is answer


def test_both_sides_are_always_evaluated() -> None:
    with pytest.raises(BranchError):
        chosen(both("OR", compare(1, "EQ", 1), compare(1, "EQ", "a")))


def test_a_variable_that_is_not_bound_fails_the_branch() -> None:
    with pytest.raises(BranchError, match="'w' is not bound"):
        chosen(compare("$w", "EQ", 1), v=1)


def test_without_a_true_condition_and_a_default_the_branch_fails() -> None:
    block = branch_node("b", [(compare(1, "EQ", 2), Node(id="yes"))]).branch_node.if_else

    with pytest.raises(BranchError, match="No branch satisfied"):
        choose(block, literals())


# in an execution


def arm(node_id: str) -> Node:
    return task_node(node_id, WORK, x=ref("before"))


def branching(*, max_parallelism: int = 0, error: str = "") -> Run:
    """``before``, the branch ``b`` over its output (small < 5, 10 <= large, else middle or an error), ``after``."""
    branch = branch_node(
        "b",
        [(compare("$before.o0", "LT", 5), arm("small")), (compare("$before.o0", "GTE", 10), arm("large"))],
        default=None if error else arm("middle"),
        error=error,
        **{"before.o0": ref("before")},
    )
    nodes = [task_node("before", WORK, x=given("x")), branch, task_node("after", WORK, x=ref("b"))]
    template = workflow("w", nodes, outputs={"o0": (INT, ref("after"))})
    run = Run(plan(compiled(template, [WORK]), max_parallelism=max_parallelism))
    run.begin()
    return run


@pytest.mark.parametrize(("value", "taken"), [(1, "small"), (7, "middle"), (10, "large")])
@pytest.mark.parametrize("max_parallelism", [0, 1])
def test_only_the_arm_that_is_taken_has_a_row(value: int, taken: str, max_parallelism: int) -> None:
    run = branching(max_parallelism=max_parallelism)

    run.succeed("before", o0=value)

    arms = [node for node in run.state.nodes.values() if node.parent == "b"]
    assert [(node.spec_node_id, node.retry_group) for node in arms] == [(f"b-{taken}", 0)]
    assert run.node("b").phase is NodePhase.RUNNING
    assert arms[0].inputs == literals(x=value)
    assert run.commanded(StartAttempt)[0].spec.inputs_uri == f"/meta/b/data/0/b-{taken}/inputs.pb"


def test_the_outputs_of_the_arm_become_the_branches() -> None:
    run = branching()
    run.succeed("before", o0=1)

    run.succeed("b-0-b-small", o0=9)

    assert run.phases()["b"] == "SUCCEEDED"
    assert run.node("b").outputs == literals(o0=9)
    assert run.writes["/meta/b/data/0/outputs.pb"] == literals(o0=9)
    assert run.node("after").inputs == literals(x=9)


def test_the_failure_of_the_arm_becomes_the_branches() -> None:
    run = branching()
    run.succeed("before", o0=1)

    run.fail("b-0-b-small", code="USER:Deep")

    assert run.phases() == {"before": "SUCCEEDED", "b": "FAILED", "b-0-b-small": "FAILED"}
    assert run.state.failure is not None
    assert run.state.failure.code == "USER:Deep"


def test_an_error_as_default_fails_the_branch_with_the_users_words() -> None:
    run = branching(error="neither small nor large")

    run.succeed("before", o0=7)

    failure = run.node("b").failure
    assert failure is not None
    assert (failure.kind.name, failure.code, failure.message) == (
        "USER",
        "UserProvidedError",
        "neither small nor large",
    )
    assert run.state.phase is ExecutionPhase.FAILED


def test_an_arm_is_aborted_with_its_execution() -> None:
    run = branching()
    run.succeed("before", o0=1)

    run.terminate()
    assert len(run.commanded(AbortAttempt)) == 1
    run.confirm_abort("b-0-b-small")

    assert run.phases() == {"before": "SUCCEEDED", "b": "ABORTED", "b-0-b-small": "ABORTED"}


def test_arms_may_be_branches_and_workflows() -> None:
    inner = workflow("inner", [task_node("i0", WORK, x=given("x"))], outputs={"o0": (INT, ref("i0"))})
    deepest = branch_node(
        "deep",
        [(compare("$v", "GT", 5), workflow_node("sub", inner, x=given("x")))],
        default=task_node("t", WORK, x=given("x")),
        v=given("x"),
    )
    outer = branch_node(
        "b", [(compare("$v", "GT", 0), deepest)], default=task_node("t", WORK, x=given("x")), v=given("x")
    )
    template = workflow("w", [outer], outputs={"o0": (INT, ref("b"))})
    run = Run(plan(compiled(template, [WORK], [inner]), inputs=literals(x=7)))

    run.begin()

    task_row = next(node for node in run.state.nodes.values() if node.attempts)
    assert {node.spec_node_id for node in run.state.nodes.values() if node.parent} >= {"b-deep", "b-deep-sub", "i0"}
    run.succeed(task_row.node_id, o0=3)
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=3)


def test_the_failure_node_of_the_workflow_runs_after_a_failed_arm_and_only_once() -> None:
    branch = branch_node("b", [(compare("$v", "EQ", 1), task_node("a", WORK, x=given("x")))], error="no", v=given("x"))
    template = workflow("w", [branch], failure_node=task_node("fn0", WORK, x=given("x")))
    run = Run(plan(compiled(template, [WORK])))
    run.begin()

    run.fail("b-0-b-a")

    assert run.phases() == {"b": "FAILED", "b-0-b-a": "FAILED", "fn0": "QUEUED"}
