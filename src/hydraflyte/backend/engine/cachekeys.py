"""Whether a task's outputs are kept in the catalog, and under which dataset and tag.

The key is made of what flytepropeller's is made of (pkg/controller/nodes/catalog/datacatalog): the task's id
without its version, the cache version, both interfaces, the inputs. The one rule: equal material, equal key; the
text is our own, nobody else reads it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from flyteidl.core.interface_pb2 import VariableMap
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import LiteralType
from google.protobuf.message import Message

_KEPT_ANNOTATION = "cache-key-metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """Where a task's outputs for certain inputs are kept."""

    dataset: str
    tag: str


def cache_key(task: TaskTemplate, inputs: LiteralMap) -> CacheKey | None:
    """Return where the outputs are kept, or None if the task is not cached or has no outputs to keep."""
    if not task.metadata.discoverable or not task.interface.outputs.variables:
        return None
    return CacheKey(dataset=_dataset(task), tag=_tag(inputs, frozenset(task.metadata.cache_ignore_input_vars)))


def _dataset(task: TaskTemplate) -> str:
    signature = f"{_interface_hash(task.interface.inputs)}-{_interface_hash(task.interface.outputs)}"
    version = f"{task.metadata.discovery_version}-{signature}"
    return f"{task.id.project}:{task.id.domain}:flyte_task-{task.id.name}:{version}"


def _interface_hash(variables: VariableMap) -> str:
    """Return eight characters that stand for names and types, whatever their descriptions and metadata."""
    digest = hashlib.sha256()
    for name in sorted(variables.variables):
        digest.update(_framed(name.encode()))
        digest.update(_framed(_canonical(_bare_type(variables.variables[name].type))))
    return urlsafe_b64encode(digest.digest()).decode()[:8]


def _bare_type(literal_type: LiteralType) -> LiteralType:
    bare = LiteralType()
    bare.CopyFrom(literal_type)
    _strip(bare)
    return bare


def _strip(literal_type: LiteralType) -> None:
    literal_type.ClearField("metadata")
    if _KEPT_ANNOTATION not in literal_type.annotation.annotations.fields:
        literal_type.ClearField("annotation")
    kind = literal_type.WhichOneof("type")
    if kind == "collection_type":
        _strip(literal_type.collection_type)
    elif kind == "map_value_type":
        _strip(literal_type.map_value_type)
    elif kind == "union_type":
        for variant in literal_type.union_type.variants:
            _strip(variant)
    elif kind == "structured_dataset_type":
        for column in literal_type.structured_dataset_type.columns:
            _strip(column.literal_type)
    for field in literal_type.structure.dataclass_type.values():
        _strip(field)


def _tag(inputs: LiteralMap, ignored: frozenset[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs.literals):
        if name not in ignored:
            digest.update(_framed(name.encode()))
            digest.update(_framed(_canonical(_hashed(inputs.literals[name]))))
    return f"flyte_cached-{urlsafe_b64encode(digest.digest()).decode().rstrip('=')}"


def _hashed(literal: Literal) -> Literal:
    """Return the literal with every part that brings its own hash replaced by that hash alone."""
    if literal.hash:
        return Literal(hash=literal.hash)
    kind = literal.WhichOneof("value")
    if kind == "collection":
        hashed = Literal()
        hashed.collection.SetInParent()
        hashed.collection.literals.extend(_hashed(item) for item in literal.collection.literals)
        return hashed
    if kind == "map":
        hashed = Literal()
        hashed.map.SetInParent()
        for key, item in literal.map.literals.items():
            hashed.map.literals[key].CopyFrom(_hashed(item))
        return hashed
    return literal


def _canonical(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
