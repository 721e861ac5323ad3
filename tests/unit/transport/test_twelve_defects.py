"""Twelve configs that flytekitplugins-omegaconf 1.16 loses, refuses or leaves behind; each must make the trip."""
# ruff: noqa: UP006, UP035  # OmegaConf keeps annotations as they are written: the older spellings count

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Tuple

import flytekit
import pytest
from flytekit import FlyteContextManager, LaunchPlan
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.extend import TypeEngine
from google.protobuf.json_format import MessageToJson
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydraflyte.transport import (
    Encoding,
    MissingClass,
    Resolve,
    TransportError,
    TransportSettings,
    TransportWarning,
    using,
)


@dataclass
class Pair:
    sizes: Tuple[int, int] = (3, 4)


@dataclass
class Model:
    layers: int = 2


@dataclass
class Open:
    model: Model = field(default_factory=Model)
    rest: Dict[str, Any] = field(default_factory=lambda: {"a": 1})


def test_1_none_inside_a_list_survives(trip, assert_same):
    config = OmegaConf.create({"values": [1, None, [None]]})

    assert_same(trip(config), config)


def test_2_keys_that_are_no_strings_or_have_dots_survive(trip, assert_same):
    config = OmegaConf.create({1: "int", False: "bool", 2.5: "float", b"b": "bytes", "a.b": {"c.d": 1}, "7": "text"})

    assert_same(trip(config), config)


def test_3_a_tuple_field_of_a_schema_survives(trip, assert_same):
    config = OmegaConf.structured(Pair)

    found = trip(config)

    assert_same(found, config)
    assert tuple(found.sizes) == (3, 4)


def test_4_interpolations_are_kept_and_need_no_value_on_the_client(trip, assert_same, monkeypatch):
    monkeypatch.delenv("ONLY_IN_THE_CLUSTER", raising=False)
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${oc.env:ONLY_IN_THE_CLUSTER}", "d": "${e}", "e": "???"})

    found = trip(config)

    assert_same(found, config)
    found.a = 2
    monkeypatch.setenv("ONLY_IN_THE_CLUSTER", "there")
    assert (found.b, found.c) == (2, "there")


def test_4_interpolations_can_be_resolved_instead(trip, write):
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${missing}"})

    with using(TransportSettings(resolve=Resolve.POSSIBLE)):
        found = trip(config)

    assert OmegaConf.to_container(found) == {"a": 1, "b": 1, "c": "${missing}"}
    with using(TransportSettings(resolve=Resolve.ALL)), pytest.raises(TransportError, match=r"c is \$\{missing\}"):
        write(config)


def test_5_untyped_paths_and_bytes_travel_in_the_literal(trip, write, assert_same):
    config = OmegaConf.create({"path": Path("data/train"), "raw": b"\x00\xff"})

    assert_same(trip(config), config)
    assert "blob" not in MessageToJson(write(config).to_flyte_idl())


def test_6_tuples_travel_in_the_literal_on_both_omegaconf_lines(trip, write, assert_same):
    config = OmegaConf.create({"shape": (1, (2, "x"))})

    found = trip(config)

    assert_same(found, config)
    assert type(found.shape) is type(config.shape)
    assert "blob" not in MessageToJson(write(config).to_flyte_idl())


def test_7_launch_plan_inputs_do_not_depend_on_the_context(tmp_path, write):
    config = OmegaConf.create({"path": Path("x"), "raw": b"y"})

    @flytekit.task
    def use(cfg: DictConfig) -> int:
        return 1

    @flytekit.workflow
    def run(cfg: DictConfig) -> int:
        return use(cfg=cfg)

    here = LaunchPlan.create("here", run, default_inputs={"cfg": config}, fixed_inputs={})
    elsewhere = FileAccessProvider(str(tmp_path / "sandbox"), str(tmp_path / "raw"))
    context = FlyteContextManager.current_context()
    with FlyteContextManager.with_context(context.with_file_access(elsewhere)):
        there = LaunchPlan.create("there", run, default_inputs={"cfg": config}, fixed_inputs={})
        assert write(config) == TypeEngine.to_literal(
            context, config, DictConfig, TypeEngine.to_literal_type(DictConfig)
        )

    literals = [plan.parameters.parameters["cfg"].default for plan in (here, there)]
    assert literals[0] == literals[1] == write(config)
    assert str(tmp_path) not in str(literals[1])


