"""What a config may hold, as JSON Schema: for whoever overrides a delivered workflow's defaults without its code.

Pure. One rule: types come from the structured config where there is one, else from the value that stands there.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from flyteidl.core import interface_pb2
from google.protobuf.json_format import MessageToDict
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

Schema = dict[str, Any]  # Any: JSON
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def schema_of(config: DictConfig) -> Schema:
    """Return the schema of a config.

    Example:
        >>> schema_of(OmegaConf.create({"lr": 0.1, "seed": "???"}))["required"]
        ['seed']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_container(config)}


def inputs_schema(parameters: interface_pb2.ParameterMap) -> Schema:
    """Return, by the input's name, its Flyte type and whether an execution must give it."""
    return {
        name: {
            "type": MessageToDict(parameter.var.type),
            "required": parameter.WhichOneof("behavior") not in ("default", None) and parameter.required,
        }
        for name, parameter in sorted(parameters.parameters.items())
    }


def _container(config: BaseContainer) -> Schema:
    if not isinstance(config, DictConfig):
        element = config._metadata.element_type
        items = _declared(element)
        return {"type": "array", **({"items": items} if items else {})}
    keys = [str(key) for key in config]
    schema: Schema = {"type": "object", "properties": {str(key): _node(config, key) for key in config}}
    missing = [key for key in keys if OmegaConf.is_missing(config, key)]
    named = OmegaConf.get_type(config)
    if named is not None and named is not dict:
        schema["title"] = named.__name__
        schema["additionalProperties"] = False
    return {**schema, "required": missing} if missing else schema


def _node(config: DictConfig, key: Any) -> Schema:  # Any: a key of OmegaConf
    node = config._get_node(key)
    assert node is not None
    declared = _declared(node._metadata.ref_type)
    if not declared and isinstance(node, BaseContainer) and not (node._is_none() or node._is_interpolation()):
        declared = _container(node) if not node._is_missing() else {}
    if not declared and not (OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key)):
        declared = _declared(type(node._value()))
        if node._value() is None:
            return {}
    return _or_null(declared) if node._is_optional() and node._metadata.ref_type is not Any else declared


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else schema


def _declared(annotation: Any) -> Schema:  # Any: an annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {"enum": [member.name for member in annotation]}
    return {"type": _TYPES[annotation]} if annotation in _TYPES else {}
