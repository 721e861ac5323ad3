"""A config becomes a plain tree and the shapes that the tree cannot say.

The plain tree holds what a reader wants to see: values, in order. A shape says what kind of node a value came from;
shape 0, which is not written, is what ``OmegaConf.create`` makes of the value. Shapes are numbered as they appear, so
equal configs give equal documents.
"""

from __future__ import annotations

import pathlib
import typing
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import AnyNode, OmegaConf

from hydraflyte.transport.annotations import describe
from hydraflyte.transport.classes import class_reference
from hydraflyte.transport.errors import TransportError
from hydraflyte.transport.interpolations import NOTHING, Interpolations, Kept, Resolved
from hydraflyte.transport.nodes import (
    BOX_KINDS,
    LEAF_KINDS,
    BoxFacts,
    effective_flags,
    facts_of,
    fits,
    is_config,
    is_enum,
    is_escaped_missing,
    is_special,
    plain_facts,
    sorted_flags,
)
from hydraflyte.transport.settings import Resolve, TransportSettings

Plain = Any  # None, bool, int, float, str, bytes, and dicts and lists of them
_SAME_AS_PLAIN = frozenset({type(None), bool, float, bytes})
_SMALLEST_INT, _LARGEST_INT = -(2**63), 2**64 - 1
# Where shape 0 stands for the whole container. A tuple is none of them: plain data has only lists.
_PLAIN = {kind: plain_facts(kind) for kind in ("dict", "list")}
_DECIMAL_BITS = 10_000  # Python refuses to parse much longer decimal numbers; hexadecimal ones have no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A config as plain data.

    Attributes:
        tree: the values.
        shapes: shape ``n`` is item ``n - 1``; a shape refers only to smaller numbers.
        root: the shape of the whole.
    """

    tree: Plain
    shapes: list[dict[str, Any]] = field(default_factory=list)
    root: int = 0


def encode(config: Any, settings: TransportSettings) -> Document:
    """Turn a config into plain data. The config is not changed.

    Raises:
        TransportError: if it holds something that cannot travel, or exceeds the limits.
    """
    return _Encoder(config, settings).document()


class _Encoder:
    def __init__(self, config: Any, settings: TransportSettings) -> None:
        self._top = config
        self._settings = settings
        self._interpolations = Interpolations(top=config, mode=settings.resolve)
        self._ids: dict[Hashable, int] = {}
        self._shapes: list[dict[str, Any]] = []
        self._node_count = 1

    def document(self) -> Document:
        tree, root = self._node(self._top, 0)
        return Document(tree=tree, shapes=self._shapes, root=root)

    def _node(self, node: Any, depth: int) -> tuple[Plain, int]:
        cls = type(node)
        if cls is AnyNode:
            value = node._val
            if type(value) in _SAME_AS_PLAIN and not node._metadata.flags:
                return value, 0
        kind = BOX_KINDS.get(cls)
        if kind is None:
            return self._leaf(node, depth)
        if kind == "union":
            return self._union(node, depth)
        return self._container(node, kind, depth)

    # Containers

    def _container(self, node: Any, kind: str, depth: int) -> tuple[Plain, int]:
        content = node._content
        if depth > self._settings.max_depth:
            raise _too_deep(self._settings)
        if type(content) is str and "${" in content:
            outcome = self._outcome(node, content)
            if not isinstance(outcome, Kept):
                return self._resolved(outcome.value, depth)
        flags = effective_flags(node) if node is self._top else node._metadata.flags
        facts = facts_of(node, kind, flags)
        if isinstance(content, dict):
            return self._mapping(facts, content, depth)
        if isinstance(content, list):
            return self._sequence(facts, content, depth)
        return content, self._box_shape(facts, has_value=False)

    def _mapping(self, facts: BoxFacts, content: Mapping[Any, Any], depth: int) -> tuple[Plain, int]:
        self._count(len(content))
        names: dict[Any, int] = {}
        ids: list[int] = []
        keys: list[Any] = []
        values: list[Plain] = []
        needs_pairs = False
        for key, child in content.items():
            if type(key) is not str or not key.isascii():
                key, name_id = self._key(key)
                # NaN is not found again, and readers in Go have no bytes as keys.
                needs_pairs = needs_pairs or key != key or type(key) is bytes
                if name_id:
                    names[len(keys)] = name_id
            value, shape_id = self._node(child, depth + 1)
            keys.append(key)
            values.append(value)
            ids.append(shape_id)
        plain = dict(zip(keys, values, strict=True))
        if needs_pairs or len(plain) < len(keys):  # fewer: some look alike when plain
            pairs = [list(pair) for pair in zip(keys, values, strict=True)]
            fields = _fields(range(len(keys)), ids)
            return pairs, self._box_shape(facts, fields=fields, names=names, pairs=True)
        names = {keys[position]: name_id for position, name_id in names.items()}
        return plain, self._box_shape(facts, fields=_fields(keys, ids), names=names)

    def _sequence(self, facts: BoxFacts, content: list[Any], depth: int) -> tuple[Plain, int]:
        self._count(len(content))
        plain = []
        ids = []
        for child in content:
            value, shape_id = self._node(child, depth + 1)
            plain.append(value)
            ids.append(shape_id)
        return plain, self._box_shape(facts, fields=_fields(range(len(ids)), ids))

    def _union(self, node: Any, depth: int) -> tuple[Plain, int]:
        content = node._content
        facts = facts_of(node, "union", node._metadata.flags)
        if type(content) is str and "${" in content:
            outcome = self._outcome(node, content)
            if not isinstance(outcome, Kept):
                return self._resolved(outcome.value, depth)
        if content is None or isinstance(content, str):
            return content, self._box_shape(facts, has_value=False)
        plain, inner = self._node(content, depth)
        return plain, self._box_shape(facts, fields={"inner": inner})

    def _box_shape(
        self,
        facts: BoxFacts,
        *,
        has_value: bool = True,
        fields: Mapping[str, Any] | None = None,
        names: Mapping[Any, int] | None = None,
        pairs: bool = False,
    ) -> int:
        if has_value and facts == _PLAIN.get(facts.kind) and not fields and not names and not pairs:
            return 0
        # Cheap to compare, unlike the description: most containers of a large config share a few shapes.
        key = (facts, _order(facts), has_value, pairs, _frozen(fields or {}), _frozen(names or {}))
        known = self._ids.get(key)
        if known is not None:
            return known
        shape = {"node": facts.kind, **_describe_facts(facts, has_value), **(fields or {})}
        if names:
            shape["names"] = dict(names)
        if pairs:
            shape["pairs"] = True
        return self._intern(key, shape)

    def _key(self, key: Any) -> tuple[Plain, int]:
        """Return a key as msgpack can write it, and the shape that says what it was."""
        plain, extra = _plain_value(key, where="a key")
        return plain, self._leaf_shape("any", None, True, (), extra) if extra else 0

    # Leaves

    def _leaf(self, node: Any, depth: int) -> tuple[Plain, int]:
        kind = LEAF_KINDS.get(type(node))
        if kind is None:
            raise _cannot_travel(node, type(node))
        metadata = node._metadata
        value = node._val
        annotation = metadata.ref_type if kind in ("enum", "literal") else None
        plain: Plain = None
        how: dict[str, Any] = {}
        if type(value) is str and "${" in value:
            outcome = self._outcome(node, value)
            if isinstance(outcome, Kept):
                plain, how = _shown(outcome, value, fits(kind, outcome.shown, annotation))
            elif is_config(outcome.value):
                return self._resolved(outcome.value, depth)
            else:
                value = outcome.value
        if not how:
            plain, how = _plain_value(value, where=node)
        if kind == "any" and not how and not metadata.flags and metadata.optional:
            return plain, 0
        flags = sorted_flags(metadata.flags)
        return plain, self._leaf_shape(kind, annotation, metadata.optional, flags, how)

    def _outcome(self, node: Any, text: str) -> Kept | Resolved:
        outcome = self._interpolations.outcome(node, text)
        if isinstance(outcome, Kept) or is_config(outcome.value) or _can_travel(outcome.value):
            return outcome
        if self._settings.resolve is Resolve.ALL:
            raise _cannot_travel(node, type(outcome.value))
        return Kept(NOTHING)

    def _resolved(self, value: Any, depth: int) -> tuple[Plain, int]:
        if not is_config(value):
            value = OmegaConf.create({"value": value})._get_node("value")
        return self._node(value, depth + 1)

    def _leaf_shape(
        self, kind: str, annotation: Any, optional: bool, flags: tuple[tuple[str, bool], ...], how: Mapping[str, Any]
    ) -> int:
        choices = typing.get_args(annotation) if kind == "literal" else ()
        key = (kind, annotation, choices, optional, flags, _frozen(how))
        known = self._ids.get(key)
        if known is not None:
            return known
        shape: dict[str, Any] = {"node": kind}
        if annotation is not None:
            shape["type"] = describe(annotation)
        shape.update(_optional_and_flags(optional, flags))
        shape.update(how)
        return self._intern(key, shape)

    def _intern(self, key: Hashable, shape: dict[str, Any]) -> int:
        number = self._ids.get(key)
        if number is None:
            self._shapes.append(shape)
            number = self._ids[key] = len(self._shapes)
        return number

    def _count(self, nodes: int) -> None:
        self._node_count += nodes
        if self._node_count > self._settings.max_nodes:
            raise TransportError(
                f"The config has more than {self._settings.max_nodes:,} values.",
                hint="pass data as a file, or raise max_nodes: HYDRAFLYTE_TRANSPORT=max_nodes=…",
            )


def _plain_value(value: Any, *, where: Any) -> tuple[Plain, dict[str, Any]]:
    """Return a value as msgpack can write it, and what a reader needs to get it back."""
    cls = type(value)
    if cls in _SAME_AS_PLAIN:
        return value, {}
    if cls is str:
        return (value, {}) if value.isascii() else _plain_text(value)
    if cls is int:
        if _SMALLEST_INT <= value <= _LARGEST_INT:
            return value, {}
        return (str(value) if value.bit_length() < _DECIMAL_BITS else hex(value)), {"value": "int"}
    if is_enum(value):
        return _plain_enum(value, where)
    if isinstance(value, pathlib.Path):
        return _plain_text(str(value))[0], {"value": "path"}
    if is_escaped_missing(value):
        return str(value), {"value": "escaped"}
    raise _cannot_travel(where, cls)


def _can_travel(value: Any) -> bool:
    try:
        _plain_value(value, where="")
    except TransportError:
        return False
    return True


def _shown(kept: Kept, text: str, fits_the_node: bool) -> tuple[Plain, dict[str, Any]]:
    """Return what a kept interpolation stands for, beside its text; nothing if that cannot be shown as it is."""
    if kept.shown is NOTHING or not fits_the_node:
        return None, {}
    plain, how = _plain_value(kept.shown, where="")
    if how or _plain_value(text, where="")[1]:
        return None, {}
    return plain, {"value": "interpolation", "text": text}


def _plain_text(text: str) -> tuple[Plain, dict[str, Any]]:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, as in names of files that are not UTF-8
        return text.encode(errors="surrogatepass"), {"value": "text"}
    return text, {}


def _plain_enum(member: Any, where: Any) -> tuple[Plain, dict[str, Any]]:
    cls = type(member)
    if member.name not in cls.__members__:
        raise _cannot_travel(where, cls)
    # Flyte's own form of an enum is its value: a dataclass or enum input downstream reads that.
    how = {"value": "enum", "enum": list(class_reference(cls)), "name": member.name}
    value = member.value
    is_readable = type(value) in (bool, int, float, str) and not is_special(value)
    if is_readable and not _plain_value(value, where="")[1]:
        return value, how
    return _plain_text(member.name)[0], how


def _fields(keys: Iterable[Any], ids: list[int]) -> dict[str, Any]:
    """Say which child has which shape: ``each`` for the majority, ``fields`` for the others."""
    if not any(ids):
        return {}
    each, count = Counter(ids).most_common(1)[0]
    if count * 2 <= len(ids) or len(ids) == 1:
        each = 0
    fields = {key: number for key, number in zip(keys, ids, strict=True) if number != each}
    return {**({"each": each} if each else {}), **({"fields": fields} if fields else {})}


def _order(facts: BoxFacts) -> tuple[Any, ...]:
    """Return the members of a union in order: it counts for OmegaConf, but not when Python compares annotations."""
    return typing.get_args(facts.ref_type) if facts.kind == "union" else ()


def _describe_facts(facts: BoxFacts, has_value: bool) -> dict[str, Any]:
    """Describe what differs from a container without a schema."""
    if facts.kind == "union":
        described = {"ref_type": describe(facts.ref_type)}
    else:
        usual = plain_facts(facts.kind, has_value=has_value)
        names = ("ref_type", "object_type", "key_type", "element_type")
        differing = [name for name in names if getattr(facts, name) != getattr(usual, name)]
        described = {name: describe(getattr(facts, name)) for name in differing}
    return {**described, **_optional_and_flags(facts.optional, facts.flags)}


def _optional_and_flags(optional: bool, flags: tuple[tuple[str, bool], ...]) -> dict[str, Any]:
    return {**({} if optional else {"optional": False}), **({"flags": dict(flags)} if flags else {})}


def _frozen(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((type(key), key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return (type(value), value)


def _cannot_travel(where: Any, cls: type) -> TransportError:
    place = where if isinstance(where, str) else where._get_full_key(None) or "the config"
    return TransportError(
        f"{place} holds a {cls.__module__}.{cls.__qualname__}, which cannot travel in a config.",
        hint="keep plain values, paths, enums and schemas in configs; build objects in the task, "
        "for example with hydra.utils.instantiate",
    )


def _too_deep(settings: TransportSettings) -> TransportError:
    return TransportError(
        f"The config is nested deeper than {settings.max_depth} levels.",
        hint="flatten it, or raise max_depth: HYDRAFLYTE_TRANSPORT=max_depth=…",
    )
