"""The one module that knows how OmegaConf keeps a node.

Its rule: nodes are read from, and restored to, the state that OmegaConf itself pickles and copies (``_metadata``,
``_content`` or ``_val``, ``_parent``); the first node of every form comes from the public constructor, later ones are
copies of its state. Two reasons, each with a test on both OmegaConf lines:

* the public interface does not tell annotations, optionality, flags and union wrappers, so no trip through it can be
  lossless (``OmegaConf.create(OmegaConf.to_container(cfg))`` loses all of them);
* it validates every leaf again: 69 ms for 1,000 leaves against 2 ms from the state (OmegaConf 2.3.1, Python 3.11).
"""

from __future__ import annotations

import pathlib
import typing
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import omegaconf
import omegaconf.nodes
from omegaconf import (
    AnyNode,
    BooleanNode,
    BytesNode,
    DictConfig,
    EnumNode,
    FloatNode,
    IntegerNode,
    ListConfig,
    Node,
    PathNode,
    StringNode,
)
from omegaconf.base import Container, UnionNode

# OmegaConf 2.4 has three more kinds of nodes.
TupleConfig: type[Any] | None = getattr(omegaconf, "TupleConfig", None)
_LiteralNode: type[Any] | None = getattr(omegaconf.nodes, "LiteralNode", None)
_NoneNode: type[Any] | None = getattr(omegaconf.nodes, "NoneNode", None)

LEAF_KINDS: dict[type[Any], str] = {
    AnyNode: "any",
    IntegerNode: "int",
    FloatNode: "float",
    BooleanNode: "bool",
    StringNode: "str",
    BytesNode: "bytes",
    PathNode: "path",
    EnumNode: "enum",
}
if _LiteralNode is not None:
    LEAF_KINDS[_LiteralNode] = "literal"
if _NoneNode is not None:
    LEAF_KINDS[_NoneNode] = "none"

BOX_KINDS: dict[type[Any], str] = {DictConfig: "dict", ListConfig: "list", UnionNode: "union"}
if TupleConfig is not None:
    BOX_KINDS[TupleConfig] = "tuple"

_LEAF_CLASSES = {kind: cls for cls, kind in LEAF_KINDS.items()}
_VALUE_TYPES = {"int": int, "float": float, "bool": bool, "str": str, "bytes": bytes, "path": pathlib.Path}

