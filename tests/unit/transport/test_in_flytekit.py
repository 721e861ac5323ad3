"""Configs where flytekit meets them: workflows, unions, containers, dataclasses, attributes of promises, JSON."""
# ruff: noqa: UP006, UP007, UP035, UP045  # OmegaConf keeps annotations as they are written: the older spellings count

from __future__ import annotations

import enum
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Dict, List, Optional, Union

import flytekit
import msgpack
import omegaconf
import pytest
from flytekit.extend import TypeEngine
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydraflyte.transport import MissingClass, Resolve, TransportSettings, configure


class Optimizer(enum.Enum):
    ADAM = "adam"
    SGD = "sgd"


@dataclass
class ModelConf:
    layers: int = 2
    rate: float = 0.1
    optimizer: Optimizer = Optimizer.ADAM
    data: Path = Path("data")
    sizes: List[int] = field(default_factory=lambda: [1, 2])


@dataclass
class TrainConf:
    model: ModelConf = field(default_factory=ModelConf)
    epochs: int = 3
    total: int = omegaconf.II("epochs")


@flytekit.task
def use_dataclass(cfg: TrainConf) -> int:
    assert cfg.model.optimizer is Optimizer.ADAM
    assert cfg.model.data == Path("data")
    return cfg.total + cfg.model.layers


@flytekit.task
def make_dataclass(epochs: int) -> TrainConf:
    return TrainConf(epochs=epochs)


@flytekit.task
def read_epochs(cfg: DictConfig) -> int:
    return int(cfg.epochs)


@flytekit.task
def name_of(cfg: Annotated[DictConfig, TrainConf]) -> str:
    return f"{OmegaConf.get_type(cfg).__name__} {OmegaConf.get_type(cfg.model).__name__} {cfg.total}"


@flytekit.task
def make_config() -> DictConfig:
    return OmegaConf.create({"model": {"layers": 7, "name": "net"}, "rates": [0.1, 0.2]})


@flytekit.task
def layers_of(model: DictConfig) -> int:
    return int(model.layers)


@flytekit.task
def show(value: int, name: str, rate: float) -> str:
    return f"{value} {name} {rate}"


def test_a_config_with_a_schema_feeds_a_dataclass_input():
    @flytekit.workflow
    def run(cfg: DictConfig) -> int:
        return use_dataclass(cfg=cfg)

    assert run(cfg=OmegaConf.structured(TrainConf)) == 5


def test_a_dataclass_output_feeds_a_config_input():
    @flytekit.workflow
    def run(epochs: int) -> int:
        return read_epochs(cfg=make_dataclass(epochs=epochs))

    assert run(epochs=9) == 9


def test_an_annotated_config_input_gets_its_schema_from_plain_values():
    @flytekit.workflow
    def run(cfg: DictConfig) -> str:
        return name_of(cfg=cfg)

    assert run(cfg=OmegaConf.create({"epochs": 4})) == "TrainConf ModelConf 4"


def test_attributes_of_a_config_promise_reach_the_values():
    @flytekit.workflow
    def run() -> str:
        cfg = make_config()
        return show(value=layers_of(model=cfg.model), name=cfg.model.name, rate=cfg.rates[1])

    assert run() == "7 net 0.2"


def test_attributes_of_a_config_with_shapes_reach_the_values():
    @flytekit.task
    def make() -> DictConfig:
        return OmegaConf.structured(TrainConf)

    @flytekit.task
    def give(layers: int, optimizer: Optimizer, total: int) -> str:
        return f"{layers} {optimizer} {total}"

    @flytekit.workflow
    def run() -> str:
        cfg = make()
        return give(layers=cfg.model.layers, optimizer=cfg.model.optimizer, total=cfg.total)

    assert run() == "2 Optimizer.ADAM 3"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Optional[DictConfig], None),
        (Optional[DictConfig], {"a": 1}),
        (Union[DictConfig, ListConfig], {"a": 1}),
        (Union[DictConfig, ListConfig], [1, None]),
        (Union[int, DictConfig, str], "text"),
        (Union[int, DictConfig, str], {"a": "???"}),
        (DictConfig | None, {"a": None}),
    ],
)
def test_unions_and_optionals_pick_the_right_variant(annotation, value, write, read):
    sent = OmegaConf.create(value) if isinstance(value, dict | list) else value

    found = read(write(sent, annotation), annotation)

    assert found == sent
    assert type(found) is type(sent)


def test_a_plain_dict_in_a_union_is_left_to_its_own_variant(write, read):
    annotation = Union[DictConfig, dict]

    assert type(read(write({"a": 1}, annotation), annotation)) is dict
    assert type(read(write(OmegaConf.create({"a": 1}), annotation), annotation)) is DictConfig


def test_containers_of_configs_travel(write, read):
    first, second = OmegaConf.create({"a": 1}), OmegaConf.create({"b": [None]})

    assert read(write([first, second], List[DictConfig]), List[DictConfig]) == [first, second]
    assert read(write({"x": second}, Dict[str, DictConfig]), Dict[str, DictConfig]) == {"x": second}
    nested = Dict[str, List[Optional[DictConfig]]]
    assert read(write({"x": [first, None]}, nested), nested) == {"x": [first, None]}


