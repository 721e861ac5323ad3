"""What flytekit calls: a type transformer per OmegaConf container.

The names of the transformers are those of flytekitplugins-omegaconf, because unions write them into literals. They
never look at the ``FlyteContext``: nothing of a config is uploaded, so nothing can end up on a path that only one
machine has.
"""

from __future__ import annotations

import dataclasses
import html
import typing
from typing import Any

from flyteidl.core.types_pb2 import SimpleType
from flytekit.core.constants import MESSAGEPACK
from flytekit.core.type_engine import TypeTransformerFailedError
from flytekit.extend import TypeTransformer
from flytekit.models.literals import Binary, Literal, Scalar
from flytekit.models.types import LiteralType
from google.protobuf.json_format import MessageToDict
from omegaconf import DictConfig, OmegaConf

from hydraflyte.transport.classes import ClassFinder, is_structured, named_classes
from hydraflyte.transport.decode import decode
from hydraflyte.transport.document import ENVELOPE, from_plain, to_bytes, unpack
from hydraflyte.transport.encode import encode
from hydraflyte.transport.loose_literals import is_loose, plain_of
from hydraflyte.transport.older_plugin import (
    is_older_literal,
    keeps_schemas,
    must_find_schemas,
    read_older_literal,
    whole_numbers,
)
from hydraflyte.transport.settings import Encoding, MissingClass, TransportSettings, active_settings, using


class ConfigTransformer(TypeTransformer):  # type: ignore[misc]  # flytekit has no types that mypy can use
    """Carries one kind of OmegaConf container.

    Args:
        name: as it stands in the literals of unions.
        config_class: ``DictConfig``, ``ListConfig`` or ``TupleConfig``.
        older: the transformer of flytekitplugins-omegaconf that writes the older form, if there is one.
    """

    def __init__(self, *, name: str, config_class: type[Any], older: Any = None) -> None:
        super().__init__(name=name, t=config_class)
        self._config_class = config_class
        self._older = older

    def get_literal_type(self, t: Any) -> LiteralType:
        """Return the type that the older plugin gives too, so that registered interfaces stay the same."""
        return LiteralType(simple=SimpleType.STRUCT)

    def assert_type(self, t: Any, v: Any) -> None:
        """Accept the container itself, and what it can be made of: a plain dict or list, an instance of a schema."""
        if not (isinstance(v, self._config_class) or self._can_be_made_of(v)):
            raise self._wrong_type(v)

    def to_literal(self, ctx: Any, python_val: Any, python_type: Any, expected: Any) -> Literal:
        """Write a config.

        Raises:
            TypeTransformerFailedError: if it is another type.
            TransportError: if it holds what cannot travel.
        """
        if not isinstance(python_val, self._config_class):
            is_in_union = expected is not None and expected.structure is not None and bool(expected.structure.tag)
            if is_in_union or not self._can_be_made_of(python_val):  # the union may have a variant of its own for it
                raise self._wrong_type(python_val)
            python_val = OmegaConf.create(python_val)
        settings, _ = _read_annotation(python_type)
        if settings.encoding is Encoding.PLUGIN and self._older is not None:
            with using(settings):  # the older transformer asks the type engine, and so us, for what is nested
                literal: Literal = self._older.to_literal(ctx, python_val, self._config_class, expected)
                return literal
        packed = to_bytes(encode(python_val, settings), settings)
        return Literal(scalar=Scalar(binary=Binary(value=packed, tag=MESSAGEPACK)))

    def to_python_value(self, ctx: Any, lv: Literal, expected_python_type: Any) -> Any:
        """Read a config, from our form, the older plugin's, or any plain msgpack or Struct.

        Raises:
            TypeTransformerFailedError: if the literal holds no config, or another container.
            TransportError: if it is damaged, forged or too large.
        """
        settings, roots = _read_annotation(expected_python_type)
        if must_find_schemas():
            settings = dataclasses.replace(settings, missing_class=MissingClass.FAIL)
        finder = ClassFinder(settings=settings, named=named_classes(roots), with_schemas=keeps_schemas())
        config = self._read(lv, finder, settings)
        if not isinstance(config, self._config_class):
            raise TypeTransformerFailedError(
                f"The literal holds a {type(config).__name__}, expected a {self._config_class.__name__}"
            )
        finder.warn_about_missing()
        return _fit(config, roots, expected_python_type)

    def to_html(self, ctx: Any, python_val: Any, expected_python_type: Any) -> str:
        """Show a config as YAML on Flyte's decks."""
        return f"<pre>{html.escape(OmegaConf.to_yaml(python_val))}</pre>"

    def _can_be_made_of(self, value: Any) -> bool:
        if self._config_class is DictConfig:
            return isinstance(value, dict) or is_structured(type(value))
        return isinstance(value, list)

    def _wrong_type(self, value: Any) -> Exception:
        error: Exception = TypeTransformerFailedError(
            f"Expected a {self._config_class.__name__}, got a {type(value).__name__}"
        )
        return error

    def _read(self, lv: Literal, finder: ClassFinder, settings: TransportSettings) -> Any:
        scalar = lv.scalar if lv is not None else None
        if scalar is not None and scalar.generic is not None:
            data = MessageToDict(scalar.generic)
            if is_older_literal(data):
                return read_older_literal(data, finder)
            plain = _from_struct(data)
        elif scalar is not None and scalar.binary is not None:
            plain = unpack(scalar.binary.value, scalar.binary.tag, settings)
        elif lv is not None and is_loose(lv):
            plain = plain_of(lv, settings)
        else:
            raise TypeTransformerFailedError(f"The literal holds no config: {str(lv)[:200]}")
        return decode(from_plain(plain), finder=finder, settings=settings)


def _from_struct(data: Any) -> Any:
    envelope = {ENVELOPE: data[ENVELOPE]} if ENVELOPE in data else {}
    return {**whole_numbers(data), **envelope}


def _read_annotation(annotation: Any) -> tuple[TransportSettings, tuple[type, ...]]:
    """Return the settings and the schemas that ``Annotated[DictConfig, …]`` names."""
    settings = active_settings()
    roots: list[type] = []
    if typing.get_origin(annotation) is typing.Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, TransportSettings):
                settings = extra
            elif is_structured(extra):
                roots.append(extra)
    return settings, tuple(roots)


def _fit(config: Any, roots: tuple[type, ...], annotation: Any) -> Any:
    """Give a plain config the schema that the annotation names, as if the workflow had merged it."""
    if not roots or not keeps_schemas() or OmegaConf.get_type(config) is not dict:
        return config
    return OmegaConf.merge(OmegaConf.structured(roots[0]), config)
