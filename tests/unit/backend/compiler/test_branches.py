from __future__ import annotations

import pytest
from flyteidl.core.condition_pb2 import BooleanExpression
from flyteidl.core.types_pb2 import EnumType, LiteralType
from flyteidl.core.workflow_pb2 import BranchNode, IfBlock, IfElseBlock, Node
from tests.unit.backend.workflows import (
    INT,
    NONE,
    STRING,
    branch_node,
    compare,
    compiled,
    const,
    given,
    ref,
    task,
    task_node,
    union_of,
    workflow,
    workflow_node,
)

from hydraflyte.errors import CompilationError

WORK = task("work")
SAY = task("say", outputs={"o0": STRING, "extra": INT})
TEXT = LiteralType(enum_type=EnumType(values=["red"]))


def arm(node_id: str = "a") -> Node:
    return task_node(node_id, WORK, x=given("x"))


def problems(*nodes: Node, inputs: dict[str, LiteralType] | None = None) -> list[str]:
    with pytest.raises(CompilationError) as raised:
        compiled(workflow("w", nodes, inputs=inputs), [WORK, SAY])
    return list(raised.value.problems)


def test_arms_are_named_after_their_branch_at_every_depth() -> None:
    inner = branch_node("i", [(compare("$v", "EQ", 1), arm("a"))], default=arm("b"), v=given("x"))
    template = workflow("w", [branch_node("n0", [(compare("$v", "EQ", 1), inner)], default=arm("c"), v=given("x"))])

    block = compiled(template, [WORK]).primary.template.nodes[2].branch_node.if_else

    assert block.case.then_node.id == "n0-i"
    assert block.case.then_node.branch_node.if_else.case.then_node.id == "n0-i-a"
    assert block.case.then_node.branch_node.if_else.else_node.id == "n0-i-b"
    assert block.else_node.id == "n0-c"


def test_arms_have_upstream_edges_only_and_the_branch_waits_for_what_they_take() -> None:
    first = task_node("first", WORK, x=given("x"))
    taker = task_node("a", WORK, x=ref("first"))
    branch = branch_node("n0", [(compare("$v", "EQ", 1), taker)], default=arm("b"), v=given("x"))

    connections = compiled(workflow("w", [first, branch]), [WORK]).primary.connections

    upstream = {key: list(ids.ids) for key, ids in connections.upstream.items()}
    downstream = {key: list(ids.ids) for key, ids in connections.downstream.items()}
    assert upstream == {
        "first": ["start-node"],
        "n0": ["first", "start-node"],
        "n0-a": ["first", "n0"],
        "n0-b": ["n0", "start-node"],
        "end-node": ["n0"],
    }
    assert downstream == {"start-node": ["first", "n0"], "first": ["n0"], "n0": ["end-node"]}


def test_tasks_and_workflows_of_arms_are_part_of_the_closure() -> None:
    inner = workflow("inner", [task_node("n0", SAY, x=given("x"))])
    branch = branch_node(
        "n0", [(compare("$v", "EQ", 1), workflow_node("s", inner, x=given("x")))], default=arm("b"), v=given("x")
    )

    closure = compiled(workflow("w", [branch]), [WORK, SAY], [inner])

    assert [sub.template.id.name for sub in closure.sub_workflows] == ["inner"]
    assert [item.template.id.name for item in closure.tasks] == ["say", "work"]


def test_a_branch_gives_what_all_its_arms_give() -> None:
    both = branch_node("n0", [(compare("$v", "EQ", 1), arm("a"))], default=arm("b"), v=given("x"))
    assert compiled(workflow("w", [both, task_node("n1", WORK, x=ref("n0"))]), [WORK])

    mixed = branch_node(
        "n0", [(compare("$v", "EQ", 1), arm("a"))], default=task_node("b", SAY, x=given("x")), v=given("x")
    )
    assert problems(mixed, task_node("n1", WORK, x=ref("n0"))) == [
        "VariableNameNotFound: node n1: input 'x': node 'n0' has no output 'o0' (it has: none)"
    ]


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (
            branch_node("n0", [(compare("$v", "EQ", 1), arm())], v=given("x")),
            "BranchNodeHasNoDefault: node n0: it has neither an else node nor an error",
        ),
        (
            branch_node("n0", [(compare("$w", "EQ", 1), arm())], error="e", v=given("x")),
            "VariableNameNotFound: node n0: a condition asks for 'w', which the node does not bind",
        ),
        (
            branch_node("n0", [(compare("$v", "EQ", 1.5), arm())], error="e", v=given("x")),
            "MismatchingTypes: node n0: a condition compares INTEGER with FLOAT",
        ),
        (
            branch_node("n0", [(compare("$v", "EQ", 1), arm())], error="e", v=ref("gone")),
            "NodeReferenceNotFound: node n0: input 'v': it is bound to node 'gone', which is missing",
        ),
        (
            branch_node("n0", [(compare("$v", "EQ", 1), task_node("a", WORK))], error="e", v=given("x")),
            "ParameterNotBound: node n0-a: input 'x' is not bound",
        ),
        (
            Node(
                id="n0",
                branch_node=BranchNode(if_else=IfElseBlock(case=IfBlock(then_node=arm()), else_node=arm("b"))),
            ),
            "BranchNodeHasNoCondition: node n0: an arm has no condition",
        ),
    ],
)
def test_each_mistake_has_flytes_code(node: Node, problem: str) -> None:
    assert problems(node) == [problem]


def test_an_arm_without_a_node_is_refused() -> None:
    block = IfElseBlock(case=IfBlock(condition=compare(1, "EQ", 1)), else_node=arm("b"))

    found = problems(Node(id="n0", branch_node=BranchNode(if_else=block)))

    assert "BranchNodeIdNotFound: node n0: an arm has no node" in found


def test_an_empty_side_of_a_condition_is_refused() -> None:
    empty = BooleanExpression()
    empty.comparison.left_value.primitive.integer = 1

    found = problems(branch_node("n0", [(empty, arm())], error="e"))

    assert found == ["ValueRequired: node n0: one side of a condition is empty"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(union_of(INT, NONE), 1), (union_of(INT, NONE), None), (TEXT, "red"), (STRING, "s"), (INT, None)],
)
def test_what_only_the_value_will_tell_is_accepted(kind: LiteralType, value: int | str | None) -> None:
    branch = branch_node(
        "n0",
        [(compare("$v", "EQ", value), task_node("a", WORK, x=const(1)))],
        default=task_node("b", WORK, x=const(1)),
        v=given("v"),
    )

    assert compiled(workflow("w", [branch], inputs={"v": kind}), [WORK])
