"""The schema of a config, from its structured parts and from its values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from omegaconf import MISSING, OmegaConf

from hydraflyte.launcher.artifacts.schema import schema_of


class Color(Enum):
    red = 1
    blue = 2


@dataclass
class Model:
    layers: int = 2
    rate: float = 0.1
    name: str = MISSING
    color: Color = Color.red
    limit: Optional[int] = None  # noqa: UP045 - OmegaConf 2.3 reads this spelling alone
    sizes: list[int] = field(default_factory=list)


def test_a_structured_config_says_its_types_and_takes_no_other_keys() -> None:
    schema = schema_of(OmegaConf.create({"model": Model}))

    assert schema["properties"]["model"] == {
        "title": "Model",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "layers": {"type": "integer"},
            "rate": {"type": "number"},
            "name": {"type": "string"},
            "color": {"enum": ["red", "blue"]},
            "limit": {"type": ["integer", "null"]},
            "sizes": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["name"],
    }


def test_a_plain_config_says_what_its_values_are() -> None:
    config = OmegaConf.create(
        {"a": 1, "b": True, "c": "x", "d": None, "e": [1, "x"], "f": "${a}", "g": "???", 3: 0.5, "h": {}}
    )

    assert schema_of(config) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "boolean"},
            "c": {"type": "string"},
            "d": {},
            "e": {"type": "array"},
            "f": {},
            "g": {},
            "3": {"type": "number"},
            "h": {"type": "object", "properties": {}},
        },
        "required": ["g"],
    }
