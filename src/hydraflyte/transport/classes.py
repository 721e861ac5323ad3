"""Which class a literal may name, and where it comes from.

The rule: a name from the wire never decides what is imported. A class is taken from the task's own annotation, else
from a module that this process has imported already, else from a module that the settings allow. Whatever is found
must be a dataclass, an attrs class or an enum.
"""

from __future__ import annotations

import enum
import importlib
import sys
import typing
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn

from hydraflyte.transport.errors import TransportError, TransportWarning
from hydraflyte.transport.settings import MissingClass, TransportSettings


def class_reference(cls: type) -> tuple[str, str]:
    """Return the module and the qualified name under which a task process finds ``cls``.

    A class of a script that runs as ``__main__`` is named by the module that the script is when it is imported.
    """
    module = cls.__module__
    if module == "__main__":
        module = _importable_name(cls)
    return module, cls.__qualname__


def _importable_name(cls: type) -> str:
    from flytekit.core.tracker import extract_task_module  # on import, flytekit imports our plugin, and with it us

    try:
        # flytekit names the tasks of a script with the same function, so both sides agree on the module.
        _, module, _, _ = extract_task_module(cls)
    except (OSError, TypeError, AssertionError):  # a class typed into an interpreter has no file
        return cls.__module__
    return str(module) or cls.__module__


def is_structured(cls: Any) -> bool:
    """Say whether ``cls`` is a class that OmegaConf takes as a schema: a dataclass or an attrs class."""
    return isinstance(cls, type) and any(
        marker in vars(base) for base in cls.__mro__ for marker in ("__dataclass_fields__", "__attrs_attrs__")
    )


def named_classes(roots: Iterable[type]) -> dict[tuple[str, str], type]:
    """Collect ``roots`` and every schema and enum that their annotations reach, by reference."""
    found: dict[tuple[str, str], type] = {}
    waiting: list[Any] = list(roots)
    while waiting:
        current = waiting.pop()
        waiting.extend(typing.get_args(current))
        if not isinstance(current, type) or not (is_structured(current) or issubclass(current, enum.Enum)):
            continue
        reference = class_reference(current)
        if reference not in found:
            found[reference] = current
            waiting.extend(_field_types(current))
    return found


def _field_types(cls: type) -> list[Any]:
    try:
        return list(typing.get_type_hints(cls).values())
    except (NameError, TypeError):  # an annotation that only a type checker can read
        return []


class ClassFinder:
    """Finds the classes that one literal names, and remembers which it did not find.

    Args:
        settings: what may be used.
        named: classes from the task's annotation, by reference.
        with_schemas: whether schemas are wanted; if not, only enums are found.
    """

    def __init__(
        self,
        *,
        settings: TransportSettings,
        named: dict[tuple[str, str], type] | None = None,
        with_schemas: bool = True,
    ) -> None:
        self._settings = settings
        self._named = named or {}
        self._with_schemas = with_schemas
        self._missing: dict[str, None] = {}

    def find(self, module: object, name: object) -> type | None:
        """Return the schema or enum, or ``None`` if it is not to be had and the settings accept that.

        Raises:
            TransportError: if it is not to be had and the settings do not accept that.
        """
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TransportError(
                f"The literal names a class by {module!r} and {name!r}, which are no names.",
                hint="the literal is damaged or forged: write it again",
            )
        found = self._named.get((module, name)) or self._find_loaded(module, name) or self._find_allowed(module, name)
        if found is not None and issubclass(found, enum.Enum):
            return found
        if not self._with_schemas:
            return None
        if found is not None and is_structured(found):
            return found
        self.miss(f"{module}.{name}")
        return None

    def find_structured(self, module: object, name: object) -> type | None:
        """Like ``find``, for a dataclass or an attrs class."""
        found = self.find(module, name)
        if found is not None and not is_structured(found):  # an enum
            self.miss(f"{module}.{name}")
            return None
        return found

    def find_enum(self, module: object, name: object) -> type[enum.Enum] | None:
        """Like ``find``, for an enum."""
        found = self.find(module, name)
        if found is not None and not issubclass(found, enum.Enum):
            self.miss(f"{module}.{name}")
            return None
        return found

    def miss(self, name: str) -> None:
        """Note that ``name`` is not to be had.

        Raises:
            TransportError: if the settings do not accept that.
        """
        if self._settings.missing_class is MissingClass.FAIL:
            _fail(name)
        self._missing[name] = None

    def warn_about_missing(self) -> None:
        """Warn once about all classes that were not found."""
        if self._missing:
            names = ", ".join(self._missing)
            warnings.warn(
                f"A config names {names}, not available in this process: those nodes are plain ones. "
                "Import the module before the config is read, annotate the input with the class "
                "(Annotated[DictConfig, TheClass]), or allow its module: HYDRAFLYTE_TRANSPORT=allow=the.module",
                TransportWarning,
                stacklevel=4,
            )

    def _find_loaded(self, module: str, name: str) -> type | None:
        if not self._settings.use_loaded_classes:
            return None
        if module in sys.modules:
            return _look_up(module, name)
        main = _look_up("__main__", name)  # the script that is running may be the module that is meant
        if main is not None and class_reference(main) == (module, name):
            return main
        return None

    def _find_allowed(self, module: str, name: str) -> type | None:
        if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in self._settings.allow):
            return None
        try:
            importlib.import_module(module)
        except ImportError:
            return None
        return _look_up(module, name)


def _look_up(module: str, name: str) -> type | None:
    """Follow ``name`` through the namespaces alone: ``getattr`` would run a module's ``__getattr__``."""
    current: Any = sys.modules.get(module)
    for part in name.split("."):
        if not isinstance(current, type | ModuleType):
            return None
        current = vars(current).get(part)
    return current if isinstance(current, type) else None


def _fail(name: str) -> NoReturn:
    raise TransportError(
        f"A config names {name}, not available in this process.",
        hint="import its module before the config is read, annotate the input with the class "
        "(Annotated[DictConfig, TheClass]), or allow its module: HYDRAFLYTE_TRANSPORT=allow=the.module",
    )
