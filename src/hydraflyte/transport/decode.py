"""A plain tree and its shapes become a config again.

Its rule: nothing in a document is believed. Every number is checked, every class comes from a ``ClassFinder``, every
node counts against a budget; what does not fit is a ``TransportError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydraflyte.transport.classes import ClassFinder
from hydraflyte.transport.encode import Document, Plain
from hydraflyte.transport.errors import TransportError, damaged
from hydraflyte.transport.nodes import box_mould, is_special, leaf_mould, plain_facts
from hydraflyte.transport.settings import TransportSettings
from hydraflyte.transport.shapes import LEAF_TYPES, BoxShape, LeafShape, read_shape

_KEY_TYPES = LEAF_TYPES - {type(None)}
_BOX_TYPES = {"dict": dict, "list": list, "tuple": list}


def decode(document: Document, *, finder: ClassFinder, settings: TransportSettings) -> Any:
    """Turn plain data into a config.

    Raises:
        TransportError: if the document is damaged, forged or too large, or names a class that is not to be had.
    """
    return _Decoder(document, finder, settings).config()


class _Decoder:
    def __init__(self, document: Document, finder: ClassFinder, settings: TransportSettings) -> None:
        self._document = document
        self._settings = settings
        self._budget = settings.max_nodes
        self._any = leaf_mould("any", annotation=None, optional=True, flags={})
        self._dict = box_mould(plain_facts("dict"))
        self._list = box_mould(plain_facts("list"))
        self._shapes: list[LeafShape | BoxShape] = []
        for number, shape in enumerate(document.shapes, start=1):
            self._shapes.append(read_shape(shape, number, finder))

    def config(self) -> Any:
        node = self._node(self._document.tree, self._document.root, None, None, 0)
        return node

    def _node(self, plain: Plain, number: int, key: Any, parent: Any, depth: int) -> Any:
        if number == 0:
            return self._plain_node(plain, key, parent, depth)
        if not 0 < number <= len(self._shapes):
            raise damaged(f"shape {number} is not in it")
        shape = self._shapes[number - 1]
        if isinstance(shape, LeafShape):
            return shape.mould.leaf(shape.value(plain), key, parent)
        if depth > self._settings.max_depth:
            raise self._too_deep()
        if shape.kind == "union":
            return self._union(shape, plain, key, parent, depth)
        return self._box(shape, plain, key, parent, depth)

    def _plain_node(self, plain: Plain, key: Any, parent: Any, depth: int) -> Any:
        cls = type(plain)
        if cls in LEAF_TYPES:
            return self._any.leaf(plain, key, parent)
        if depth > self._settings.max_depth:
            raise self._too_deep()
        self._spend(plain)
        leaf = self._any.leaf
        if cls is dict:
            content: dict[Any, Any] = {}
            node = self._dict.box(content, key, parent)
            for name, item in plain.items():
                if type(name) not in _KEY_TYPES:
                    raise damaged(f"{type(name).__name__} is no key of a config")
                is_leaf = type(item) in LEAF_TYPES
                content[name] = leaf(item, name, node) if is_leaf else self._plain_node(item, name, node, depth + 1)
            return node
        items: list[Any] = []
        node = self._list.box(items, key, parent)
        for index, item in enumerate(plain):
            is_leaf = type(item) in LEAF_TYPES
            items.append(leaf(item, index, node) if is_leaf else self._plain_node(item, index, node, depth + 1))
        return node

    def _box(self, shape: BoxShape, plain: Plain, key: Any, parent: Any, depth: int) -> Any:
        if plain is None or is_special(plain):
            return shape.mould(has_value=False).box(plain, key, parent)
        expected = list if shape.pairs else _BOX_TYPES[shape.kind]
        if type(plain) is not expected:
            raise damaged(f"a {shape.kind} is written as {type(plain).__name__}")
        self._spend(plain)
        if shape.kind != "dict":
            items: list[Any] = []
            node = shape.mould().box(items, key, parent)
            for index, item in enumerate(plain):
                items.append(self._node(item, shape.fields.get(index, shape.each), index, node, depth + 1))
            return node
        content: dict[Any, Any] = {}
        node = shape.mould().box(content, key, parent)
        for place, name, item in _pairs(plain) if shape.pairs else ((name, name, item) for name, item in plain.items()):
            number = shape.fields.get(place, shape.each)
            if place in shape.names:
                name = self._key(name, shape.names[place])
            elif type(name) not in _KEY_TYPES:
                raise damaged(f"{type(name).__name__} is no key of a config")
            content[name] = self._node(item, number, name, node, depth + 1)
        return node

    def _key(self, plain: Plain, number: int) -> Any:
        shape = self._shapes[number - 1] if 0 < number <= len(self._shapes) else None
        if not isinstance(shape, LeafShape):
            raise damaged("a key has no readable shape")
        value = shape.value(plain)
        if value is None:
            raise damaged("a key is None")
        return value

    def _union(self, shape: BoxShape, plain: Plain, key: Any, parent: Any, depth: int) -> Any:
        if shape.facts is None:  # the annotation is not to be had: what it wrapped stands for itself
            return self._node(plain, shape.inner or 0, key, parent, depth + 1)
        if shape.inner is None:
            if plain is not None and not is_special(plain):
                raise damaged("a union holds a value without a shape")
            return shape.mould().box(plain, key, parent)
        node = shape.mould().box(None, key, parent)
        vars(node)["_content"] = self._node(plain, shape.inner, None, node, depth + 1)
        return node

    def _spend(self, plain: Plain) -> None:
        if type(plain) is not dict and type(plain) is not list:
            raise damaged(f"{type(plain).__name__} is no value of a config")
        self._budget -= len(plain)
        if self._budget < 0:
            raise TransportError(
                f"The literal holds more than {self._settings.max_nodes:,} values.",
                hint="pass data as a file, or raise max_nodes: HYDRAFLYTE_TRANSPORT=max_nodes=…",
            )

    def _too_deep(self) -> TransportError:
        return TransportError(
            f"The literal is nested deeper than {self._settings.max_depth} levels.",
            hint="flatten the config, or raise max_depth: HYDRAFLYTE_TRANSPORT=max_depth=…",
        )


def _pairs(plain: list[Any]) -> Iterator[tuple[int, Plain, Plain]]:
    for position, pair in enumerate(plain):
        if not isinstance(pair, list) or len(pair) != 2:
            raise damaged("a pair of key and value is none")
        yield position, pair[0], pair[1]
