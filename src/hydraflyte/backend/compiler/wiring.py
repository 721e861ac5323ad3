"""Bindings against interfaces: is everything bound, once, by something of a fitting type?

Follows flytepropeller (pkg/compiler/validators/bindings.go). The one rule: every problem is noted and checking
goes on; an interface that is not known excuses what depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyteidl.core.interface_pb2 import TypedInterface, Variable
from flyteidl.core.literals_pb2 import Binding, BindingData
from flyteidl.core.types_pb2 import LiteralType, OutputReference, PromiseAttribute, SimpleType

from hydraflyte.backend.compiler.castable import accepts_none, is_castable
from hydraflyte.backend.compiler.literal_types import scalar_type
from hydraflyte.backend.compiler.problems import Code, Problems
from hydraflyte.backend.engine.kinds import END_NODE_ID

_LIST_ELEMENT = re.compile(r"^\[\d+\]\.(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The nodes that bindings may refer to: their interfaces by id, None where not known."""

    interfaces: Mapping[str, TypedInterface | None]


def check_bindings(
    node_id: str,
    bindings: Sequence[Binding],
    variables: Mapping[str, Variable],
    sources: Sources,
    problems: Problems,
) -> None:
    """Note what is wrong with the bindings of ``node_id`` to its ``variables``."""
    noun = _noun(node_id)
    bound: set[str] = set()
    for binding in bindings:
        if binding.var in bound:
            problems.add(Code.PARAMETER_BOUND_MORE_THAN_ONCE, node_id, f"{noun} {binding.var!r} is bound twice")
        bound.add(binding.var)
        if binding.var not in variables:
            known = ", ".join(sorted(variables)) or "none"
            problems.add(
                Code.VARIABLE_NAME_NOT_FOUND, node_id, f"there is no {noun} {binding.var!r} (there is: {known})"
            )
            continue
        check = _BindingCheck(node_id=node_id, variable=binding.var, sources=sources, problems=problems)
        check.check(binding.binding, variables[binding.var].type)
    for name in sorted(variables.keys() - bound):
        if not accepts_none(variables[name].type):
            problems.add(Code.PARAMETER_NOT_BOUND, node_id, f"{noun} {name!r} is not bound")


def binding_type(node_id: str, binding: Binding, sources: Sources, problems: Problems) -> LiteralType | None:
    """Return the type of what is bound, or None if it is not known; note promises that lead nowhere."""
    check = _BindingCheck(node_id=node_id, variable=binding.var, sources=sources, problems=problems)
    kind = binding.binding.WhichOneof("value")
    if kind == "promise":
        return check.promise_type(binding.binding.promise)[0]
    return scalar_type(binding.binding.scalar) if kind == "scalar" else None