@pytest.mark.skipif(not hasattr(omegaconf, "TupleConfig"), reason="OmegaConf before 2.4 has no TupleConfig")
def test_a_tuple_config_travels_by_itself(trip, assert_same):
    config = OmegaConf.create((1, (None, "x")))

    assert_same(trip(config, omegaconf.TupleConfig), config)


def test_plain_json_becomes_a_config(write, read):
    assert read(write({"a": [1, {"b": None}]}, DictConfig), DictConfig) == {"a": [1, {"b": None}]}
    assert read(write([1, 2], ListConfig), ListConfig) == [1, 2]


def test_an_instance_of_a_schema_becomes_a_config(write, read):
    found = read(write(TrainConf(epochs=8), DictConfig), DictConfig)

    assert OmegaConf.get_type(found) is TrainConf
    assert found.total == 8


def test_a_dict_config_is_no_list_config(write, read):
    literal = write(OmegaConf.create({"a": 1}))

    with pytest.raises(TypeError, match="holds a DictConfig, expected a ListConfig"):
        read(literal, ListConfig)
    with pytest.raises(TypeError, match="Expected a DictConfig, got a int"):
        TypeEngine.to_literal(None, 3, DictConfig, TypeEngine.to_literal_type(DictConfig))


def test_the_values_are_readable_without_hydraflyte(write):
    literal = write(OmegaConf.structured(TrainConf))

    value = msgpack.unpackb(literal.scalar.binary.value)

    assert literal.scalar.binary.tag == "msgpack"
    assert value["model"] == {"layers": 2, "rate": 0.1, "optimizer": "adam", "data": "data", "sizes": [1, 2]}
    assert list(value) == ["model", "epochs", "total", "__hydraflyte__"]
    assert value["total"] == 3


def test_a_plain_config_is_written_without_anything_extra(write):
    literal = write(OmegaConf.create({"a": {"b": [1, 2.5, "x", None]}}))

    assert msgpack.unpackb(literal.scalar.binary.value) == {"a": {"b": [1, 2.5, "x", None]}}


def test_a_key_of_our_own_name_is_only_a_key(trip, assert_same):
    for config in (
        OmegaConf.create({"__hydraflyte__": {"root": 1}, "a": Path("x")}),
        OmegaConf.create({"a": {"__hydraflyte__": 1}}),
    ):
        assert_same(trip(config), config)
    items = OmegaConf.create([1, {"__hydraflyte__": {"form": 1}}])
    assert_same(trip(items, ListConfig), items)


def test_a_key_that_is_not_a_number_survives(trip):
    found = trip(OmegaConf.create({float("nan"): Path("x"), 1: 2}))

    assert [repr(key) for key in found] == ["nan", "1"]
    assert list(found._content.values()) == [Path("x"), 2]


def test_a_setting_in_the_annotation_wins(trip):
    config = OmegaConf.create({"a": 1, "b": "${a}"})
    annotation = Annotated[DictConfig, TransportSettings(resolve=Resolve.ALL)]
    configure(TransportSettings(resolve=Resolve.KEEP, missing_class=MissingClass.FAIL))

    assert OmegaConf.to_container(trip(config, annotation)) == {"a": 1, "b": 1}
    assert OmegaConf.to_container(trip(config)) == {"a": 1, "b": "${a}"}


def test_a_change_of_one_group_changes_only_that_groups_literal(write):
    one = OmegaConf.create({"model": {"lr": 0.1}, "data": {"path": "/d", "size": "${model.lr}"}})
    two = OmegaConf.create({"model": {"lr": 0.2}, "data": {"path": "/d", "size": 1}})

    def bytes_of(config):
        return write(config).to_flyte_idl().SerializeToString()

    assert bytes_of(one.model) != bytes_of(two.model)
    one.data.size = 1
    assert bytes_of(one.data) == bytes_of(two.data)


def test_a_collection_of_single_literals_is_a_list_config(write, read):
    literal = TypeEngine.to_literal(
        None,
        [1, None, 2.5, "x", {"a": [1]}],
        List[Union[int, float, str, dict, None]],
        TypeEngine.to_literal_type(List[Union[int, float, str, dict, None]]),
    )

    found = read(literal, ListConfig)

    assert found == [1, None, 2.5, "x", {"a": [1]}]
    assert [type(item) for item in found] == [int, type(None), float, str, DictConfig]
    assert read(write({"a": 1, "b": 2}, Dict[str, int]), DictConfig) == {"a": 1, "b": 2}


def test_decks_show_yaml():
    transformer = TypeEngine.get_transformer(DictConfig)

    assert transformer.to_html(None, OmegaConf.create({"a": "<b>"}), DictConfig) == "<pre>a: &lt;b&gt;\n</pre>"


def test_flytekit_loads_the_transformers_and_a_later_import_of_the_older_plugin_changes_nothing():
    code = """
from importlib.metadata import EntryPoint
EntryPoint("hydraflyte", "hydraflyte.transport.plugin", "flytekit.plugins").load()
import flytekitplugins.omegaconf
from flytekitplugins.omegaconf.dictconfig_transformer import DictConfigTransformer
from flytekit.extend import TypeEngine
from omegaconf import DictConfig, ListConfig
print(*(type(TypeEngine.get_transformer(t)).__module__ for t in (DictConfig, ListConfig)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.split() == ["hydraflyte.transport.transformers"] * 2
