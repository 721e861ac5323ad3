"""Branch nodes: the names of their arms, and whether their conditions make sense.

Follows flytepropeller (pkg/compiler/validators/{branch,condition}.go). The one rule: an arm is named
``{branch id}-{arm id}``, at every depth, because clients look it up under that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from flyteidl.core.condition_pb2 import BooleanExpression, ComparisonExpression, Operand
from flyteidl.core.literals_pb2 import Literal, Scalar
from flyteidl.core.types_pb2 import LiteralType, SimpleType
from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate

from hydraflyte.backend.compiler.literal_types import literal_type
from hydraflyte.backend.compiler.problems import Code, Problems
from hydraflyte.backend.compiler.wiring import Sources, binding_type, type_text
from hydraflyte.backend.engine.branches import arms_of


def arms_below(node: Node) -> Iterator[Node]:
    """Yield the arms of ``node`` and the arms of those, however deep."""
    for arm in arms_of(node):
        yield arm
        yield from arms_below(arm)


def name_arms(template: WorkflowTemplate) -> None:
    """Give every arm of the template's branch nodes its compiled name."""
    for node in template.nodes:
        _name_arms(node)
    if template.HasField("failure_node"):
        _name_arms(template.failure_node)


def _name_arms(branch: Node) -> None:
    for arm in arms_of(branch):
        arm.id = f"{branch.id}-{arm.id}" if arm.id else ""
        _name_arms(arm)


def unname_arms(template: WorkflowTemplate) -> None:
    """Give every arm back the id that :func:`name_arms` found."""
    for node in template.nodes:
        _unname_arms(node)
    if template.HasField("failure_node"):
        _unname_arms(template.failure_node)


def _unname_arms(branch: Node) -> None:
    for arm in arms_of(branch):
        _unname_arms(arm)
        arm.id = arm.id.removeprefix(f"{branch.id}-")


def check_branch(node: Node, sources: Sources, problems: Problems) -> None:
    """Note arms without a node, conditions that cannot be evaluated, inputs bound to nothing, a missing default."""
    block = node.branch_node.if_else
    for arm in (block.case, *block.other):
        if not arm.then_node.id:
            problems.add(Code.BRANCH_NODE_ID_NOT_FOUND, node.id, "an arm has no node")
        if not arm.HasField("condition"):
            problems.add(Code.BRANCH_NODE_HAS_NO_CONDITION, node.id, "an arm has no condition")
    if block.WhichOneof("default") is None:
        problems.add(Code.BRANCH_NODE_HAS_NO_DEFAULT, node.id, "it has neither an else node nor an error")
    types = {binding.var: binding_type(node.id, binding, sources, problems) for binding in node.inputs}
    for arm in (block.case, *block.other):
        for comparison in _comparisons(arm.condition):
            _check_comparison(node, comparison, types, problems)


def _comparisons(expression: BooleanExpression) -> Iterator[ComparisonExpression]:
    kind = expression.WhichOneof("expr")
    if kind == "comparison":
        yield expression.comparison
    elif kind == "conjunction":
        yield from _comparisons(expression.conjunction.left_expression)
        yield from _comparisons(expression.conjunction.right_expression)


def _check_comparison(
    node: Node, comparison: ComparisonExpression, types: dict[str, LiteralType | None], problems: Problems
) -> None:
    kinds = []
    for operand in (comparison.left_value, comparison.right_value):
        if operand.WhichOneof("val") is None:
            problems.add(Code.VALUE_REQUIRED, node.id, "one side of a condition is empty")
        elif operand.var and operand.var not in types:
            text = f"a condition asks for {operand.var!r}, which the node does not bind"
            problems.add(Code.VARIABLE_NAME_NOT_FOUND, node.id, text)
        kinds.append(_comparable(_operand_type(operand, types)))
    left, right = kinds
    if left is not None and right is not None and left != right:
        text = f"a condition compares {type_text(left)} with {type_text(right)}"
        problems.add(Code.MISMATCHING_TYPES, node.id, text)


def _operand_type(operand: Operand, types: dict[str, LiteralType | None]) -> LiteralType | None:
    kind = operand.WhichOneof("val")
    if kind == "primitive":
        return literal_type(Literal(scalar=Scalar(primitive=operand.primitive)))
    if kind == "scalar":
        return literal_type(Literal(scalar=operand.scalar))
    return types.get(operand.var)


def _comparable(known: LiteralType | None) -> LiteralType | None:
    """Return the plain type to compare, or None if only the value will tell (unions, NONE)."""
    if known is None:
        return None
    kind = known.WhichOneof("type")
    if kind == "enum_type":
        return LiteralType(simple=SimpleType.STRING)
    if kind == "union_type" or (kind == "simple" and known.simple == SimpleType.NONE):
        return None
    return LiteralType(simple=known.simple) if kind == "simple" else known
