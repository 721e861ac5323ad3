"""Filters, sort keys and page tokens of lists, from text to a selection (flyteadmin/pkg/common/filters.go).

The one rule: nothing a client sends becomes SQL; fields are looked up in tables and values are bound. Pure:
no database, no network, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Protocol

from flyteidl.admin.common_pb2 import Sort

from hydraflyte.backend.admin.columns import (
    COLUMNS,
    EXECUTION_FIELDS,
    JOINS,
    ROW_IDS,
    TAGS,
    Column,
    ColumnKind,
    Entity,
)
from hydraflyte.backend.store.selection import ALL, Selection, SqlValue
from hydraflyte.backend.store.timestamps import to_text

MAX_FILTERS_BYTES = 64 * 1024
"""Longer filter texts are refused; the longest that a client of Flyte sends is a few kilobytes."""

_MAX_BOUND_VALUES = 900  # SQLite before 3.32 binds at most 999


class FilterError(ValueError):
    """The filter, the sort key, the limit or the token cannot be understood; the text says which."""


class Operator(Enum):
    """What a filter expression compares with; the value is its name in the grammar."""

    CONTAINS = "contains"
    NOT_LIKE = "not_like"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"
    EQUAL = "eq"
    NOT_EQUAL = "ne"
    IN = "value_in"
    NOT_IN = "value_not_in"


_COMPARISONS = {
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.EQUAL: "=",
    Operator.NOT_EQUAL: "!=",
}
_EXPRESSION = re.compile(r"(?P<operator>[a-z_]+)\((?P<field>[^(]+),\s?(?P<value>.*)\)", re.DOTALL)
_EXECUTION_PREFIXED = (Entity.EXECUTION, Entity.NODE_EXECUTION, Entity.TASK_EXECUTION, Entity.SIGNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One expression: ``entity`` is whose field it is; ``text`` the value as sent."""

    operator: Operator
    entity: Entity
    field: str
    text: str


def parse_filters(listed: Entity, text: str) -> tuple[Filter, ...]:
    """Return the expressions of ``eq(phase,FAILED)+gt(duration,5)``, in order; none for an empty text.

    Raises:
        FilterError: an expression is malformed, names an unknown operator, or a row that cannot be reached.
    """
    if len(text.encode()) > MAX_FILTERS_BYTES:
        raise FilterError(f"the filters are longer than {MAX_FILTERS_BYTES} bytes")
    return tuple(_parse_one(listed, expression) for expression in text.split("+")) if text else ()


def select(listed: Entity, filters: Iterable[Filter]) -> Selection:
    """Return the selection of rows for which every filter holds.

    Raises:
        FilterError: a field is unknown, or its value cannot be compared with it.
    """
    selection = Selection()
    joins: dict[str, None] = {}
    tag_filters: dict[Entity, list[Filter]] = {}
    for each in filters:
        if listed is Entity.EXECUTION and each.entity in TAGS:
            tag_filters.setdefault(each.entity, []).append(each)
            continue
        column = _column(each)
        joins |= dict.fromkeys(_joins(listed, each.entity, column))
        condition, parameters = _condition(each, column)
        selection = selection.having(condition, *parameters)
    for entity, group in tag_filters.items():
        condition, parameters = _has_tag(entity, group)
        selection = selection.having(condition, *parameters)
    return Selection(joins=tuple(joins), where=selection.where, parameters=selection.parameters)


def order_by(listed: Entity, sort: Sort, *, default: str = "") -> str:
    """Return the ORDER BY expression. Without a key: ``default``, else the order of storing.

    Raises:
        FilterError: the key is no column of the listed rows.
    """
    if not sort.key:
        return default or ROW_IDS[listed]
    columns = COLUMNS[listed]
    column = columns.get(sort.key)
    if column is None and listed in _EXECUTION_PREFIXED:
        column = columns.get(EXECUTION_FIELDS.get(sort.key, ""))
    if column is None or column.join:
        raise FilterError(f"{sort.key!r} is an invalid sort key for a list of {listed.value}")
    direction = "ASC" if sort.direction == Sort.ASCENDING else "DESC"
    return f"{column.place} {direction}, {ROW_IDS[listed]} {direction}"


def page(limit: int, token: str, *, unlimited_at_zero: bool = False) -> tuple[int, int]:
    """Return (limit, offset) of a list request.

    Raises:
        FilterError: the limit is 0 where it must be given, or the token is no offset.
    """
    if limit == 0 and not unlimited_at_zero:
        raise FilterError("limit must be greater than 0")
    if token and not (token.isascii() and token.isdigit() and len(token) <= 18):
        raise FilterError(f"token {token[:40]!r} is not an offset that an earlier page returned")
    return limit or ALL, int(token or "0")


def next_token(limit: int, offset: int, count: int) -> str:
    """Return the token of the next page: ``""`` unless this page is full (a full last page still gets one)."""
    return str(offset + count) if count and count == limit else ""


class ListRequest(Protocol):
    """The fields that every list request of Flyte has."""

    limit: int
    token: str
    filters: str

    @property
    def sort_by(self) -> Sort:
        """The key and direction to sort by."""
        ...