Flags = Mapping[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFacts:
    """What a container's metadata says, apart from its place.

    Attributes:
        kind: ``dict``, ``list``, ``tuple`` or ``union``.
        ref_type: the annotation that the value must fit.
        object_type: the schema class, or ``dict``, ``list``, ``tuple``; ``None`` where there is no value.
        key_type, element_type: what keys and elements must be; ``None`` for unions.
        optional: whether ``None`` fits.
        flags: own flags, sorted by name.
    """

    kind: str
    ref_type: Any
    object_type: Any
    key_type: Any
    element_type: Any
    optional: bool
    flags: tuple[tuple[str, bool], ...]


def plain_facts(kind: str, *, has_value: bool = True) -> BoxFacts:
    """Return the facts that ``OmegaConf.create`` gives a container without a schema."""
    ref_type = typing.Tuple[Any, ...] if kind == "tuple" else Any  # noqa: UP006  # OmegaConf compares with this
    return BoxFacts(
        kind=kind,
        ref_type=ref_type,
        object_type={"dict": dict, "list": list, "tuple": tuple}[kind] if has_value else None,
        key_type=Any if kind == "dict" else int,
        element_type=Any,
        optional=True,
        flags=(),
    )


def facts_of(node: Any, kind: str, flags: Mapping[str, bool | None]) -> BoxFacts:
    """Read the facts of a container; ``flags`` replaces its own ones."""
    metadata = node._metadata
    return BoxFacts(
        kind=kind,
        ref_type=metadata.ref_type,
        object_type=metadata.object_type,
        key_type=getattr(metadata, "key_type", None),
        element_type=getattr(metadata, "element_type", None),
        optional=metadata.optional,
        flags=sorted_flags(flags),
    )


def sorted_flags(flags: Mapping[str, bool | None]) -> tuple[tuple[str, bool], ...]:
    """Return the flags that are set, in an order that does not depend on when they were set."""
    return tuple(sorted((name, value) for name, value in flags.items() if value is not None))


def effective_flags(node: Any) -> dict[str, bool]:
    """Return the flags that hold for ``node``, its ancestors' included: they stay behind when it travels alone."""
    flags: dict[str, bool] = {}
    current = node
    while current is not None:
        for name, value in current._metadata.flags.items():
            if value is not None:
                flags.setdefault(name, value)
        current = None if current._metadata.flags_root else current._parent
    return flags


class Mould:
    """Makes nodes that differ only in key, parent and value.

    Args:
        prototype: a node of that form, made by the public constructor.
        changes: metadata that differs from the prototype's.
    """

    __slots__ = ("_class", "_flags", "_metadata", "_metadata_class", "_state")

    def __init__(self, prototype: Node, changes: Mapping[str, Any]) -> None:
        self._class = type(prototype)
        self._metadata_class = type(prototype._metadata)
        self._metadata = {**vars(prototype._metadata), **changes}
        self._flags: dict[str, bool] = dict(self._metadata["flags"])
        self._state = {**vars(prototype), "_flags_cache": None}

    def leaf(self, value: Any, key: Any, parent: Any) -> Any:
        """Return a new leaf that holds ``value``."""
        node = object.__new__(self._class)
        state = node.__dict__
        state.update(self._state)
        state["_metadata"] = self._new_metadata(key)
        state["_parent"] = parent
        state["_val"] = value
        return node

    def box(self, content: Any, key: Any, parent: Any) -> Any:
        """Return a new container around ``content``, which the caller fills with nodes."""
        node = object.__new__(self._class)
        state = node.__dict__
        state.update(self._state)
        state["_metadata"] = self._new_metadata(key)
        state["_parent"] = parent
        state["_content"] = content
        return node

    def _new_metadata(self, key: Any) -> Any:
        metadata = object.__new__(self._metadata_class)
        state = metadata.__dict__
        state.update(self._metadata)
        state["key"] = key
        state["flags"] = self._flags.copy()
        state["resolver_cache"] = defaultdict(dict)
        return metadata


def leaf_mould(kind: str, *, annotation: Any, optional: bool, flags: Flags) -> Mould:
    """Return the mould of leaves of one kind; ``annotation`` is the enum or the ``Literal`` of those kinds.

    Raises:
        KeyError: if this OmegaConf has no such kind.
    """
    cls = _LEAF_CLASSES[kind]
    if kind == "enum":
        prototype = cls(enum_type=annotation)
    elif kind == "literal":
        prototype = cls(ref_type=annotation)
    else:
        prototype = cls()
    return Mould(prototype, {"optional": optional, "flags": dict(flags)})


def box_mould(facts: BoxFacts) -> Mould:
    """Return the mould of containers with these facts.

    Raises:
        KeyError: if this OmegaConf has no such kind.
    """
    changes = {
        "ref_type": facts.ref_type,
        "object_type": facts.object_type,
        "optional": facts.optional,
        "flags": dict(facts.flags),
    }
    if facts.kind == "union":
        return Mould(UnionNode(None, ref_type=facts.ref_type), changes)
    prototype = {kind: cls for cls, kind in BOX_KINDS.items()}[facts.kind](content=None)
    return Mould(prototype, {**changes, "key_type": facts.key_type, "element_type": facts.element_type})


def fits(kind: str, value: Any, annotation: Any) -> bool:
    """Say whether a leaf of that kind can hold ``value`` (``None`` and special strings aside)."""
    if kind in _VALUE_TYPES:
        expected = _VALUE_TYPES[kind]
        return isinstance(value, expected) if kind in ("path", "str") else type(value) is expected
    if kind == "enum":
        return isinstance(value, annotation)
    if kind == "literal":
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(annotation))
    return kind == "any"


def is_known(kind: str) -> bool:
    """Say whether this OmegaConf has nodes of that kind."""
    return kind in LEAF_KINDS.values() or kind in BOX_KINDS.values()


def is_special(value: Any) -> bool:
    """Say whether a string stands for something else: MISSING or an interpolation."""
    return type(value) is str and (value == "???" or "${" in value)


def escaped_missing(text: str) -> Any:
    """Return OmegaConf 2.4's string that reads ``???`` without being MISSING; before 2.4 there is none."""
    escaped = StringNode("\\" + text)._val  # the public way to write one: with a backslash more
    return escaped if is_escaped_missing(escaped) else text


def is_escaped_missing(value: Any) -> bool:
    """Say whether ``value`` is such a string."""
    return type(value).__name__ == "_EscapedMissing" and isinstance(value, str)


def is_config(value: object) -> bool:
    """Say whether ``value`` is an OmegaConf container."""
    return isinstance(value, Container)


def is_enum(value: object) -> bool:
    """Say whether ``value`` is a member of an enum."""
    return isinstance(value, Enum)
