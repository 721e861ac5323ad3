"""The shapes of a document, read and checked: what kind of node each value becomes.

Its rule: a shape refers to smaller numbers only, so that shapes cannot form a circle, and says nothing that is taken
on trust. Nodes that an older OmegaConf does not have become plain ones.
"""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from hydraflyte.transport.annotations import UNAVAILABLE, rebuild
from hydraflyte.transport.classes import ClassFinder
from hydraflyte.transport.encode import Plain
from hydraflyte.transport.errors import damaged
from hydraflyte.transport.nodes import (
    BoxFacts,
    Mould,
    box_mould,
    escaped_missing,
    fits,
    is_known,
    is_special,
    leaf_mould,
    plain_facts,
    sorted_flags,
)

LEAF_TYPES = frozenset({type(None), bool, int, float, str, bytes})


class LeafShape:
    """The shape of a value."""

    __slots__ = ("_annotation", "_convert", "_kind", "mould")

    def __init__(self, *, kind: str, annotation: Any, mould: Mould, convert: Callable[[Plain], Any] | None) -> None:
        self._kind = kind
        self._annotation = annotation
        self._convert = convert
        self.mould = mould

    def value(self, plain: Plain) -> Any:
        """Return the value that ``plain`` stands for, checked against the kind of node that will hold it."""
        if type(plain) not in LEAF_TYPES:
            raise damaged(f"a value is written as {type(plain).__name__}")
        value = plain if self._convert is None else self._convert(plain)
        if value is None or is_special(value):
            return value
        if type(value) is int and self._kind == "float":
            return float(value)  # numbers that were edited as JSON
        if not fits(self._kind, value, self._annotation):
            raise damaged(f"{str(value)[:100]!r} is no {self._kind}")
        return value


class BoxShape:
    """The shape of a container or of a union."""

    __slots__ = ("_moulds", "each", "facts", "fields", "inner", "kind", "names", "pairs")

    def __init__(self, shape: Mapping[str, Any], number: int, facts: BoxFacts | None) -> None:
        self.kind: str = shape["node"]
        self.facts = facts
        self.fields = _numbers(shape.get("fields", {}), number, positions=self.kind != "dict" or "pairs" in shape)
        self.names = _numbers(shape.get("names", {}), number, positions="pairs" in shape)
        self.each = _number(shape.get("each", 0), number)
        self.inner = _number(shape["inner"], number) if "inner" in shape else None
        self.pairs = "pairs" in shape
        self._moulds: dict[bool, Mould] = {}

    def mould(self, *, has_value: bool = True) -> Mould:
        if has_value not in self._moulds:
            assert self.facts is not None, "a union without its annotation makes no nodes"
            facts = self.facts
            if not has_value and facts.kind != "union" and facts.object_type in (dict, list, tuple):
                facts = _without_value(facts)
            self._moulds[has_value] = box_mould(facts)
        return self._moulds[has_value]


def _without_value(facts: BoxFacts) -> BoxFacts:
    return BoxFacts(
        kind=facts.kind,
        ref_type=facts.ref_type,
        object_type=None,
        key_type=facts.key_type,
        element_type=facts.element_type,
        optional=facts.optional,
        flags=facts.flags,
    )


def read_shape(shape: Any, number: int, finder: ClassFinder) -> LeafShape | BoxShape:
    if not isinstance(shape, dict) or not isinstance(shape.get("node"), str):
        raise damaged(f"shape {number} is not readable")
    if shape["node"] in _NEWER and not is_known(shape["node"]):
        shape = _without_newer(shape, finder)
    try:
        if shape["node"] in ("dict", "list", "tuple", "union"):
            return BoxShape(shape, number, _box_facts(shape, finder))
        return _read_leaf(shape, finder)
    except KeyError as error:
        raise damaged(f"shape {number}, a {shape['node']!r}, is of a newer OmegaConf or forged ({error})") from error


_NEWER = {"tuple": "list", "literal": "any", "none": "any"}
"""Nodes that OmegaConf has since 2.4, and what stands for them where it is older."""


def _without_newer(shape: Mapping[str, Any], finder: ClassFinder) -> dict[str, Any]:
    finder.miss(f"a {shape['node']} node of OmegaConf 2.4")
    dropped = ("ref_type", "object_type", "type")
    return {**{name: item for name, item in shape.items() if name not in dropped}, "node": _NEWER[shape["node"]]}


def _read_leaf(shape: Mapping[str, Any], finder: ClassFinder) -> LeafShape:
    kind: str = shape["node"]
    annotation = rebuild(shape["type"], finder) if "type" in shape else None
    convert = _converter(shape, finder)
    if kind in ("enum", "literal"):
        is_enum = isinstance(annotation, type) and issubclass(annotation, enum.Enum)
        is_fitting = is_enum if kind == "enum" else not isinstance(annotation, type)
        if annotation is UNAVAILABLE:
            kind, annotation = "any", None
        elif annotation is None or not is_fitting:
            raise damaged(f"a {kind} has no annotation that fits")
    mould = leaf_mould(kind, annotation=annotation, optional=_optional(shape), flags=dict(_flags(shape)))
    return LeafShape(kind=kind, annotation=annotation, mould=mould, convert=convert)


