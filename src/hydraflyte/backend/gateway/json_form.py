"""Messages as JSON and back, in the form that grpc-gateway gives them on a Flyte cluster. Pure.

The one rule: what is not set is written too (``EmitUnpopulated``): numbers and texts as their zero, lists and
maps empty, messages as null; only members of a oneof are left out. protobuf's own writer leaves all of it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_DEEPEST = 100  # as protobuf's binary reader
_WELL_KNOWN = "google.protobuf."  # their JSON is not an object with their fields
_LARGE = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})  # written as texts

Content = dict[str, Any]  # JSON objects are open


class JsonError(ValueError):
    """A body is not the JSON of its message, or a message has no JSON form; the text says why."""


def read_json(body: bytes, message: Message, *, ignore_unknown: bool) -> None:
    """Read a JSON object into an empty message. Names may be flyteidl's or their camelCase form.

    Raises:
        JsonError: the body is no JSON, too deep, or does not fit the message.
    """
    try:
        content = json.loads(body, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise JsonError("the body is not a JSON object")
    try:
        json_format.ParseDict(content, message, ignore_unknown_fields=ignore_unknown, max_recursion_depth=_DEEPEST)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # The library lets a few of Python's own errors through where a value is of a wrong kind.
        raise JsonError(f"the body is not the JSON of {message.DESCRIPTOR.full_name}: {str(error)[:500]}") from error


def write_json(message: Message, *, proto_names: bool) -> bytes:
    """Return the message as a JSON object.

    Args:
        proto_names: whether fields are called as in flyteidl (``max_parallelism``), else in camelCase.

    Raises:
        JsonError: it holds something JSON has no form for (an infinite number in a struct, a year above 9999).
    """
    try:
        content: Content = json_format.MessageToDict(message, preserving_proto_field_name=proto_names)
    except (json_format.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise JsonError(f"{message.DESCRIPTOR.full_name} has no JSON form: {str(error)[:200]}") from error
    _complete(message, content, proto_names)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _object(pairs: list[tuple[str, Any]]) -> Content:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _complete(message: Message, content: Content, proto_names: bool) -> None:
    """Add what is not set to the JSON of a message, on all levels."""
    fields: Iterable[Any] = message.DESCRIPTOR.fields  # the stubs know two classes of descriptors
    for field in fields:
        name = field.name if proto_names else field.json_name
        if name in content:
            if field.message_type is not None:
                _complete_value(getattr(message, field.name), field.message_type, content[name], proto_names)
        elif field.containing_oneof is None:
            content[name] = _unset(message, field)


def _complete_value(value: Any, kind: Descriptor, content: Any, proto_names: bool) -> None:
    if kind.GetOptions().map_entry:
        _complete_map(value, kind, content, proto_names)
    elif kind.full_name.startswith(_WELL_KNOWN):
        return
    elif isinstance(value, MutableSequence):
        for item, item_content in zip(value, content, strict=True):
            _complete(item, item_content, proto_names)
    else:
        _complete(value, content, proto_names)


def _complete_map(entries: Mapping[Any, Any], kind: Descriptor, content: Content, proto_names: bool) -> None:
    of = kind.fields_by_name["value"].message_type
    if of is None or of.full_name.startswith(_WELL_KNOWN):
        return
    for key, value in entries.items():
        _complete(value, content[str(key).lower() if isinstance(key, bool) else str(key)], proto_names)


def _unset(message: Message, field: FieldDescriptor) -> Any:  # the JSON of a value that was not set
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {}
    value = getattr(message, field.name)
    if isinstance(value, MutableSequence):
        return []
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values_by_number[0].name
    if isinstance(value, bytes):
        return ""
    return str(value) if field.cpp_type in _LARGE else value