def list_selection(listed: Entity, request: ListRequest, *, default_order: str = "") -> Selection:
    """Return what a list request selects: filters, order and page together.

    Raises:
        FilterError: a part of the request cannot be understood.
    """
    limit, offset = page(request.limit, request.token, unlimited_at_zero=listed is Entity.PROJECT)
    selection = select(listed, parse_filters(listed, request.filters))
    order = order_by(listed, request.sort_by, default=default_order)
    return replace(selection, order_by=order, limit=limit, offset=offset)


def _parse_one(listed: Entity, expression: str) -> Filter:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise FilterError(f"{expression[:100]!r} is not a filter of the form name(field,value)")
    try:
        operator = Operator(match["operator"])
    except ValueError:
        known = ", ".join(each.value for each in Operator)
        raise FilterError(f"{match['operator']!r} is not a filter function; known are {known}") from None
    prefix, _, field = match["field"].strip().rpartition(".")
    entity = _entity(prefix, expression) if prefix else listed
    reachable = entity is listed or (listed, entity) in JOINS or (listed is Entity.EXECUTION and entity in TAGS)
    if not reachable:
        raise FilterError(f"a list of {listed.value} cannot be filtered by {entity.value}")
    if entity in _EXECUTION_PREFIXED:
        field = EXECUTION_FIELDS.get(field, field)
    return Filter(operator=operator, entity=entity, field=field, text=match["value"])


def _entity(prefix: str, expression: str) -> Entity:
    try:
        return Entity(prefix)
    except ValueError:
        raise FilterError(f"{prefix!r} in {expression[:100]!r} is an invalid filter entity") from None


def _column(each: Filter) -> Column:
    column = COLUMNS[each.entity].get(each.field)
    if column is None:
        raise FilterError(f"{each.entity.value}.{each.field} is an invalid filter")
    return column


def _joins(listed: Entity, entity: Entity, column: Column) -> Iterable[str]:
    if entity is not listed:
        yield from JOINS[listed, entity]
    if column.join and column.join not in JOINS.get((listed, entity), ()):
        yield column.join


def _condition(each: Filter, column: Column) -> tuple[str, tuple[SqlValue, ...]]:
    place = column.place
    match each.operator:
        case Operator.CONTAINS:
            return f"instr({place}, ?) > 0", (each.text,)
        case Operator.NOT_LIKE:
            return f"{place} NOT LIKE ?", (each.text,)
        case Operator.IN | Operator.NOT_IN:
            values = tuple(_value(each, column, text) for text in each.text.split(";"))
            if len(values) > _MAX_BOUND_VALUES:
                raise FilterError(f"{each.operator.value} takes at most {_MAX_BOUND_VALUES} values")
            negation = "NOT " if each.operator is Operator.NOT_IN else ""
            return f"{place} {negation}IN ({', '.join('?' * len(values))})", values
        case comparison:
            return f"{place} {_COMPARISONS[comparison]} ?", (_value(each, column, each.text),)


def _has_tag(entity: Entity, group: list[Filter]) -> tuple[str, tuple[SqlValue, ...]]:
    """All tag filters of one request speak about one and the same tag, as with Flyte's join."""
    conditions = ["tag.execution_id = executions.id"]
    if entity is Entity.ADMIN_TAG:
        conditions.append("tag.value = ''")
    parameters: list[SqlValue] = []
    for each in group:
        condition, values = _condition(each, _column(each))
        conditions.append(condition)
        parameters.extend(values)
    return f"EXISTS (SELECT 1 FROM {TAGS[entity]} AS tag WHERE {' AND '.join(conditions)})", tuple(parameters)


def _value(each: Filter, column: Column, text: str) -> SqlValue:
    try:
        return _READERS[column.kind](text)
    except ValueError:
        raise FilterError(f"{text[:100]!r} cannot be compared with {each.entity.value}.{each.field}") from None


def _read_number(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError(text)
    return number


def _read_time(text: str) -> str:
    """RFC 3339 with any number of fraction digits (Go writes nine, Python before 3.11 reads three or six)."""
    match = re.fullmatch(
        r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|z|[+-]\d{2}:\d{2})?)?", text.strip()
    )
    if match is None:
        raise ValueError(text)
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    instant = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}.{(fraction or '0')[:6]:0<6}{offset}")
    try:
        return to_text(instant.astimezone(timezone.utc))
    except OverflowError:  # the first or the last day there is
        raise ValueError(text) from None


_GO_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_GO_DURATION = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)")


def _read_duration(text: str) -> int:
    try:
        nanoseconds = round(float(text) * 10**9)
    except (ValueError, OverflowError):
        nanoseconds = _read_go_duration(text)
    return _read_number(str(nanoseconds))


def _read_go_duration(text: str) -> int:
    body = text.lstrip("+-")
    parts = _GO_DURATION.findall(body)
    if not parts or "".join(parts) != body or len(body) < len(text) - 1:
        raise ValueError(text)
    total = 0
    for part in parts:
        number, unit = re.fullmatch(r"([\d.]+)(\D+)", part).groups()  # type: ignore[union-attr]  # matched above
        total += round(float(number) * _GO_UNITS_NS[unit])
    return -total if text.startswith("-") else total


_READERS: Mapping[ColumnKind, Callable[[str], SqlValue]] = {
    ColumnKind.TEXT: str,
    ColumnKind.NUMBER: _read_number,
    ColumnKind.TIME: _read_time,
    ColumnKind.DURATION: _read_duration,
}
