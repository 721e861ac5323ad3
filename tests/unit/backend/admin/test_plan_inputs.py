"""What launch plans expect and what executions get, as plain values."""

import pytest
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, Variable, VariableMap
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar, Void
from flyteidl.core.types_pb2 import LiteralType, SimpleType, UnionType

from hydraflyte.backend.admin.plan_inputs import expected_inputs, merged_inputs, required_inputs
from hydraflyte.backend.admin.refusals import InvalidRequest

INT = LiteralType(simple=SimpleType.INTEGER)
OPTIONAL_INT = LiteralType(union_type=UnionType(variants=[INT, LiteralType(simple=SimpleType.NONE)]))


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def variables(**types):
    return VariableMap(variables={name: Variable(type=literal_type) for name, literal_type in types.items()})


def with_default(value, literal_type=INT):
    return Parameter(var=Variable(type=literal_type), default=value)


def literals(**values):
    return LiteralMap(literals={name: integer(value) for name, value in values.items()})


def test_inputs_without_default_become_required():
    expected = expected_inputs(
        variables(a=INT, b=INT, c=INT), ParameterMap(parameters={"b": with_default(integer(2))}), literals(c=3)
    )

    assert sorted(expected.parameters) == ["a", "b"]
    assert expected.parameters["a"].required
    assert expected.parameters["b"].default == integer(2)


def test_given_values_win_over_defaults_and_fixed_ones_are_added():
    expected = ParameterMap(parameters={"a": with_default(integer(1)), "b": with_default(integer(2))})

    merged = merged_inputs(expected, literals(c=3), literals(a=10))

    assert {name: value.scalar.primitive.integer for name, value in merged.literals.items()} == {
        "a": 10,
        "b": 2,
        "c": 3,
    }


def test_none_fits_an_optional_input():
    nothing = Literal(scalar=Scalar(none_type=Void()))

    merged = merged_inputs(
        required_inputs(variables(a=OPTIONAL_INT)), LiteralMap(), LiteralMap(literals={"a": nothing})
    )

    assert merged.literals["a"] == nothing


def test_all_problems_are_told_together():
    expected = required_inputs(variables(a=INT, b=INT))
    given = LiteralMap(literals={"b": Literal(scalar=Scalar(primitive=Primitive(string_value="x"))), "z": integer(1)})

    with pytest.raises(InvalidRequest) as caught:
        merged_inputs(expected, LiteralMap(), given)

    message = str(caught.value)
    assert "input 'a' of type INTEGER is missing" in message
    assert "input 'b' is of type STRING, which does not fit INTEGER" in message
    assert "invalid input 'z'; expected are a, b" in message


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        (Parameter(var=Variable(type=INT)), "neither a default value nor is it required"),
        (Parameter(default=integer(1)), "has no type"),
        (with_default(Literal()), "has no value"),
    ],
)
def test_half_finished_defaults_are_refused(parameter, told):
    with pytest.raises(InvalidRequest, match=told):
        expected_inputs(variables(a=INT), ParameterMap(parameters={"a": parameter}), LiteralMap())