def test_8_key_order_survives_and_bytes_are_stable(trip, write):
    config = OmegaConf.create({"z": 1, "a": {"y": 2, "b": 3}, "m": 4})
    again = OmegaConf.create({"z": 1, "a": {"y": 2, "b": 3}, "m": 4})

    found = trip(config)

    assert list(found) == ["z", "a", "m"]
    assert list(found.a) == ["y", "b"]
    assert write(config).to_flyte_idl().SerializeToString() == write(again).to_flyte_idl().SerializeToString()


def test_9_readonly_and_struct_flags_survive(trip, assert_same):
    config = OmegaConf.create({"frozen": {"a": 1}, "open": {"b": 2}})
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config.frozen, True)
    OmegaConf.set_struct(config.open, False)

    found = trip(config)

    assert_same(found, config)
    assert OmegaConf.is_struct(found)
    assert OmegaConf.is_readonly(found.frozen)
    assert not OmegaConf.is_struct(found.open)


def test_10_a_thousand_leaves_take_less_than_an_eighth_of_the_older_form(write):
    config = OmegaConf.create({f"group{i}": {f"key{j}": i * 0.5 + j for j in range(20)} for i in range(50)})

    ours = len(write(config).to_flyte_idl().SerializeToString())

    with using(TransportSettings(encoding=Encoding.PLUGIN)):
        older = len(write(config).to_flyte_idl().SerializeToString())
    assert ours * 8 < older


def test_11_reading_imports_nothing_that_nobody_named(tmp_path, write, read):
    (tmp_path / "stranger.py").write_text(
        "import dataclasses\n\n@dataclasses.dataclass\nclass Conf:\n    value: int = 7\n"
    )
    code = """
import sys
sys.path.insert(0, {path!r})
import hydraflyte.transport.plugin
from flytekit import FlyteContextManager
from flytekit.extend import TypeEngine
from omegaconf import DictConfig, OmegaConf
import stranger
transformer = TypeEngine.get_transformer(DictConfig)
config = OmegaConf.structured(stranger.Conf)
literal = transformer.to_literal(FlyteContextManager.current_context(), config, DictConfig, None)
print(literal.scalar.binary.value.hex())
"""
    hex_bytes = subprocess.run(
        [sys.executable, "-c", code.format(path=str(tmp_path))], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    literal = write(OmegaConf.create({}))
    literal.scalar.binary._value = bytes.fromhex(hex_bytes)
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.warns(TransportWarning, match=r"stranger\.Conf") as warned:
            plain = read(literal)
        imported_unasked = "stranger" in sys.modules
        with using(TransportSettings(missing_class=MissingClass.FAIL)), pytest.raises(TransportError, match="stranger"):
            read(literal)
        with using(TransportSettings(allow=("stranger",))), warnings.catch_warnings():
            warnings.simplefilter("error")
            typed = read(literal)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("stranger", None)

    assert not imported_unasked
    assert len(warned) == 1
    assert plain == {"value": 7}
    assert OmegaConf.get_type(plain) is dict
    assert OmegaConf.get_type(typed).__qualname__ == "Conf"


def test_12_keys_beyond_the_schema_survive(trip, assert_same):
    config = OmegaConf.structured(Open)
    config.rest.more = {"deep": [1, {"x": None}]}
    OmegaConf.set_struct(config.model, False)
    config.model.undeclared = {"a": 1}

    assert_same(trip(config), config)


def test_lists_and_schemas_of_the_annotation_are_named_by_it(trip):
    config = OmegaConf.structured(Open)

    found = trip(config)

    assert dataclasses.asdict(OmegaConf.to_object(found)) == {"model": {"layers": 2}, "rest": {"a": 1}}
    assert trip(OmegaConf.create([1, {"a": 2}]), ListConfig) == [1, {"a": 2}]
    assert json.dumps(OmegaConf.to_container(found)) == '{"model": {"layers": 2}, "rest": {"a": 1}}'
