"""A chart of points as plain geometry, for a template to draw.

Pure. Points lie along the axis by their numbers, by the logarithms of those where they span a hundredfold or more,
or side by side where they are no numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 700, 15, 270
_WIDE_SPAN = 100
_MOST_NAMES = 12
_LONGEST_NAME = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value to draw. ``x`` is a number as text, or any other text; ``row`` is what the point stands for."""

    x: str
    y: float
    row: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point at its place."""

    x: float
    y: float
    point: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A text beside an axis, at a place along it."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is to be drawn, on ``WIDTH`` by ``HEIGHT``."""

    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def draw(points: Sequence[Point]) -> Chart:
    """Return the chart of at least one point; every ``y`` is finite."""
    numbers = [as_number(point.x) for point in points]
    known = [number for number in numbers if number is not None]
    if len(known) == len(points):
        along, x_ticks = _by_value(known)
    else:
        along, x_ticks = _side_by_side([point.x for point in points])
    heights = [point.y for point in points]
    low, high = min(heights), max(heights)
    dots = tuple(
        Dot(x=x, y=_place(point.y, (low, high), (_BOTTOM, _TOP)), point=point)
        for x, point in zip(along, points, strict=True)
    )
    y_ticks = tuple(Tick(at=_place(y, (low, high), (_BOTTOM, _TOP)), text=f"{y:.6g}") for y in sorted({low, high}))
    return Chart(dots=dots, x_ticks=x_ticks, y_ticks=y_ticks)


def as_number(value: object) -> float | None:
    """Return a finite number, given as such or as text; None for all else.

    Example:
        >>> [as_number(value) for value in (3, "1e-3", "adam", True, float("nan"), 10**400)]
        [3.0, 0.001, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _by_value(numbers: Sequence[float]) -> tuple[list[float], tuple[Tick, ...]]:
    low, high = min(numbers), max(numbers)
    is_wide = low > 0 and high / low >= _WIDE_SPAN
    scaled = [math.log10(number) if is_wide else number for number in numbers]
    span = (min(scaled), max(scaled))
    along = [_place(each, span, (_LEFT, _RIGHT)) for each in scaled]
    texts = {f"{number:.6g}": at for number, at in zip(numbers, along, strict=True) if number in (low, high)}
    return along, tuple(Tick(at=at, text=text) for text, at in texts.items())


def _side_by_side(names: Sequence[str]) -> tuple[list[float], tuple[Tick, ...]]:
    order = {name: index for index, name in enumerate(dict.fromkeys(names))}
    places = {name: _place(index, (0, len(order) - 1), (_LEFT, _RIGHT)) for name, index in order.items()}
    every = -(-len(order) // _MOST_NAMES)
    ticks = tuple(
        Tick(at=at, text=name[:_LONGEST_NAME]) for index, (name, at) in enumerate(places.items()) if index % every == 0
    )
    return [places[name] for name in names], ticks


def _place(value: float, span: tuple[float, float], room: tuple[float, float]) -> float:
    """Return where the value lies in the room; in its middle if the span is none."""
    (low, high), (begin, end) = span, room
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5  # halves: no overflow
    return round(begin + share * (end - begin), 1)
