"""What becomes of interpolations: of whole configs, of parts of larger ones, and when they are to be resolved."""

from __future__ import annotations

import datetime

import msgpack
import omegaconf
import pytest
from omegaconf import DictConfig, OmegaConf

from hydraflyte.transport import Resolve, TransportError, TransportSettings, using


@pytest.fixture
def resolvers():
    calls = []
    is_new_line = hasattr(omegaconf, "TupleConfig")  # OmegaConf 2.4 has a new name for it
    register = OmegaConf.register_resolver if is_new_line else OmegaConf.register_new_resolver
    register("count_calls", lambda: calls.append(1) or len(calls))
    register("today", lambda: datetime.date(2020, 1, 1))
    register("pair", lambda x: [x, {"twice": 2 * x}])
    yield calls
    for name in ("count_calls", "today", "pair"):
        OmegaConf.clear_resolver(name)


def sent(write, config: DictConfig) -> dict:
    """Return what readers without hydraflyte see."""
    tree = msgpack.unpackb(write(config).scalar.binary.value)
    tree.pop("__hydraflyte__", None)
    return tree


def test_a_whole_config_keeps_its_interpolations_and_shows_their_values(trip, write, resolvers):
    config = OmegaConf.create(
        {
            "a": 1,
            "b": "${a}",
            "c": {"d": "${..a}", "e": "v${.d}-${a}"},
            "f": "${count_calls:}",
            "g": "${c}",
            "h": "${f}",
        }
    )

    assert OmegaConf.to_yaml(trip(config)) == OmegaConf.to_yaml(config)
    assert sent(write, config) == {
        "a": 1,
        "b": 1,
        "c": {"d": 1, "e": "v1-1"},
        "f": "${count_calls:}",
        "g": "${c}",
        "h": "${f}",
    }


def test_writing_calls_no_resolver_unless_asked(write, resolvers):
    config = OmegaConf.create({"x": "${count_calls:}", "y": "${x}"})

    write(config)
    calls_when_kept = len(resolvers)
    with using(TransportSettings(resolve=Resolve.ALL)):
        write(config)

    assert calls_when_kept == 0
    assert len(resolvers) == 2


def test_a_part_of_a_config_takes_along_what_it_points_to(trip):
    config = OmegaConf.create(
        {
            "dim": 8,
            "name": "net",
            "opt": {"lr": 0.1},
            "model": {
                "width": "${dim}",
                "half": "${.width}",
                "title": "${name}-${model.width}",
                "home": "${oc.env:NOT_SET_ANYWHERE}",
                "optimizer": "${opt}",
                "gone": "${nowhere}",
                "keys": "${oc.dict.keys:opt}",
                "inner": {"up": "${..half}", "top": "${...dim}"},
            },
        }
    )

    found = trip(config.model)

    assert OmegaConf.to_container(found) == {
        "width": 8,
        "half": "${.width}",
        "title": "net-8",
        "home": "${oc.env:NOT_SET_ANYWHERE}",
        "optimizer": {"lr": 0.1},
        "gone": "${nowhere}",
        "keys": ["lr"],
        "inner": {"up": "${..half}", "top": 8},
    }
    assert (found.half, found.inner.up) == (8, 8)


def test_a_part_keeps_the_flags_that_hold_for_it(trip):
    config = OmegaConf.create({"model": {"a": 1}})
    OmegaConf.set_readonly(config, True)
    OmegaConf.set_struct(config, True)

    found = trip(config.model)

    assert OmegaConf.is_readonly(found)
    assert OmegaConf.is_struct(found)


def test_all_gives_values_only(trip, resolvers):
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": {"d": "${b}"}, "e": "${c}", "f": "${pair:3}"})

    with using(TransportSettings(resolve=Resolve.ALL)):
        found = trip(config)

    assert OmegaConf.to_container(found) == {"a": 1, "b": 1, "c": {"d": 1}, "e": {"d": 1}, "f": [3, {"twice": 6}]}
    assert config.b == 1
    assert OmegaConf.is_interpolation(config, "b")


@pytest.mark.parametrize("text", ["${nowhere}", "${missing}", "${oc.env:NOT_SET_ANYWHERE}", "${loop}", "${unknown:1}"])
def test_all_names_the_interpolation_that_has_no_value(text, write):
    config = OmegaConf.create({"missing": "???", "loop": "${loop}" if text == "${loop}" else 1, "here": {"key": text}})

    with (
        using(TransportSettings(resolve=Resolve.ALL)),
        pytest.raises(TransportError, match=r"(here\.key|loop) is .*no value") as raised,
    ):
        write(config)

    assert "resolve=keep" in raised.value.hint


def test_possible_leaves_what_has_no_value(trip, monkeypatch):
    monkeypatch.setenv("SET_HERE", "yes")
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${oc.env:SET_HERE}", "d": "${oc.env:NOT_SET_ANYWHERE}"})

    with using(TransportSettings(resolve=Resolve.POSSIBLE)):
        found = trip(config)

    assert OmegaConf.to_container(found) == {"a": 1, "b": 1, "c": "yes", "d": "${oc.env:NOT_SET_ANYWHERE}"}


def test_possible_leaves_what_cannot_travel(trip, resolvers):
    config = OmegaConf.create({"day": "${today:}"})

    with using(TransportSettings(resolve=Resolve.POSSIBLE)):
        found = trip(config)

    assert OmegaConf.to_container(found) == {"day": "${today:}"}


def test_a_container_that_points_to_a_value_becomes_that_value_or_stays(trip, resolvers):
    config = OmegaConf.create({"a": 1, "day": "${today:}"})
    config.b = DictConfig("${a}")
    config.c = DictConfig("${day}")

    with using(TransportSettings(resolve=Resolve.POSSIBLE)):
        found = trip(config)

    assert OmegaConf.to_container(found) == {"a": 1, "day": "${today:}", "b": 1, "c": "${day}"}
    with using(TransportSettings(resolve=Resolve.ALL)), pytest.raises(TransportError, match=r"holds a datetime\.date"):
        trip(config)


def test_a_value_that_cannot_travel_is_named(write):
    config = OmegaConf.create({"a": {"b": [datetime.date(2020, 1, 1)]}}, flags={"allow_objects": True})

    with pytest.raises(TransportError, match=r"a\.b\[0\] holds a datetime\.date"):
        write(config)
