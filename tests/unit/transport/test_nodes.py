"""Nodes restored from state are the nodes that OmegaConf makes: for every private attribute that is used, a proof."""

import copy
import enum
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

import omegaconf
import pytest
from omegaconf import Node, OmegaConf
from omegaconf.base import UnionNode
from omegaconf.errors import ReadonlyConfigError, ValidationError

from hydraflyte.transport.nodes import BOX_KINDS, LEAF_KINDS


class Kind(enum.Enum):
    ONE = 1
    TWO = 2


@dataclass
class Part:
    number: int = 1


@dataclass
class Whole:
    integer: int = 1
    number: float = 1.5
    flag: bool = True
    text: str = "x"
    raw: bytes = b"x"
    path: Path = Path("x")
    kind: Kind = Kind.ONE
    anything: Any = None
    maybe: Optional[int] = None  # noqa: UP045
    either: Union[int, str] = 1  # noqa: UP007
    numbers: List[int] = field(default_factory=lambda: [1])  # noqa: UP006
    table: Dict[Kind, Part] = field(default_factory=lambda: {Kind.ONE: Part()})  # noqa: UP006
    pair: Tuple[int, int] = (1, 2)  # noqa: UP006
    part: Part = field(default_factory=Part)
    no_part: Optional[Part] = None  # noqa: UP045


def nodes_of(node: Any) -> list[Any]:
    content = getattr(node, "_content", None) if isinstance(node, tuple(BOX_KINDS)) else None
    if isinstance(content, Node):
        return [node, *nodes_of(content)]
    children = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return [node, *(found for child in children for found in nodes_of(child))]


@pytest.fixture
def whole():
    return OmegaConf.structured(Whole)


def test_every_restored_node_has_the_attributes_of_an_original_one(trip, whole):
    pairs = list(zip(nodes_of(whole), nodes_of(trip(whole)), strict=True))

    assert {type(made) for made, _ in pairs} >= set(LEAF_KINDS) - {_literal(), _none()} | {UnionNode}
    for made, restored in pairs:
        assert type(restored) is type(made)
        assert vars(restored).keys() == vars(made).keys()
        assert vars(restored._metadata).keys() == vars(made._metadata).keys()
        assert type(restored._metadata) is type(made._metadata)
        assert restored._get_full_key(None) == made._get_full_key(None)


def _literal():
    return getattr(omegaconf, "LiteralNode", None)


def _none():
    return getattr(omegaconf.nodes, "NoneNode", None)


def test_restored_nodes_share_no_state(trip, whole):
    first = trip(whole)
    second = trip(whole)

    OmegaConf.set_readonly(first, True)
    first._get_node("numbers")._metadata.flags["struct"] = True
    first._metadata.resolver_cache["x"]["y"] = 1

    assert not OmegaConf.is_readonly(second)
    assert second._get_node("numbers")._metadata.flags == {}
    states = [vars(node._metadata) for node in nodes_of(first)]
    assert len({id(state["flags"]) for state in states}) == len(states)
    assert len({id(state["resolver_cache"]) for state in states}) == len(states)


def test_a_restored_config_validates_as_before(trip, whole):
    found = trip(whole)

    found.integer = 7
    found.numbers.append(3)
    found.either = "text"
    assert (found.integer, found.numbers, found.either) == (7, [1, 3], "text")
    for key, value in (("integer", "x"), ("kind", "THREE"), ("no_part", 3), ("part", None)):
        with pytest.raises(ValidationError):
            found[key] = value
    with pytest.raises(omegaconf.errors.ConfigAttributeError):
        found.undeclared = 1


def test_a_restored_config_can_be_merged_copied_pickled_and_made_an_object(trip, whole):
    found = trip(whole)

    assert OmegaConf.merge(found, {"part": {"number": 5}}).part.number == 5
    assert copy.deepcopy(found) == whole
    assert OmegaConf.to_object(found) == OmegaConf.to_object(whole)
    plain = trip(OmegaConf.create({"a": [1, {"b": None}]}))
    assert pickle.loads(pickle.dumps(plain)) == plain


def test_restored_flags_are_inherited(trip):
    config = OmegaConf.create({"a": {"b": [1]}})
    OmegaConf.set_readonly(config, True)

    found = trip(config)

    with pytest.raises(ReadonlyConfigError):
        found.a.b.append(2)


def test_interpolations_of_a_restored_config_find_their_parents(trip):
    found = trip(OmegaConf.create({"a": 1, "b": {"c": ["${a}", "${..d}"], "d": "${.e}", "e": 5}}))

    assert found.b.c == [1, 5]
    found.a = 2
    assert found.b.c[0] == 2
