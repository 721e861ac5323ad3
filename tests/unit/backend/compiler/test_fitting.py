"""Which literals fit which types, where the type of the literal alone would not tell."""

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralCollection, LiteralMap, Scalar, Union
from tests.unit.backend.workflows import FLOAT, INT, NONE, STRING, list_of, literal, map_of, union_of

from hydraflyte.backend.compiler.fitting import is_fitting

OPTIONAL = union_of(INT, NONE)


def chosen(value, variant):
    return Literal(scalar=Scalar(union=Union(value=literal(value), type=variant)))


def listed(*items):
    return Literal(collection=LiteralCollection(literals=items))


def mapped(**items):
    return Literal(map=LiteralMap(literals=items))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (literal([[1], [], [2, 3]]), list_of(list_of(INT))),
        (literal([]), list_of(list_of(INT))),
        (mapped(a=literal([0.5]), b=literal([])), map_of(list_of(FLOAT))),
        (listed(listed(chosen(1, INT)), listed(chosen(None, NONE))), list_of(list_of(OPTIONAL))),
        (literal([[1], []]), union_of(list_of(list_of(INT)), STRING)),
    ],
    ids=["an empty list among others", "nothing", "an empty list in a dict", "Nones in some lists", "one of a union"],
)
def test_items_decide_whether_a_list_or_a_dict_fits(value, wanted):
    assert is_fitting(value, wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (literal([[1], ["a"]]), list_of(list_of(INT))),
        (literal([1]), map_of(INT)),
        (literal([[]]), union_of(list_of(list_of(INT)), list_of(list_of(STRING)))),
        (Literal(), INT),
        (literal(1), FLOAT),
    ],
    ids=["one item of another type", "a list is no dict", "two of a union", "no value", "an integer is no float"],
)
def test_other_things_do_not_fit(value, wanted):
    assert not is_fitting(value, wanted)
