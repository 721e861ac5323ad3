"""The literals of flytekitplugins-omegaconf: read without its importing and unpickling, written by the plugin itself.

Such a literal is a Struct with a description of the type and a whole Flyte literal per value, all of it flattened to
keys with dots. Literals say by themselves what they hold, so only enums and the schema need a class by name, and that
comes from the ``ClassFinder`` as everywhere. A pickled value is refused: it names a file of the machine that wrote it,
and reading it would run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flytekitplugins.omegaconf
from flyteidl.core import literals_pb2
from flytekitplugins.omegaconf.config import OmegaConfTransformerMode
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.transport.classes import ClassFinder
from hydraflyte.transport.decode import decode
from hydraflyte.transport.document import from_plain, unpack
from hydraflyte.transport.errors import TransportError, damaged
from hydraflyte.transport.settings import active_settings

_MISSING_MARK = "MISSING"
_SCHEMA = "base_dataclass"


def is_older_literal(data: Mapping[str, Any]) -> bool:
    """Say whether a Struct was written by the older plugin, as far as its keys tell."""
    if _SCHEMA in data:
        return isinstance(data[_SCHEMA], str)
    return data.keys() == {"types", "values"} and isinstance(data["types"], list)


def keeps_schemas() -> bool:
    """Say whether schemas are wanted: not if a script asked the older plugin for its DictConfig mode."""
    mode = flytekitplugins.omegaconf.get_transformer_mode()
    return bool(mode is not OmegaConfTransformerMode.DictConfig)


def must_find_schemas() -> bool:
    """Say whether scripts asked the older plugin to fail where a schema is not available."""
    mode = flytekitplugins.omegaconf.get_transformer_mode()
    return bool(mode is OmegaConfTransformerMode.DataClass)


def read_older_literal(data: Mapping[str, Any], finder: ClassFinder) -> Any:
    """Return the config that an older literal holds, as a ``DictConfig`` or a ``ListConfig``.

    Raises:
        TransportError: if it is damaged, or holds a pickled value.
    """
    try:
        return _read(data, finder, 0)
    except (OmegaConfBaseException, KeyError, ParseError, TypeError, ValueError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise damaged(
            f"as a literal of flytekitplugins-omegaconf it has {type(error).__name__}: {first_line}"
        ) from error


_DEEPEST = 60  # below OmegaConf's own limit


def _read(data: Any, finder: ClassFinder, depth: int) -> Any:
    if depth > _DEEPEST:
        raise damaged(f"it is nested deeper than {_DEEPEST} levels")
    nested = _unflatten(data)
    types, values = nested.get("types", {}), nested.get("values", {})
    if isinstance(types, list):
        pairs = zip(types, values, strict=True)
        return OmegaConf.create([_value(kind, value, finder, depth) for kind, value in pairs])
    if not (isinstance(types, dict) and isinstance(values, dict)):
        raise damaged("its types or values are no map")
    content = {key: _value(kind, values.get(key), finder, depth) for key, kind in types.items()}
    return _with_schema(nested[_SCHEMA], content, finder)


def _with_schema(reference: Any, content: dict[str, Any], finder: ClassFinder) -> Any:
    if not isinstance(reference, str):
        raise damaged("its schema has no name")
    if reference == "builtins.dict":
        return OmegaConf.create(content)
    module, _, name = reference.rpartition(".")
    schema = finder.find_structured(module, name)
    if schema is None:
        return OmegaConf.create(content)
    config = OmegaConf.structured(schema)
    with_flags = OmegaConf.create(content)
    return OmegaConf.merge(config, with_flags)


def _value(kind: Any, value: Any, finder: ClassFinder, depth: int) -> Any:
    """Return the value of one entry; ``kind`` is the dotted name of its type."""
    if kind == _MISSING_MARK:
        return MISSING
    if not (isinstance(kind, str) and isinstance(value, Mapping)):
        raise damaged("a value has no type, or a type no value")
    literal = ParseDict(dict(value), literals_pb2.Literal())
    return _literal_value(kind, literal, finder, depth)


def _literal_value(kind: str, literal: Any, finder: ClassFinder, depth: int) -> Any:
    scalar = literal.scalar
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive(kind, scalar.primitive, finder)
        case "none_type":
            return None
        case "union":
            return _literal_value(kind, scalar.union.value, finder, depth)
        case "binary":  # dataclasses of dataclasses_json, which flytekit itself writes
            settings = active_settings()
            plain = unpack(scalar.binary.value, scalar.binary.tag, settings)
            return decode(from_plain(plain), finder=finder, settings=settings)
        case "generic":
            data = MessageToDict(scalar.generic)
            return _read(data, finder, depth + 1) if "types" in _unflatten(data) else whole_numbers(data)
        case "blob":
            raise TransportError(
                f"The literal holds a {kind} that flytekitplugins-omegaconf pickled to {scalar.blob.uri!r}; "
                "unpickling runs code, and the file lies on the machine that wrote it.",
                hint="write the config again with hydraflyte, which keeps paths, bytes and tuples in the literal",
            )
    raise damaged(f"a {kind} is written as {literal.WhichOneof('value')} {scalar.WhichOneof('value')}")


def _primitive(kind: str, primitive: Any, finder: ClassFinder) -> Any:
    name = primitive.WhichOneof("value")
    if name not in ("integer", "float_value", "string_value", "boolean"):
        raise damaged(f"a {kind} is written as {name}, which no config holds")
    value = getattr(primitive, name)
    if name != "string_value" or kind.startswith("builtins.") or "[" in kind:
        return value
    module, _, class_name = kind.rpartition(".")
    enum_class = finder.find_enum(module, class_name)
    return value if enum_class is None else enum_class(value)


def _unflatten(data: Any) -> dict[str, Any]:
    """Undo the dots: ``{"a.b": 1}`` is ``{"a": {"b": 1}}``."""
    if not isinstance(data, Mapping):
        raise damaged("a config is no map")
    nested: dict[str, Any] = {}
    for key, value in data.items():
        place = nested
        *path, last = key.split(".")
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise damaged(f"{key!r} is below a value")
        place[last] = value
    return nested


def whole_numbers(value: Any) -> Any:
    """Return ``value`` with whole floats as ints: a Struct knows only floats, and a person who types 3 means 3."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return value
