"""Type annotations as plain data, and back.

A config node remembers the annotation that its value must fit (``Dict[str, Optional[Model]]``). Written down it is a
string or a nested list. Reading never imports on its own: every class is asked from a ``ClassFinder``.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from typing import Any, Dict, List, Tuple, Union  # noqa: UP035  # OmegaConf tells typing.List[int] from list[int]

from hydraflyte.transport.classes import ClassFinder, class_reference
from hydraflyte.transport.errors import TransportError

Description = Any  # msgpack data: a string, or a list that begins with one


class _Unavailable:
    """Stands for an annotation with a class that cannot be had here."""


UNAVAILABLE = _Unavailable()

_NAMES: dict[Any, str] = {
    Any: "any",
    None: "unset",
    type(None): "none",
    int: "int",
    float: "float",
    bool: "bool",
    str: "str",
    bytes: "bytes",
    pathlib.Path: "path",
    dict: "dict",
    list: "list",
    tuple: "tuple",
    Dict: "Dict",  # noqa: UP006
    List: "List",  # noqa: UP006
    Tuple: "Tuple",  # noqa: UP006
    Ellipsis: "...",
}
_BY_NAME = {name: annotation for annotation, name in _NAMES.items()}
_GENERIC_NAMES = {dict: "dict", list: "list", tuple: "tuple"}
_MOST_NESTED = 20


def describe(annotation: Any) -> Description:
    """Write ``annotation`` as plain data.

    Raises:
        TransportError: if it is none that OmegaConf knows.

    Example:
        >>> describe(typing.Dict[str, int])
        ['Dict', 'str', 'int']
    """
    try:
        name = _NAMES.get(annotation)
    except TypeError:  # not hashable, such as Literal with a list in it
        name = None
    if name is not None:
        return name
    origin = typing.get_origin(annotation)
    if origin is Union or isinstance(annotation, types.UnionType):
        return ["Union", *map(describe, typing.get_args(annotation))]
    if origin is typing.Literal:
        return ["Literal", *map(_describe_choice, typing.get_args(annotation))]
    if origin in _GENERIC_NAMES:
        name = _GENERIC_NAMES[origin]
        if not isinstance(annotation, types.GenericAlias):
            name = name.capitalize()
        arguments = typing.get_args(annotation)
        return [name, *map(describe, () if arguments == ((),) else arguments)]  # Python 3.10: Tuple[()] has ((),)
    if isinstance(annotation, type):
        return ["class", *class_reference(annotation)]
    raise TransportError(
        f"A config node is annotated with {annotation!r}, which cannot be written down.",
        hint="annotate the field with a type that OmegaConf documents, or leave it as Any",
    )


def _describe_choice(choice: Any) -> Description:
    if isinstance(choice, enum.Enum):
        return ["enum", *class_reference(type(choice)), choice.name]
    return choice


def rebuild(description: Description, finder: ClassFinder, *, nested: int = 0) -> Any:
    """Turn a description back into the annotation, or into ``UNAVAILABLE`` if one of its classes is not to be had.

    Raises:
        TransportError: if the description is none that ``describe`` writes.
    """
    if nested > _MOST_NESTED:
        raise _unreadable(description)
    if isinstance(description, str) and description in _BY_NAME:
        return _BY_NAME[description]
    if not (isinstance(description, list) and description and isinstance(description[0], str)):
        raise _unreadable(description)
    name, arguments = description[0], description[1:]
    if name == "class":
        return _find(finder, arguments)
    if name == "Literal":
        return _rebuild_literal(arguments, finder)
    parts = tuple(rebuild(argument, finder, nested=nested + 1) for argument in arguments)
    if UNAVAILABLE in parts:
        return UNAVAILABLE
    if name not in _SUBSCRIBED:
        raise _unreadable(description)
    try:
        return _SUBSCRIBED[name][parts]
    except TypeError as error:
        raise _unreadable(description) from error


_SUBSCRIBED: dict[str, Any] = {
    "Union": Union,
    "Dict": Dict,  # noqa: UP006
    "List": List,  # noqa: UP006
    "Tuple": Tuple,  # noqa: UP006
    "dict": dict,
    "list": list,
    "tuple": tuple,
}


def _find(finder: ClassFinder, arguments: list[Any]) -> Any:
    if len(arguments) != 2:
        raise _unreadable(["class", *arguments])
    found = finder.find(arguments[0], arguments[1])
    return UNAVAILABLE if found is None else found


def _rebuild_literal(arguments: list[Any], finder: ClassFinder) -> Any:
    choices = []
    for argument in arguments:
        if isinstance(argument, list):
            if len(argument) != 4 or argument[0] != "enum":
                raise _unreadable(argument)
            found = finder.find_enum(argument[1], argument[2])
            if found is None or argument[3] not in found.__members__:
                return UNAVAILABLE
            argument = found[argument[3]]
        elif not isinstance(argument, str | int | bytes | None):
            raise _unreadable(argument)
        choices.append(argument)
    if not choices:
        raise _unreadable(["Literal"])
    return typing.Literal[tuple(choices)]


def _unreadable(description: Description) -> TransportError:
    return TransportError(
        f"The literal describes a type as {str(description)[:200]}, which is none that configs can have.",
        hint="the literal was written by something else, or by a newer hydraflyte: use the same version on both sides",
    )
