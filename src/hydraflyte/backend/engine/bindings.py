"""Bindings and upstream outputs -> the inputs of a node.

Follows flytepropeller (pkg/controller/nodes/resolve.go, attr_path_resolver.go). The one rule: whatever cannot
be resolved raises BindingResolutionError; the node then fails with ``BindingResolutionFailure``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgpack
from flyteidl.core.literals_pb2 import (
    Binary,
    Binding,
    BindingData,
    Literal,
    LiteralCollection,
    LiteralMap,
    Primitive,
    Scalar,
    Void,
)
from flyteidl.core.types_pb2 import OutputReference, PromiseAttribute
from google.protobuf.struct_pb2 import Struct, Value

MSGPACK_TAG = "msgpack"
_LIST_ELEMENT = re.compile(r"^\[(\d+)\]\.(.+)$")

OutputsOf = Callable[[str], LiteralMap]
"""Outputs of the upstream node with this id in the compiled workflow; raises BindingResolutionError if none."""


Whole = Callable[[Literal], Literal]
"""Gives the content of a literal that lies in a file of its own (``offloaded``), any other as it is."""


def _as_it_is(literal: Literal) -> Literal:
    return literal


class BindingResolutionError(Exception):
    """A binding points at something that is not there."""


def promises_in(data: BindingData) -> Iterator[OutputReference]:
    """Yield every promise inside a binding, however deep."""
    kind = data.WhichOneof("value")
    if kind == "promise":
        yield data.promise
    elif kind == "collection":
        for item in data.collection.bindings:
            yield from promises_in(item)
    elif kind == "map":
        for key in sorted(data.map.bindings):
            yield from promises_in(data.map.bindings[key])


def promised_output(promise: OutputReference) -> str:
    """Return the name of the output that ``promise`` takes, or takes an element of (``[i].name``)."""
    element = _LIST_ELEMENT.match(promise.var)
    return promise.var if element is None else element[2]


def resolve(bindings: Sequence[Binding], outputs_of: OutputsOf, whole: Whole = _as_it_is) -> LiteralMap:
    """Return one literal per binding.

    Args:
        whole: what a promise looks into is put through it first.

    Raises:
        BindingResolutionError: an upstream node, variable, key or index is missing.
    """
    resolved = LiteralMap()
    for binding in bindings:
        try:
            resolved.literals[binding.var].CopyFrom(resolve_binding(binding.binding, outputs_of, whole))
        except BindingResolutionError as error:
            raise BindingResolutionError(f"input {binding.var!r}: {error}") from error
    return resolved


def resolve_binding(data: BindingData, outputs_of: OutputsOf, whole: Whole = _as_it_is) -> Literal:
    """Return the literal that ``data`` stands for; raises as :func:`resolve`."""
    kind = data.WhichOneof("value")
    if kind == "scalar":
        return Literal(scalar=data.scalar)
    if kind == "promise":
        return _resolve_promise(data.promise, outputs_of, whole)
    if kind == "collection":
        items = [resolve_binding(item, outputs_of, whole) for item in data.collection.bindings]
        return Literal(collection=LiteralCollection(literals=items))
    if kind == "map":
        entries = {key: resolve_binding(item, outputs_of, whole) for key, item in data.map.bindings.items()}
        return Literal(map=LiteralMap(literals=entries))
    if kind == "offloaded_metadata":
        return Literal(offloaded_metadata=data.offloaded_metadata)
    raise BindingResolutionError("the binding is empty")


def _resolve_promise(promise: OutputReference, outputs_of: OutputsOf, whole: Whole) -> Literal:
    literal = _variable(promise, outputs_of(promise.node_id).literals, whole)
    return walk(literal, promise.attr_path, whole) if promise.attr_path else literal


def _variable(promise: OutputReference, outputs: Mapping[str, Literal], whole: Whole) -> Literal:
    element = _LIST_ELEMENT.match(promise.var)
    if element is not None:  # `[i].name`: the element i of the list `name`
        index, name = int(element[1]), element[2]
        return _step_literal(whole(_named(promise, name, outputs)), PromiseAttribute(int_value=index))
    return _named(promise, promise.var, outputs)


def _named(promise: OutputReference, name: str, outputs: Mapping[str, Literal]) -> Literal:
    if name not in outputs:
        names = ", ".join(sorted(outputs)) or "none"
        raise BindingResolutionError(f"node {promise.node_id!r} has no output {name!r} (it has: {names})")
    return outputs[name]


def walk(literal: Literal, path: Sequence[PromiseAttribute], whole: Whole = _as_it_is) -> Literal:
    """Return what ``path`` leads to inside ``literal``.

    Literal maps and collections come first; the rest of the path goes inside a Struct or a msgpack binary.

    Raises:
        BindingResolutionError: a key or index is missing, or the value has no parts.
    """
    for depth, attribute in enumerate(path):
        literal = whole(literal)
        kind = literal.WhichOneof("value")
        if kind == "scalar":
            return _walk_scalar(literal.scalar, path[depth:], whole)
        literal = _step_literal(literal, attribute)
    return literal


def _step_literal(literal: Literal, attribute: PromiseAttribute) -> Literal:
    key = _key(attribute)
    kind = literal.WhichOneof("value")
    if kind == "map" and isinstance(key, str) and key in literal.map.literals:
        return literal.map.literals[key]
    if kind == "collection" and isinstance(key, int) and 0 <= key < len(literal.collection.literals):
        return literal.collection.literals[key]
    raise BindingResolutionError(f"PromiseAttributeResolveError: there is no {key!r} in a {kind or 'missing'} value")


def _walk_scalar(scalar: Scalar, path: Sequence[PromiseAttribute], whole: Whole) -> Literal:
    kind = scalar.WhichOneof("value")
    if kind == "union":
        return walk(scalar.union.value, path, whole)
    if kind == "generic":
        return _from_value(_walk_plain(_struct_to_plain(scalar.generic), path), _to_generic)
    if kind == "binary" and scalar.binary.tag == MSGPACK_TAG:
        plain = msgpack.unpackb(scalar.binary.value, strict_map_key=False)
        return _from_value(_walk_plain(plain, path), _to_msgpack)
    raise BindingResolutionError(f"PromiseAttributeResolveError: a {kind} value has no attributes")


def _walk_plain(plain: object, path: Sequence[PromiseAttribute]) -> object:
    for attribute in path:
        plain = _part(plain, _key(attribute))
    return plain


def _part(plain: object, key: str | int) -> object:
    if isinstance(plain, dict) and key in plain:
        return plain[key]
    if isinstance(plain, list) and isinstance(key, int) and 0 <= key < len(plain):
        return plain[key]
    raise BindingResolutionError(f"PromiseAttributeResolveError: there is no {key!r}")


def _from_value(plain: object, pack: Callable[[object], Scalar]) -> Literal:
    """Return a decoded value as a literal; ``pack`` makes the scalar of a dict, in the form that it came in."""
    if plain is None:
        return Literal(scalar=Scalar(none_type=Void()))
    if isinstance(plain, bool):
        return _primitive(Primitive(boolean=plain))
    if isinstance(plain, int):
        return _primitive(Primitive(integer=plain))
    if isinstance(plain, float):
        return _primitive(Primitive(float_value=plain))
    if isinstance(plain, str):
        return _primitive(Primitive(string_value=plain))
    if isinstance(plain, list):
        return Literal(collection=LiteralCollection(literals=[_from_value(item, pack) for item in plain]))
    if isinstance(plain, dict):
        return Literal(scalar=pack(plain))
    raise BindingResolutionError(f"PromiseAttributeResolveError: a {type(plain).__name__} cannot become a literal")


def _primitive(primitive: Primitive) -> Literal:
    return Literal(scalar=Scalar(primitive=primitive))


def _to_msgpack(plain: object) -> Scalar:
    return Scalar(binary=Binary(value=msgpack.packb(plain), tag=MSGPACK_TAG))


def _to_generic(plain: object) -> Scalar:
    struct = Struct()
    assert isinstance(plain, dict)
    struct.update(plain)
    return Scalar(generic=struct)


def _struct_to_plain(struct: Struct) -> dict[str, object]:
    """Return the struct as dicts and lists; its numbers are doubles and stay floats."""
    return {key: _value_to_plain(value) for key, value in struct.fields.items()}


def _value_to_plain(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct_to_plain(value.struct_value)
    if kind == "list_value":
        return [_value_to_plain(item) for item in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    plain: object = getattr(value, kind)
    return plain


def _key(attribute: PromiseAttribute) -> str | int:
    return attribute.string_value if attribute.WhichOneof("value") == "string_value" else attribute.int_value
