"""The description of the HTTP API that ``/api/v1/openapi`` serves (Swagger 2.0, as Flyte's). Pure.

The one rule: everything in it follows from the rules and flyteidl's descriptors; nothing is written down here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hydraflyte.backend.gateway.rules import Rule

Schema = dict[str, Any]  # parts of an OpenAPI document are open objects

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.NullValue": {"type": "string"},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.StringValue": {"type": "string"},
}
_MEDIA_TYPES = ["application/json", "application/octet-stream"]


def describe(rules: Sequence[Rule], *, version: str) -> Schema:
    """Return the document: every path with its parameters, body and answer, and every message they use."""
    paths: Schema = {}
    messages: dict[str, Any] = {}
    for rule in rules:
        paths.setdefault(rule.template, {})[rule.verb.lower()] = _operation(rule)
        for message in (rule.method.input_type, rule.method.output_type):
            _collect(message, messages)
    return {
        "swagger": "2.0",
        "info": {"title": "Flyte's API as hydraflyte serves it", "version": version},
        "consumes": _MEDIA_TYPES,
        "produces": _MEDIA_TYPES,
        "paths": paths,
        "definitions": {name: _definition(message) for name, message in sorted(messages.items())},
    }


def _operation(rule: Rule) -> Schema:
    method = rule.method
    return {
        "operationId": f"{method.containing_service.name}_{method.name}",
        "tags": [method.containing_service.name],
        "parameters": [*_path_parameters(rule), *_other_parameters(rule)],
        "responses": {"200": {"description": "Done.", "schema": _reference(method.output_type)}},
    }


def _path_parameters(rule: Rule) -> Iterator[Schema]:
    for path in rule.bound:
        yield {"name": ".".join(path), "in": "path", "required": True, "type": "string"}


def _other_parameters(rule: Rule) -> Iterator[Schema]:
    if rule.has_body:
        yield {"name": "body", "in": "body", "required": True, "schema": _reference(rule.method.input_type)}
        return
    for path, field in _query_fields(GetMessageClass(rule.method.input_type)(), ()):
        if path not in rule.bound:
            yield {"name": ".".join(path), "in": "query", "required": False, **_plain(field)}


def _query_fields(message: Message, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    fields: Iterable[Any] = message.DESCRIPTOR.fields  # the stubs know two classes of descriptors
    for field in fields:
        path = (*above, field.name)
        if field.message_type is None or field.message_type.full_name in _WELL_KNOWN:
            yield path, field
        elif not _is_many(field):
            yield from _query_fields(getattr(message, field.name), path)


def _plain(field: Any) -> Schema:
    """Return the type of a query parameter."""
    if field.message_type is not None:
        return {"type": "string"}
    one = {"type": "string"} if field.enum_type is not None else _SCALARS[field.cpp_type]
    return {"type": "array", "items": one, "collectionFormat": "multi"} if _is_many(field) else one


def _collect(message: Any, messages: dict[str, Any]) -> None:
    """Add the message, and all that it can hold, to the messages by their full names."""
    if message.full_name in messages or message.full_name in _WELL_KNOWN:
        return
    if not message.GetOptions().map_entry:
        messages[message.full_name] = message
    for field in message.fields:
        if field.message_type is not None:
            _collect(field.message_type, messages)


def _definition(message: Any) -> Schema:
    return {"type": "object", "properties": {field.name: _schema(field) for field in message.fields}}


def _schema(field: Any) -> Schema:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _one(field.message_type.fields_by_name["value"])}
    return {"type": "array", "items": _one(field)} if _is_many(field) else _one(field)


def _one(field: Any) -> Schema:
    if field.message_type is not None:
        return _reference(field.message_type)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "format": "byte"}
    return _SCALARS[field.cpp_type]


def _reference(message: Any) -> Schema:
    known = _WELL_KNOWN.get(message.full_name)
    return {"$ref": f"#/definitions/{message.full_name}"} if known is None else known


def _is_many(field: Any) -> bool:
    """Tell whether the field is a list (or a map, which is a list of entries)."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # protobuf before 6.31
