"""What "the same version" means: digests of messages, and where two messages differ.

The one rule: equal content gives equal digests, whatever the order of maps or the fields this release does not
know. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

from google.protobuf.message import Message

_MAX_LINES = 10
_MAX_VALUE_LENGTH = 80
_ABSENT = "nothing"


def digest(*messages: Message) -> bytes:
    """Return 32 bytes that are equal exactly for equal messages."""
    total = hashlib.sha256()
    for message in messages:
        known = type(message)()
        known.CopyFrom(message)
        known.DiscardUnknownFields()
        content = known.SerializeToString(deterministic=True)
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.digest()


def differences(stored: Message, offered: Message) -> str:
    """Return one line per differing field, ``path: <stored> -> <offered>``, the first ten of them.

    >>> from flyteidl.core.identifier_pb2 import Identifier
    >>> differences(Identifier(name="a"), Identifier(name="b", version="1"))
    "name: 'a' -> 'b'\\nversion: nothing -> '1'"
    """
    lines = list(islice(_differences(stored, offered, ""), _MAX_LINES + 1))
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = ["… and more"]
    return "\n".join(lines)


def _differences(stored: Message, offered: Message, path: str) -> Iterator[str]:
    ours = {field.name: value for field, value in stored.ListFields()}
    theirs = {field.name: value for field, value in offered.ListFields()}
    for field in stored.DESCRIPTOR.fields:
        here = f"{path}.{field.name}" if path else field.name
        left, right = ours.get(field.name), theirs.get(field.name)
        if left is None and right is None:
            continue
        if left is None or right is None:
            yield _line(here, left, right)
        elif _is_map(field):
            yield from _map_differences(left, right, here)
        elif isinstance(left, Message):
            yield from _differences(left, right, here)
        elif _is_repeated(left):
            yield from _list_differences(left, right, here)
        elif left != right:
            yield _line(here, left, right)


def _map_differences(stored: Any, offered: Any, path: str) -> Iterator[str]:  # protobuf's map containers
    for key in sorted({*stored, *offered}, key=str):
        yield from _value_differences(stored.get(key), offered.get(key), f"{path}[{key!r}]")


def _list_differences(stored: Any, offered: Any, path: str) -> Iterator[str]:  # protobuf's repeated containers
    for index, (left, right) in enumerate(zip_longest(stored, offered)):
        yield from _value_differences(left, right, f"{path}[{index}]")


def _value_differences(left: Any, right: Any, path: str) -> Iterator[str]:  # a message, a scalar or None
    if isinstance(left, Message) and isinstance(right, Message):
        yield from _differences(left, right, path)
    elif left != right:
        yield _line(path, left, right)


def _line(path: str, left: Any, right: Any) -> str:  # a message, a container, a scalar or None
    return f"{path}: {_shown(left)} -> {_shown(right)}"


def _shown(value: Any) -> str:  # a message, a container, a scalar or None
    if value is None:
        return _ABSENT
    text = " ".join(str(value).split()) if isinstance(value, Message) else repr(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"


def _is_map(field: Any) -> bool:  # a field descriptor, of protobuf's C or Python implementation
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_repeated(value: Any) -> bool:  # a scalar or protobuf's repeated container
    return not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
