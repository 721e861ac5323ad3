"""Literals of flytekitplugins-omegaconf: read in all its modes, written when a setting says so.

No postponed annotations in this file: the older plugin fails on schemas that have them.
"""

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Union  # noqa: UP035

import flytekitplugins.omegaconf as older
import pytest
from flytekit import FlyteContextManager
from flytekitplugins.omegaconf.dictconfig_transformer import DictConfigTransformer
from flytekitplugins.omegaconf.listconfig_transformer import ListConfigTransformer
from google.protobuf.json_format import MessageToDict
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from hydraflyte.transport import Encoding, TransportError, TransportSettings, TransportWarning, using


class Shape(enum.Enum):
    ROUND = "round"
    FLAT = "flat"


@dataclass
class Inner:
    size: int = 1
    rate: float = 2.0


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    shape: Shape = Shape.FLAT
    name: Optional[str] = None  # noqa: UP045
    either: Union[int, str] = 3  # noqa: UP007
    items: List[int] = field(default_factory=lambda: [1, 2])  # noqa: UP006
    table: Dict[str, Any] = field(default_factory=lambda: {"x": 1.5, "y": {"z": True}})  # noqa: UP006
    absent: int = MISSING


@pytest.fixture
def write_older(write):
    def send(config, annotation=DictConfig):
        with using(TransportSettings(encoding=Encoding.PLUGIN)):
            return write(config, annotation)

    return send


PLAIN = {
    "a": 1,
    "b": 2.5,
    "c": "text",
    "d": True,
    "e": None,
    "f": {"g": {"h": [1, "x", {"i": 2}]}},
    "j": "???",
    "k": {},
}


def test_a_plain_config_of_the_older_plugin_is_read(write_older, read):
    config = OmegaConf.create(PLAIN)

    literal = write_older(config)

    assert "base_dataclass" in MessageToDict(literal.scalar.generic)
    assert read(literal) == config


def test_a_schema_of_the_older_plugin_is_read(write_older, read):
    config = OmegaConf.structured(Outer)

    found = read(write_older(config))

    assert found == config
    assert OmegaConf.get_type(found) is Outer
    assert OmegaConf.get_type(found.inner) is Inner
    assert found.shape is Shape.FLAT
    assert OmegaConf.is_missing(found, "absent")


def test_a_list_of_the_older_plugin_is_read(write_older, read):
    config = OmegaConf.create([1, "x", {"a": 2}, [True], "???"])

    assert read(write_older(config, ListConfig), ListConfig) == config


def test_what_the_setting_writes_is_what_the_older_plugin_reads(write_older):
    context = FlyteContextManager.current_context()
    config = OmegaConf.create({key: value for key, value in PLAIN.items() if key not in ("e", "f")})

    assert DictConfigTransformer().to_python_value(context, write_older(config), DictConfig) == config
    items = OmegaConf.create([1, "x", 2.5])
    assert ListConfigTransformer().to_python_value(context, write_older(items, ListConfig), ListConfig) == items


def test_the_older_plugins_modes_still_decide(write_older, write, read):
    with older.local_transformer_mode(older.OmegaConfTransformerMode.DictConfig):
        found = [read(write_older(OmegaConf.structured(Outer))), read(write(OmegaConf.structured(Outer)))]

    assert [OmegaConf.get_type(config) for config in found] == [dict, dict]
    assert [OmegaConf.get_type(config.inner) for config in found] == [dict, dict]


def test_a_schema_that_is_not_available_is_plain_or_an_error(write_older, read):
    literal = write_older(OmegaConf.structured(Outer))
    literal.scalar.generic.fields["base_dataclass"].string_value = "gone.Conf"

    with pytest.warns(TransportWarning, match=r"gone\.Conf"):
        assert OmegaConf.get_type(read(literal)) is dict
    with (
        older.local_transformer_mode(older.OmegaConfTransformerMode.DataClass),
        pytest.raises(TransportError, match=r"gone\.Conf"),
    ):
        read(literal)


def test_a_pickled_value_is_refused_not_run(write_older, read):
    literal = write_older(OmegaConf.create({"path": Path("x")}))

    with pytest.raises(TransportError, match="unpickling runs code") as raised:
        read(literal)

    assert "write the config again" in raised.value.hint


def test_a_struct_from_a_form_becomes_a_config_with_whole_numbers(read, write):
    from flytekit.models.literals import Literal, Scalar
    from google.protobuf.struct_pb2 import Struct

    data = Struct()
    data.update({"epochs": 3, "rate": 0.5, "model": {"layers": [1, 2]}})

    found = read(Literal(scalar=Scalar(generic=data)))

    assert found == {"epochs": 3, "rate": 0.5, "model": {"layers": [1, 2]}}
    assert type(found.epochs) is int


def test_a_literal_that_went_through_json_keeps_its_types(read, write):
    import msgpack
    from flytekit.models.literals import Literal, Scalar
    from google.protobuf.struct_pb2 import Struct

    config = OmegaConf.structured(Outer)
    data = Struct()
    data.update(msgpack.unpackb(write(config).scalar.binary.value, strict_map_key=False) | {})

    found = read(Literal(scalar=Scalar(generic=data)))

    assert OmegaConf.get_type(found) is Outer
    assert type(found.inner.rate) is float
    assert found == config
