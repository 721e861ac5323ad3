"""Forms of the console: which inputs have a field, what a changed text becomes, and whose form it is."""

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralCollection, LiteralMap, Primitive, Scalar, Union, Void
from flyteidl.core.types_pb2 import LiteralType, SimpleType

from hydraflyte.backend.console.forms import FormTokens, InputFieldError, changed_inputs, fields_of

TEXT = LiteralType(simple=SimpleType.STRING)


def plain(**value):
    return Literal(scalar=Scalar(primitive=Primitive(**value)))


def optional(value):
    return Literal(scalar=Scalar(union=Union(value=value, type=TEXT)))


INPUTS = LiteralMap(
    literals={
        "depth": plain(integer=3),
        "rate": plain(float_value=0.1),
        "fast": plain(boolean=True),
        "name": optional(plain(string_value="<b>")),
        "lines": plain(string_value="a\nb"),
        "none": optional(Literal(scalar=Scalar(none_type=Void()))),
        "folds": Literal(collection=LiteralCollection(literals=[plain(integer=1)])),
    }
)


def test_numbers_truth_values_and_lines_of_text_have_a_field():
    assert [(field.name, field.text) for field in fields_of(INPUTS)] == [
        ("depth", "3"),
        ("fast", "true"),
        ("name", "<b>"),
        ("rate", "0.1"),
    ]


def test_only_what_was_changed_is_sent_and_keeps_its_type():
    form = {"input.depth": "4", "input.rate": "0.1", "input.fast": "False", "input.name": "x", "input.folds": "[2]"}

    changed = changed_inputs(INPUTS, form)

    assert dict(changed.literals) == {
        "depth": plain(integer=4),
        "fast": plain(boolean=False),
        "name": optional(plain(string_value="x")),
    }


def test_a_changed_value_is_not_taken_for_the_old_one_by_the_cache():
    inputs = LiteralMap(literals={"depth": Literal(scalar=plain(integer=3).scalar, hash="of three")})

    assert changed_inputs(inputs, {"input.depth": "4"}).literals["depth"].hash == ""


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("input.depth", "many", "depth is integer, and 'many' is none"),
        ("input.depth", str(2**63), f"depth is integer, and '{2**63}' is none"),
        ("input.rate", "", "rate is float, and '' is none"),
        ("input.fast", "yes", "fast is boolean, and 'yes' is none"),
    ],
)
def test_a_text_that_is_no_such_value_is_told(field, text, told):
    with pytest.raises(InputFieldError, match=f"^{told}$"):
        changed_inputs(INPUTS, {field: text})


def test_a_token_holds_for_its_own_page_and_its_own_backend():
    tokens = FormTokens(b"of this start")
    form = {"token": tokens.token("/console/a")}

    assert tokens.holds("/console/a", form)
    assert not tokens.holds("/console/b", form)
    assert not FormTokens(b"of the next start").holds("/console/a", form)
    assert not tokens.holds("/console/a", {})
