"""How configs travel: one frozen value, active for the whole process.

The active settings are process-wide on purpose: flytekit converts values on threads of its own event loops, so a
context variable of the caller would not arrive there. Where a value differs, the annotation says it:
``Annotated[DictConfig, TransportSettings(resolve=Resolve.ALL)]``.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hydraflyte.transport.errors import TransportError

ENVIRONMENT_VARIABLE = "HYDRAFLYTE_TRANSPORT"
HYDRA_JOB_VARIABLE = "HYDRAFLYTE_HYDRA_JOB"
"""Variable of a task's environment that carries its job's Hydra side; see ``hydra_job``."""


class Resolve(enum.Enum):
    """What happens to ``${…}`` when a config is written."""

    KEEP = "keep"  # stays an interpolation; only what points out of the part that travels is resolved
    ALL = "all"  # every interpolation becomes its value; one that has none is an error
    POSSIBLE = "possible"  # every interpolation that has a value here becomes it, the others stay


class Encoding(enum.Enum):
    """The form in which a config is written. Reading accepts all of them."""

    MSGPACK = "msgpack"  # a plain tree and, where needed, its shapes
    PLUGIN = "plugin"  # the form of flytekitplugins-omegaconf, for images that have only that


class MissingClass(enum.Enum):
    """What happens when a class that a literal names cannot be had."""

    PLAIN = "plain"  # its nodes become plain ones, with one warning
    FAIL = "fail"  # an error that names the class


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """How configs are written and read.

    Attributes:
        resolve: what happens to interpolations on the way out.
        encoding: the form that is written.
        missing_class: what happens when a class named by a literal is not available.
        allow: modules that reading may import, with everything below them (``("conf", "acme.schemas")``).
        use_loaded_classes: whether dataclasses, attrs classes and enums of modules that this process has imported
            already may be used. Nothing is imported for it.
        max_depth: deepest nesting that is written or read. OmegaConf itself stops below 100.
        max_nodes: most nodes that one literal may hold; a node takes about 700 bytes of memory.
        max_bytes: largest literal that is written or read.
    """

    resolve: Resolve = Resolve.KEEP
    encoding: Encoding = Encoding.MSGPACK
    missing_class: MissingClass = MissingClass.PLAIN
    allow: tuple[str, ...] = ()
    use_loaded_classes: bool = True
    max_depth: int = 128
    max_nodes: int = 2_000_000
    max_bytes: int = 100_000_000


class _Active:
    """The settings of this process."""

    __slots__ = ("settings",)

    def __init__(self) -> None:
        self.settings = TransportSettings()


_ACTIVE = _Active()


def active_settings() -> TransportSettings:
    """Return the settings that hold where an annotation says nothing else."""
    return _ACTIVE.settings


def configure(settings: TransportSettings) -> None:
    """Make ``settings`` the ones of this process.

    Example:
        >>> configure(TransportSettings(allow=("acme.schemas",)))
        >>> active_settings().allow
        ('acme.schemas',)
        >>> configure(TransportSettings())
    """
    _ACTIVE.settings = settings


@contextmanager
def using(settings: TransportSettings) -> Iterator[TransportSettings]:
    """Make ``settings`` the ones of this process until the block ends, for all of its threads."""
    previous = _ACTIVE.settings
    _ACTIVE.settings = settings
    try:
        yield settings
    finally:
        _ACTIVE.settings = previous


def settings_from_environment(environment: Mapping[str, str]) -> TransportSettings:
    """Read ``HYDRAFLYTE_TRANSPORT``, for example ``resolve=possible,encoding=plugin,allow=conf:acme.schemas``.

    Raises:
        TransportError: if a key or a value is not known.

    Example:
        >>> settings_from_environment({"HYDRAFLYTE_TRANSPORT": "resolve=all"}).resolve
        <Resolve.ALL: 'all'>
    """
    text = environment.get(ENVIRONMENT_VARIABLE, "")
    changes: dict[str, object] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = entry.partition("=")
        try:
            changes[key.strip()] = _parse(key.strip(), value.strip())
        except (KeyError, ValueError):
            raise TransportError(
                f"{ENVIRONMENT_VARIABLE} has {entry!r}, which is not a setting.",
                hint=f"use {', '.join(sorted(_PARSERS))} as key=value, parted by commas: "
                "resolve=keep|all|possible, encoding=msgpack|plugin, missing_class=plain|fail, "
                "allow=module:module, use_loaded_classes=true|false, and numbers for the limits",
            ) from None
    return dataclasses.replace(TransportSettings(), **changes)  # type: ignore[arg-type]  # values parsed by field


def _parse(key: str, value: str) -> object:
    return _PARSERS[key](value)


def _parse_flag(value: str) -> bool:
    return {"true": True, "false": False}[value.lower()]


_PARSERS: dict[str, Callable[[str], object]] = {
    "resolve": Resolve,
    "encoding": Encoding,
    "missing_class": MissingClass,
    "allow": lambda value: tuple(filter(None, value.split(":"))),
    "use_loaded_classes": _parse_flag,
    "max_depth": int,
    "max_nodes": int,
    "max_bytes": int,
}
