"""``hydraflyte.uses``: what a function uses that cannot be read from its code.

One rule: the decorator changes nothing about the function. Imports nothing, because task modules import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from hydraflyte.errors import DiscoveryError

_MARK = "__hydraflyte_uses__"

_F = TypeVar("_F", bound=Callable[..., Any])  # Any: whatever a user's function takes and returns


def uses(*entities: object) -> Callable[[_F], _F]:
    """Declare tasks, workflows and launch plans that a function uses in a way that its code does not show.

    For dynamic and eager tasks, the task function and functions that these call; put it right above ``def``. The
    function itself stays as it is.

    Args:
        entities: the entities, or ``"module:name"`` for those that are not imported yet. They are imported when the
            workflow is launched, not before.

    Example:
        >>> from hydraflyte import uses
        >>> @uses("plugins.cleaning:strip", "plugins.cleaning:fold")
        ... def clean(name: str) -> str:
        ...     return name
        >>> clean("as it was")
        'as it was'
    """
    for entity in entities:
        if isinstance(entity, str) and not all(entity.partition(":")[::2]):
            raise DiscoveryError(f"uses({entity!r}) names nothing.", hint='write it as "module:name".')

    def declare(function: _F) -> _F:
        marked: Any = getattr(function, "task_function", function)  # above @dynamic, it gets the task
        setattr(marked, _MARK, (*getattr(marked, _MARK, ()), *entities))
        return function

    return declare


def declared_by(function: Callable[..., object]) -> Iterator[object]:
    """Yield what :func:`uses` says about a function, in order; strings imported.

    Raises:
        DiscoveryError: a name leads to nothing.
    """
    for entity in vars(function).get(_MARK, ()):
        yield _imported(entity) if isinstance(entity, str) else entity


def _imported(name: str) -> object:
    module, _, variable = name.partition(":")
    try:
        return getattr(import_module(module), variable)
    except (ImportError, AttributeError) as error:
        raise DiscoveryError(
            f"uses({name!r}) leads to nothing: {error}.", hint='correct the name: "module:name", importable from here.'
        ) from error
