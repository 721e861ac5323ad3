"""What is wrong with an entity, collected so that all of it can be told at once.

The codes are Flyte's own (flytepropeller/pkg/compiler/errors), plus the one for what this backend cannot run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from hydraflyte.errors import CompilationError


class Code(str, Enum):
    """Kinds of problems; the values are what clients see."""

    CYCLE_DETECTED = "CycleDetected"  # nodes, or workflows, that wait for themselves
    VALUE_REQUIRED = "ValueRequired"  # a field that must be set is empty
    INVALID_VALUE = "InvalidValue"
    DUPLICATE_ID = "DuplicateId"
    DUPLICATE_ALIAS = "DuplicateAlias"
    VALUE_COLLISION = "ValueCollision"  # one id, two contents
    TASK_REFERENCE_NOT_FOUND = "TaskReferenceNotFound"
    WORKFLOW_REFERENCE_NOT_FOUND = "WorkflowReferenceNotFound"  # a sub-workflow or launch plan
    NODE_REFERENCE_NOT_FOUND = "NodeReferenceNotFound"
    PARAMETER_NOT_BOUND = "ParameterNotBound"
    PARAMETER_BOUND_MORE_THAN_ONCE = "ParameterBoundMoreThanOnce"
    VARIABLE_NAME_NOT_FOUND = "VariableNameNotFound"
    FIELD_NOT_FOUND = "FieldNotFound"  # an attribute path leads nowhere
    MISMATCHING_TYPES = "MismatchingTypes"
    MISMATCHING_BINDINGS = "MismatchingBindings"  # a list bound to something that is no list
    AMBIGUOUS_BINDING_UNION_VALUE = "AmbiguousBindingUnionValue"
    INCOMPATIBLE_BINDING_UNION_VALUE = "IncompatibleBindingUnionValue"
    ILLEGAL_ENUM_VALUE = "IllegalEnumValue"
    UNRECOGNIZED_VALUE = "UnrecognizedValue"
    BRANCH_NODE_ID_NOT_FOUND = "BranchNodeIdNotFound"  # an arm without a node
    BRANCH_NODE_HAS_NO_CONDITION = "BranchNodeHasNoCondition"
    BRANCH_NODE_HAS_NO_DEFAULT = "BranchNodeHasNoDefault"  # neither an else node nor an error
    UNSUPPORTED_NODE_KIND = "UnsupportedNodeKind"  # valid in Flyte, not run by this backend


@dataclass(slots=True)
class Problems:
    """Problems in the order found. The only value here that changes: it is filled during one compilation."""

    lines: list[str] = field(default_factory=list)

    def add(self, code: Code, node_id: str, text: str) -> None:
        """Note one problem of the node ``node_id``."""
        self.lines.append(f"{code.value}: node {node_id}: {text}")

    def raise_if_any(self, what: str) -> None:
        """Do nothing if ``what`` is well.

        Raises:
            CompilationError: with every problem noted.
        """
        if not self.lines:
            return
        count = f"{len(self.lines)} problem" + ("s" if len(self.lines) > 1 else "")
        listed = "\n".join(self.lines)
        raise CompilationError(
            f"failed to compile {what} with {count}:\n{listed}",
            hint="change the workflow's code where the nodes above are made, and register it again.",
            problems=self.lines,
        )
