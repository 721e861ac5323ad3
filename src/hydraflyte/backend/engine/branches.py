"""Branch nodes: which arm is taken.

Follows flytepropeller (pkg/controller/nodes/branch/{evaluator,comparator}.go), and goes beyond it in two points:
an optional value counts as the value in it, and NONE may be compared (flytekit's ``is_none()``). The one rule:
conditions are evaluated in order, both sides of AND and OR always, and the first true one decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from flyteidl.core.condition_pb2 import BooleanExpression, ComparisonExpression, ConjunctionExpression, Operand
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.core.workflow_pb2 import IfElseBlock, Node

from hydraflyte.backend.engine.failures import ErrorKind, Failure

MALFORMED = "MalformedBranchUserError"
USER_PROVIDED = "UserProvidedError"

_OPERATIONS: Mapping[int, Callable[[Any, Any], bool]] = {  # Any: the kinds of both sides are compared before
    ComparisonExpression.EQ: eq,
    ComparisonExpression.NEQ: ne,
    ComparisonExpression.GT: gt,
    ComparisonExpression.GTE: ge,
    ComparisonExpression.LT: lt,
    ComparisonExpression.LTE: le,
}
_EQUALITY = frozenset({ComparisonExpression.EQ, ComparisonExpression.NEQ})
_UNORDERED_KINDS = frozenset({"boolean", "none"})


class BranchError(Exception):
    """No arm can be taken. ``failure`` is what the branch node ends with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind=ErrorKind.USER, code=code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """One side of a comparison; ``kind`` is the name of the Primitive's field, or ``none``."""

    kind: str
    value: int | float | str | bool | None


def arms_of(node: Node) -> list[Node]:
    """Return the arms of a branch node in order, the default one last; none of any other node."""
    if node.WhichOneof("target") != "branch_node":
        return []
    block = node.branch_node.if_else
    arms = [block.case.then_node, *(other.then_node for other in block.other)]
    return [*arms, block.else_node] if block.WhichOneof("default") == "else_node" else arms


def choose(block: IfElseBlock, inputs: LiteralMap) -> Node:
    """Return the arm to take.

    Raises:
        BranchError: a condition cannot be evaluated, or none is true and there is no default.
    """
    for arm in (block.case, *block.other):
        if _is_true(arm.condition, inputs):
            return arm.then_node
    default = block.WhichOneof("default")
    if default == "else_node":
        return block.else_node
    if default == "error":
        raise BranchError(USER_PROVIDED, block.error.message)
    raise BranchError(MALFORMED, "No branch satisfied")


def _is_true(expression: BooleanExpression, inputs: LiteralMap) -> bool:
    kind = expression.WhichOneof("expr")
    if kind == "comparison":
        return _compare(expression.comparison, inputs)
    if kind == "conjunction":
        left = _is_true(expression.conjunction.left_expression, inputs)
        right = _is_true(expression.conjunction.right_expression, inputs)
        is_and = expression.conjunction.operator == ConjunctionExpression.AND
        return (left and right) if is_and else (left or right)
    raise BranchError(MALFORMED, "a condition is empty")


def _compare(comparison: ComparisonExpression, inputs: LiteralMap) -> bool:
    left, right = _operand(comparison.left_value, inputs), _operand(comparison.right_value, inputs)
    kinds = {left.kind, right.kind}
    if len(kinds) > 1 and "none" not in kinds:
        raise BranchError(MALFORMED, f"a value of kind {left.kind} cannot be compared with one of kind {right.kind}")
    if kinds & _UNORDERED_KINDS and comparison.operator not in _EQUALITY:
        raise BranchError(MALFORMED, f"values of kind {left.kind} and {right.kind} have no order")
    return _OPERATIONS[comparison.operator](left.value, right.value)


def _operand(operand: Operand, inputs: LiteralMap) -> _Value:
    kind = operand.WhichOneof("val")
    if kind == "primitive":
        return _primitive(operand.primitive)
    if kind == "scalar":
        return _scalar(operand.scalar)
    if operand.var not in inputs.literals:
        raise BranchError(MALFORMED, f"the condition's variable {operand.var!r} is not bound")
    return _literal(operand.var, inputs.literals[operand.var])


def _literal(name: str, literal: Literal) -> _Value:
    if literal.WhichOneof("value") != "scalar":
        raise BranchError(MALFORMED, f"{name!r} is a {literal.WhichOneof('value')}: only plain values can be compared")
    return _scalar(literal.scalar)


def _scalar(scalar: Scalar) -> _Value:
    kind = scalar.WhichOneof("value")
    if kind == "primitive":
        return _primitive(scalar.primitive)
    if kind == "none_type":
        return _Value(kind="none", value=None)
    if kind == "union":
        return _literal("an optional value", scalar.union.value)
    raise BranchError(MALFORMED, f"a {kind} value cannot be compared")


def _primitive(primitive: Primitive) -> _Value:
    kind = primitive.WhichOneof("value")
    if kind is None:
        raise BranchError(MALFORMED, "a value in a condition is empty")
    if kind == "datetime":
        return _Value(kind=kind, value=primitive.datetime.seconds)
    if kind == "duration":
        return _Value(kind=kind, value=primitive.duration.seconds)
    return _Value(kind=kind, value=getattr(primitive, kind))
