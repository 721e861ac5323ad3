"""Schemas and enums that configs in tests are made of; task processes import them from the code bundle."""

# ruff: noqa: UP006, UP007, UP035, UP045  # OmegaConf keeps annotations as they are written: the older spellings count
import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import attr
from omegaconf import MISSING


class Color(enum.Enum):
    RED = "red"
    GREEN = 2
    BLUE = (1, 2)
    NO_COLOR = "???"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Plan(str, enum.Enum):
    FREE = "free"
    PAID = "paid"


@dataclass
class Layer:
    width: int = 1
    scale: float = 1.0


@dataclass
class WideLayer(Layer):
    extra: Optional[str] = None


@attr.s(auto_attribs=True)
class Source:
    path: Path = Path("data")
    plan: Plan = Plan.FREE


@dataclass
class Training:
    integer: int = 1
    number: float = 0.5
    flag: bool = False
    text: str = "text"
    raw: bytes = b""
    path: Path = Path("x")
    color: Color = Color.RED
    level: Optional[Level] = None
    either: Union[int, str, None] = None
    anything: Any = None
    absent: int = MISSING
    numbers: List[int] = field(default_factory=list)
    pair: Tuple[int, int] = (1, 2)
    by_name: Dict[str, Layer] = field(default_factory=dict)
    by_color: Dict[Color, List[float]] = field(default_factory=dict)
    layer: Layer = field(default_factory=Layer)
    layers: List[Layer] = field(default_factory=list)
    source: Optional[Source] = None
    linked: int = "${integer}"  # type: ignore[assignment]  # as omegaconf.II gives it
