"""What becomes of ``${…}`` when a config is written.

The rule: a config that travels whole keeps its interpolations; one that is cut out of a larger config keeps those that
mean the same without the rest. Looking up what a kept interpolation shows never calls a resolver, so the bytes of a
config do not depend on the environment in which it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.base import Container
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.transport.errors import TransportError
from hydraflyte.transport.nodes import is_config
from hydraflyte.transport.settings import Resolve

NOTHING = object()
"""Where a value may be ``None``: there is no value."""

_REFERENCE = re.compile(r"\$\{\s*(\.*)([^:${}\s]*)\s*([:}$]?)")
_SIMPLE = re.compile(r"\$\{\s*(\.*)(\w[\w.\-]*)\s*\}")
_LONGEST_CHAIN = 20
_SHOWN_TYPES = (bool, int, float, str)
# Resolvers of OmegaConf that read nothing of the config; its other ``oc.*`` ones take a key.
_FREE_RESOLVERS = ("oc.env", "oc.decode")


@dataclass(frozen=True, slots=True)
class Kept:
    """The interpolation stays; ``shown`` is what it stands for now, or ``NOTHING``."""

    shown: Any


@dataclass(frozen=True, slots=True)
class Resolved:
    """The interpolation is replaced by a value or by a config."""

    value: Any


class Interpolations:
    """Decides about the interpolations of one config.

    Args:
        top: the config that travels; it may be part of a larger one.
        mode: what the settings say.
    """

    def __init__(self, *, top: Any, mode: Resolve) -> None:
        self._top = top
        self._mode = mode
        self._is_part = top._get_parent() is not None

    def outcome(self, node: Any, text: str) -> Kept | Resolved:
        """Say what becomes of ``text``, held by ``node``.

        Raises:
            TransportError: if all of them are to be resolved and this one has no value.
        """
        if self._mode is Resolve.ALL:
            return self._resolve_or_fail(node, text)
        if self._mode is Resolve.POSSIBLE or (self._is_part and not self._means_the_same(node, text)):
            value = _value_of(node)
            return Kept(NOTHING) if value is NOTHING else Resolved(value)
        return Kept(peek(node, text))

    def _resolve_or_fail(self, node: Any, text: str) -> Resolved:
        try:
            return Resolved(_dereferenced(node))
        except (OmegaConfBaseException, RecursionError) as error:
            raise TransportError(
                f"{node._get_full_key(None)} is {text}, which has no value here: {str(error).splitlines()[0]}",
                hint="set what it points to, or let it travel as it is: resolve=keep, or resolve=possible",
            ) from error

    def _means_the_same(self, node: Any, text: str) -> bool:
        depth = 0
        container = _container_of(node)
        while container is not None and container is not self._top:
            depth += 1
            container = _container_of(container)
        return stays_inside(text, depth)


def stays_inside(text: str, depth: int) -> bool:
    """Say whether an interpolation reads nothing outside of the config that it travels with.

    Args:
        text: the interpolation.
        depth: containers between its own and the config that travels.

    Example:
        >>> stays_inside("${.lr}", 0), stays_inside("${..lr}", 0), stays_inside("${oc.env:HOME}", 0)
        (True, False, True)
    """
    for dots, name, end in _REFERENCE.findall(text):
        if end == ":" and not dots:
            if name.startswith("oc.") and name not in _FREE_RESOLVERS:
                return False
        elif not dots or len(dots) - 1 > depth:
            return False
    return True


def peek(node: Any, text: str) -> Any:
    """Return what an interpolation stands for, as far as that needs no resolver; else ``NOTHING``."""
    return _peek(node, text, _LONGEST_CHAIN)


def _peek(node: Any, text: str, chain: int) -> Any:
    if chain == 0 or "\\" in text:
        return NOTHING
    whole = _SIMPLE.fullmatch(text)
    if whole is not None:
        return _target(node, whole, chain)
    parts: list[str] = []
    position = 0
    for match in _SIMPLE.finditer(text):
        value = _target(node, match, chain)
        if value is NOTHING:
            return NOTHING
        parts += [text[position : match.start()], str(value)]
        position = match.end()
    parts.append(text[position:])
    return NOTHING if any("${" in part for part in parts) else "".join(parts)


def _target(node: Any, match: re.Match[str], chain: int) -> Any:
    found: Any = _start(node, len(match[1]))
    for name in match[2].split("."):
        content = getattr(found, "_content", None) if is_config(found) else None
        if isinstance(content, dict):
            found = content.get(name)
        elif isinstance(content, list) and name.isdecimal() and int(name) < len(content):
            found = content[int(name)]
        else:
            return NOTHING
    if found is None or is_config(found):
        return NOTHING
    value = found._value()
    if hasattr(value, "_value"):  # a union keeps a node
        found, value = value, value._value()
    if type(value) is str and "${" in value:
        return _peek(found, value, chain - 1)
    return value if type(value) in _SHOWN_TYPES and value != "???" else NOTHING


def _start(node: Any, dots: int) -> Any:
    container = _container_of(node)
    if dots == 0:
        return None if container is None else container._get_root()
    for _ in range(dots - 1):
        container = None if container is None else _container_of(container)
    return container


def _container_of(node: Any) -> Container | None:
    parent: Container | None = node._get_parent_container()
    return parent


def _value_of(node: Any) -> Any:
    try:
        value = _dereferenced(node)
    except (OmegaConfBaseException, RecursionError):
        return NOTHING
    return value


def _dereferenced(node: Any) -> Any:
    target = node._dereference_node()
    if is_config(target):
        return target
    value = target._value()
    if isinstance(value, dict | list | tuple):
        return OmegaConf.create(value)
    return value._value() if hasattr(value, "_value") and not is_config(value) else value
