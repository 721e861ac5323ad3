"""Literals that are no config, but what is left of one: what the backend gives for an attribute of a promise.

``cfg.model.sizes`` in a workflow reaches the task as a collection of single values (flytepropeller,
``attr_path_resolver.go``: a list inside a msgpack value becomes a literal collection). Values carry their own types.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict

from hydraflyte.transport.document import unpack
from hydraflyte.transport.errors import damaged
from hydraflyte.transport.older_plugin import whole_numbers
from hydraflyte.transport.settings import TransportSettings

_PRIMITIVES = ("integer", "float_value", "string_value", "boolean")


def is_loose(literal: Any) -> bool:
    """Say whether a literal is a collection or a map of literals."""
    return literal.collection is not None or literal.map is not None


def plain_of(literal: Any, settings: TransportSettings, *, depth: int = 0) -> Any:
    """Return what a literal holds as plain data.

    Raises:
        TransportError: if it holds something that is no value of a config, such as a file.
    """
    if depth > settings.max_depth:
        raise damaged(f"it is nested deeper than {settings.max_depth} levels")
    if literal.collection is not None:
        return [plain_of(item, settings, depth=depth + 1) for item in literal.collection.literals]
    if literal.map is not None:
        return {key: plain_of(item, settings, depth=depth + 1) for key, item in literal.map.literals.items()}
    return _scalar(literal.scalar, settings, depth)


def _scalar(scalar: Any, settings: TransportSettings, depth: int) -> Any:
    if scalar is None or scalar.none_type is not None:
        return None
    if scalar.union is not None:
        return plain_of(scalar.union.value, settings, depth=depth + 1)
    if scalar.primitive is not None:
        found = [value for name in _PRIMITIVES if (value := getattr(scalar.primitive, name)) is not None]
        if found:
            return found[0]
    if scalar.binary is not None:
        return unpack(scalar.binary.value, scalar.binary.tag, settings)
    if scalar.generic is not None:
        return whole_numbers(MessageToDict(scalar.generic))
    raise damaged("it holds a literal that is no value of a config")
