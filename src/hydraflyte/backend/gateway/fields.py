"""Texts of a path or a query into the fields of a request, as grpc-gateway reads them. Pure.

The one rule: a text that does not fit its field is refused by the field's name; a query parameter that names no
field is left out, as grpc-gateway does, because clients send such ones.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from hydraflyte.backend.gateway.rules import FieldPath

_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""What Go's ``strconv.ParseBool`` reads."""


class FieldError(ValueError):
    """A text does not fit the field it is meant for; the message names both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a value goes: a field of a message, and its path as flyteidl spells it."""

    owner: Message
    field: FieldDescriptor
    path: FieldPath


def fill_from_path(message: Message, path: FieldPath, text: str) -> None:
    """Set the field that a path's segment stands for, replacing what it holds.

    Raises:
        FieldError: the text is no value of that field.
    """
    place = _find(message, path)
    assert place is not None, f"{path} is no field of {message.DESCRIPTOR.full_name}"
    _set(place, text)


def fill_from_query(message: Message, pairs: Iterable[tuple[str, str]], bound: Sequence[FieldPath]) -> None:
    """Set the fields that query parameters name, by flyteidl's names or their JSON forms, dots between levels.

    Args:
        bound: fields that the path has filled; the query cannot change them.

    Raises:
        FieldError: a text is no value of its field, or a field that holds one value is given twice.
    """
    seen: set[FieldPath] = set()
    for name, text in pairs:
        place = _find(message, tuple(name.split(".")))
        if place is None or any(place.path[: len(each)] == each for each in bound):
            continue
        if _is_list(place.owner, place.field):
            _append(place, text)
        elif place.path in seen:
            raise FieldError(f"{name} is given twice")
        else:
            _set(place, text)
        seen.add(place.path)


def _find(message: Message, path: FieldPath) -> _Place | None:
    """Return where the path leads; None if there is no such field, or one that is no single value or list."""
    proper: tuple[str, ...] = ()
    for depth, name in enumerate(path, start=1):
        descriptor: Any = message.DESCRIPTOR  # the stubs know two classes of descriptors
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        if field is None or _is_map(field):
            return None
        proper += (field.name,)
        if depth == len(path):
            return _Place(owner=message, field=field, path=proper)
        if field.message_type is None or _is_list(message, field):
            return None
        message = getattr(message, field.name)
    return None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_list(owner: Message, field: FieldDescriptor) -> bool:
    return isinstance(getattr(owner, field.name), MutableSequence)


def _set(place: _Place, text: str) -> None:
    if place.field.message_type is not None:
        _parse_message(getattr(place.owner, place.field.name), text, place)
        return
    try:
        setattr(place.owner, place.field.name, _value(place.field, text))
    except ValueError as error:
        raise _misfit(place, text) from error


def _append(place: _Place, text: str) -> None:
    values = getattr(place.owner, place.field.name)
    if place.field.message_type is not None:
        _parse_message(values.add(), text, place)
        return
    try:
        values.append(_value(place.field, text))
    except ValueError as error:
        raise _misfit(place, text) from error


def _misfit(place: _Place, text: str) -> FieldError:
    return FieldError(f"{'.'.join(place.path)}: {text[:100]!r} is no value of this field")


def _parse_message(message: Message, text: str, place: _Place) -> None:
    """Read a Timestamp, a Duration or a wrapper; no other message has a form as one text."""
    try:
        json_format.Parse(json.dumps(text), message, max_recursion_depth=2)
    except (json_format.ParseError, ValueError, TypeError) as error:
        raise _misfit(place, text) from error


def _value(field: FieldDescriptor, text: str) -> Any:  # whatever Python type the field has
    """Return the text as a value of the field; raises ValueError if it is none."""
    if field.enum_type is not None:
        return _enum_number(field.enum_type, text)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _decoded(text)
    if field.cpp_type in _INTEGERS:
        if not _INTEGER.fullmatch(text):
            raise ValueError(text)
        return int(text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in _BOOLS:
            raise ValueError(text)
        return _BOOLS[text]
    return text if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else float(text)


def _enum_number(enum: EnumDescriptor, text: str) -> int:
    named = enum.values_by_name.get(text)
    if named is not None:
        return int(named.number)
    if not _INTEGER.fullmatch(text) or int(text) not in enum.values_by_number:
        raise ValueError(text)
    return int(text)


def _decoded(text: str) -> bytes:
    """Base64, in the ordinary or the URL alphabet, with or without padding."""
    try:
        ordinary = text.translate(str.maketrans("-_", "+/"))
        return base64.b64decode(ordinary + "=" * (-len(ordinary) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