def _noun(node_id: str) -> str:
    """Return what users call a variable that this node binds: end-node's are the workflow's outputs."""
    return "output" if node_id == END_NODE_ID else "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class _BindingCheck:
    """One binding of one variable; the parts of it may be many."""

    node_id: str
    variable: str
    sources: Sources
    problems: Problems

    def check(self, data: BindingData, expected: LiteralType) -> bool:
        """Note what is wrong with ``data`` for a variable of type ``expected``; return whether nothing is."""
        kind = data.WhichOneof("value")
        if kind is None:
            return self._wrong(Code.PARAMETER_NOT_BOUND, "its binding is empty")
        if kind == "promise":
            return self._check_promise(data.promise, expected)
        if expected.WhichOneof("type") == "union_type":
            return self._check_variants(data, expected)
        if kind == "scalar":
            return self._check_scalar(data, expected)
        if kind == "collection":
            return self._check_items(list(data.collection.bindings), expected, "collection_type")
        if kind == "map":
            return self._check_items(list(data.map.bindings.values()), expected, "map_value_type")
        return self._check_type(data.offloaded_metadata.inferred_type, expected)

    def _check_variants(self, data: BindingData, expected: LiteralType) -> bool:
        fitting = []
        reasons = Problems()
        for variant in expected.union_type.variants:
            trial = _BindingCheck(
                node_id=self.node_id, variable=self.variable, sources=self.sources, problems=Problems()
            )
            if trial.check(data, variant):
                fitting.append(variant)
            reasons.lines.extend(trial.problems.lines)
        if len(fitting) == 1:
            return True
        names = type_text(expected)
        if fitting:
            return self._wrong(Code.AMBIGUOUS_BINDING_UNION_VALUE, f"its value fits several variants of {names}")
        details = "; ".join(dict.fromkeys(line.split(": ", 3)[3] for line in reasons.lines))
        return self._wrong(Code.INCOMPATIBLE_BINDING_UNION_VALUE, f"its value fits no variant of {names} ({details})")

    def _check_scalar(self, data: BindingData, expected: LiteralType) -> bool:
        upstream = scalar_type(data.scalar)
        if upstream is None:
            return self._wrong(Code.UNRECOGNIZED_VALUE, "its value is empty")
        if not self._check_type(upstream, expected):
            return False
        text = data.scalar.primitive.string_value
        if expected.WhichOneof("type") == "enum_type" and text not in expected.enum_type.values:
            allowed = ", ".join(expected.enum_type.values)
            return self._wrong(Code.ILLEGAL_ENUM_VALUE, f"{text!r} is none of {allowed}")
        return True

    def _check_items(self, items: Sequence[BindingData], expected: LiteralType, kind: str) -> bool:
        if expected.WhichOneof("type") != kind:
            what = "list" if kind == "collection_type" else "map"
            return self._wrong(Code.MISMATCHING_BINDINGS, f"it is {type_text(expected)} but bound to a {what}")
        element: LiteralType = getattr(expected, kind)
        answers = [self.check(item, element) for item in items]  # all of them: note what is wrong with every item
        return all(answers)

    def _check_promise(self, promise: OutputReference, expected: LiteralType) -> bool:
        upstream, is_wrong = self.promise_type(promise)
        return not is_wrong and (upstream is None or self._check_type(upstream, expected))

    def promise_type(self, promise: OutputReference) -> tuple[LiteralType | None, bool]:
        """Return the type of what is promised, None if not known, and whether something is wrong with it."""
        if promise.node_id not in self.sources.interfaces:
            text = f"it is bound to node {promise.node_id!r}, which is missing"
            return None, not self._wrong(Code.NODE_REFERENCE_NOT_FOUND, text)
        interface = self.sources.interfaces[promise.node_id]
        if interface is None:
            return None, False
        element = _LIST_ELEMENT.match(promise.var)
        name = element[1] if element else promise.var
        if name not in interface.outputs.variables:
            known = ", ".join(sorted(interface.outputs.variables)) or "none"
            text = f"node {promise.node_id!r} has no output {name!r} (it has: {known})"
            return None, not self._wrong(Code.VARIABLE_NAME_NOT_FOUND, text)
        path = ([PromiseAttribute(int_value=0)] if element else []) + list(promise.attr_path)
        try:
            return attribute_type(interface.outputs.variables[name].type, path), False
        except LookupError as error:
            return None, not self._wrong(Code.FIELD_NOT_FOUND, f"{promise.node_id}.{name}: {error.args[0]}")

    def _check_type(self, upstream: LiteralType, expected: LiteralType) -> bool:
        if is_castable(upstream, expected):
            return True
        text = f"it is {type_text(expected)} but bound to {type_text(upstream)}"
        return self._wrong(Code.MISMATCHING_TYPES, text)

    def _wrong(self, code: Code, text: str) -> bool:
        self.problems.add(code, self.node_id, f"{_noun(self.node_id)} {self.variable!r}: {text}")
        return False


def attribute_type(literal_type: LiteralType, path: Sequence[PromiseAttribute]) -> LiteralType | None:
    """Return the type of what ``path`` leads to, or None if the types on the way do not tell.

    Raises:
        LookupError: there is no such attribute.
    """
    for attribute in path:
        kind = literal_type.WhichOneof("type")
        if kind == "collection_type":
            literal_type = literal_type.collection_type
        elif kind == "map_value_type":
            literal_type = literal_type.map_value_type
        elif kind == "union_type":
            return None
        elif kind == "simple" and literal_type.simple == SimpleType.STRUCT:
            fields = literal_type.structure.dataclass_type
            if not fields:
                return None
            if attribute.string_value not in fields:
                known = ", ".join(sorted(fields))
                raise LookupError(f"there is no field {attribute.string_value!r} (there is: {known})")
            literal_type = fields[attribute.string_value]
        else:
            raise LookupError(f"a value of type {type_text(literal_type)} has no attributes")
    return literal_type


def type_text(literal_type: LiteralType) -> str:
    """Return a type in words, for messages.

    >>> type_text(LiteralType(collection_type=LiteralType(simple=SimpleType.INTEGER)))
    'list of INTEGER'
    """
    kind = literal_type.WhichOneof("type")
    if kind == "simple":
        is_known = literal_type.simple in SimpleType.values()
        return SimpleType.Name(literal_type.simple) if is_known else f"simple type {literal_type.simple}"
    if kind == "collection_type":
        return f"list of {type_text(literal_type.collection_type)}"
    if kind == "map_value_type":
        return f"map of {type_text(literal_type.map_value_type)}"
    if kind == "union_type":
        return "union of " + " | ".join(type_text(variant) for variant in literal_type.union_type.variants)
    if kind == "blob":
        return f"blob ({literal_type.blob.format or 'any format'})"
    if kind == "enum_type":
        return f"enum ({', '.join(literal_type.enum_type.values)})"
    return {"schema": "schema", "structured_dataset_type": "structured dataset"}.get(kind or "", "no type")