def _box_facts(shape: Mapping[str, Any], finder: ClassFinder) -> BoxFacts | None:
    kind: str = shape["node"]
    optional, flags = _optional(shape), _flags(shape)
    if kind == "union":
        ref_type = rebuild(shape["ref_type"], finder)
        if ref_type is UNAVAILABLE:
            return None
        return BoxFacts(
            kind=kind,
            ref_type=ref_type,
            object_type=None,
            key_type=None,
            element_type=None,
            optional=optional,
            flags=flags,
        )
    usual = plain_facts(kind)
    found = {}
    for name in ("ref_type", "key_type", "element_type"):
        annotation = rebuild(shape[name], finder) if name in shape else getattr(usual, name)
        found[name] = getattr(usual, name) if annotation is UNAVAILABLE else annotation
    found["object_type"] = _object_type(shape, usual, finder)
    if not (found["key_type"] is Any or isinstance(found["key_type"], type)):
        raise damaged("the type of keys is no class")
    return BoxFacts(kind=kind, optional=optional, flags=flags, **found)


def _object_type(shape: Mapping[str, Any], usual: BoxFacts, finder: ClassFinder) -> Any:
    """Return what ``OmegaConf.to_object`` will make of the node: only a schema may stand for a dict."""
    described = shape.get("object_type")
    if described is None or described == usual.kind:
        return usual.object_type
    if described == "unset":
        return None
    if usual.kind == "dict" and isinstance(described, list) and len(described) == 3 and described[0] == "class":
        return finder.find_structured(described[1], described[2]) or usual.object_type
    raise damaged(f"a {usual.kind} cannot stand for {str(described)[:100]}")


def _optional(shape: Mapping[str, Any]) -> bool:
    optional = shape.get("optional", True)
    if not isinstance(optional, bool):
        raise damaged("'optional' is not true or false")
    return optional


def _flags(shape: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
    flags = shape.get("flags", {})
    if not isinstance(flags, dict):
        raise damaged("flags are not readable")
    if not all(isinstance(name, str) and isinstance(value, bool) for name, value in flags.items()):
        raise damaged("flags are not readable")
    return sorted_flags(flags)


def _converter(shape: Mapping[str, Any], finder: ClassFinder) -> Callable[[Plain], Any] | None:
    how = shape.get("value")
    if how is None:
        return None
    if how == "enum":
        return _enum_converter(shape, finder)
    if how == "interpolation":
        text = shape["text"]
        if not is_special(text):
            raise damaged("an interpolation is none")
        return lambda plain: text
    if not isinstance(how, str) or how not in _CONVERTERS:
        raise damaged(f"{str(how)[:50]!r} is no way to write a value")
    return _CONVERTERS[how]


def _enum_converter(shape: Mapping[str, Any], finder: ClassFinder) -> Callable[[Plain], Any]:
    reference, name = shape["enum"], shape["name"]
    if not (isinstance(reference, list) and len(reference) == 2 and isinstance(name, str)):
        raise damaged("an enum is not readable")
    cls = finder.find_enum(reference[0], reference[1])
    if cls is None:
        return lambda plain: name
    if name not in cls.__members__:
        raise damaged(f"{cls.__qualname__} has no member {name!r}: the code here differs from where it was written")
    return lambda plain: cls[name]


def _to_int(plain: Plain) -> int:
    try:
        return int(plain, 0)
    except (TypeError, ValueError) as error:
        raise damaged("a large number is not readable") from error


def _to_text(plain: Plain) -> str:
    if not isinstance(plain, bytes):
        raise damaged("a text is not readable")
    try:
        return plain.decode(errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise damaged("a text is not readable") from error


def _to_path(plain: Plain) -> pathlib.Path:
    text = plain if isinstance(plain, str) else _to_text(plain)
    return pathlib.Path(text)


def _to_escaped(plain: Plain) -> Any:
    if not isinstance(plain, str):
        raise damaged("a text is not readable")
    return escaped_missing(plain)


_CONVERTERS: dict[str, Callable[[Plain], Any]] = {
    "int": _to_int,
    "text": _to_text,
    "path": _to_path,
    "escaped": _to_escaped,
}


def _numbers(table: Any, owner: int, *, positions: bool) -> dict[Any, int]:
    if not isinstance(table, dict):
        raise damaged("a table of shapes is none")
    return {(_position(key) if positions else key): _number(number, owner) for key, number in table.items()}


def _position(key: Any) -> int:
    if isinstance(key, str) and key.isdecimal() and len(key) < 20:  # JSON has only text as keys
        return int(key)
    return _number(key, None)


def _number(number: Any, owner: int | None) -> int:
    if isinstance(number, float) and number.is_integer():  # JSON has only floats
        number = int(number)
    if type(number) is not int or number < 0 or (owner is not None and number >= owner):
        raise damaged(f"shape {owner} refers to {str(number)[:50]!r}")
    return number
