"""Inputs of launch plans and executions: what is expected, and what the values given make of it. Pure.

Section 1.5 (launch plans) and 1.8 (executions) of Flyte's semantics. All problems of one request are collected
and told together.
"""

from __future__ import annotations

from collections.abc import Iterator

from flyteidl.core.interface_pb2 import Parameter, ParameterMap, VariableMap
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import LiteralType

from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.backend.compiler.fitting import is_fitting
from hydraflyte.backend.compiler.literal_types import literal_type
from hydraflyte.backend.compiler.wiring import type_text


def expected_inputs(inputs: VariableMap, defaults: ParameterMap, fixed: LiteralMap) -> ParameterMap:
    """Return what an execution of the launch plan may be given: defaults, and the rest of the inputs as required.

    Raises:
        InvalidRequest: a default or fixed input is unknown, lacks its type or value, or does not fit its type.
    """
    problems = [*_default_problems(inputs, defaults), *_fixed_problems(inputs, fixed)]
    if problems:
        raise InvalidRequest("; ".join(problems))
    expected = ParameterMap()
    for name, variable in inputs.variables.items():
        if name in fixed.literals:
            continue
        if name in defaults.parameters:
            expected.parameters[name].CopyFrom(defaults.parameters[name])
        else:
            expected.parameters[name].CopyFrom(Parameter(var=variable, required=True))
    return expected


def merged_inputs(expected: ParameterMap, fixed: LiteralMap, given: LiteralMap) -> LiteralMap:
    """Return the inputs of an execution: what is given, defaults for the rest, and the fixed ones.

    Raises:
        InvalidRequest: an input is unknown, missing, of another type, or fixed by the launch plan.
    """
    problems = list(_given_problems(expected, fixed, given))
    merged = LiteralMap()
    for name, parameter in expected.parameters.items():
        if name in given.literals:
            merged.literals[name].CopyFrom(given.literals[name])
        elif parameter.WhichOneof("behavior") == "default":
            merged.literals[name].CopyFrom(parameter.default)
        elif parameter.required:
            problems.append(f"input {name!r} of type {type_text(parameter.var.type)} is missing")
    if problems:
        raise InvalidRequest("; ".join(problems))
    for name, value in fixed.literals.items():
        merged.literals[name].CopyFrom(value)
    return merged


def required_inputs(inputs: VariableMap) -> ParameterMap:
    """Return the inputs of a single task: each is required, for a task has no defaults."""
    expected = ParameterMap()
    for name, variable in inputs.variables.items():
        expected.parameters[name].CopyFrom(Parameter(var=variable, required=True))
    return expected


def _given_problems(expected: ParameterMap, fixed: LiteralMap, given: LiteralMap) -> Iterator[str]:
    for name, value in given.literals.items():
        if name in fixed.literals:
            yield f"input {name!r} is fixed by the launch plan and cannot be overridden"
        elif name not in expected.parameters:
            known = ", ".join(sorted(expected.parameters)) or "none"
            yield f"invalid input {name!r}; expected are {known}"
        else:
            yield from _misfit(f"input {name!r}", value, expected.parameters[name].var.type)


def _default_problems(inputs: VariableMap, defaults: ParameterMap) -> Iterator[str]:
    for name, parameter in defaults.parameters.items():
        if name not in inputs.variables:
            yield f"default input {name!r} is unknown to the workflow"
        elif not parameter.var.HasField("type"):
            yield f"default input {name!r} has no type"
        elif parameter.WhichOneof("behavior") == "default":
            yield from _misfit(f"default of input {name!r}", parameter.default, parameter.var.type)
        elif not parameter.required:
            yield f"default input {name!r} has neither a default value nor is it required"


def _fixed_problems(inputs: VariableMap, fixed: LiteralMap) -> Iterator[str]:
    for name, value in fixed.literals.items():
        if name not in inputs.variables:
            yield f"fixed input {name!r} is unknown to the workflow"
        else:
            yield from _misfit(f"fixed input {name!r}", value, inputs.variables[name].type)


def _misfit(what: str, value: Literal, wanted: LiteralType) -> Iterator[str]:
    given = literal_type(value)
    if given is None:
        yield f"{what} has no value"
    elif not is_fitting(value, wanted):
        yield f"{what} is of type {type_text(given)}, which does not fit {type_text(wanted)}"
