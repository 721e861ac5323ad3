"""``hydra.launcher`` as it was composed -> LauncherConfig, or one error that names every wrong key and the nearest.

The node takes any key while Hydra composes (``hydra_plugins``), so that what is said about a typo is said here. Knows
the schema from its dataclasses alone.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.config import PREFIX, LauncherConfig, Problem, nearest
from hydraflyte.errors import ConfigError

_OF_HYDRA = "_target_"


def read_settings(config: DictConfig) -> LauncherConfig:
    """Return what is set under ``hydra.launcher``.

    Raises:
        ConfigError: keys do not exist, or values do not fit.
    """
    try:
        values = OmegaConf.to_container(config.hydra.launcher, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{PREFIX}: {_first_line(error)}", hint="correct the value.") from error
    assert isinstance(values, dict)
    values.pop(_OF_HYDRA, None)
    problems = list(_problems(LauncherConfig, values, PREFIX))
    if problems:
        raise _as_error(problems)
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(LauncherConfig), values))
    except OmegaConfBaseException as error:
        key = str(error.full_key or "")
        raise ConfigError(
            f"{PREFIX}{'.' if key else ''}{key}: {_first_line(error)}", hint="correct the value; see the config keys."
        ) from error
    assert isinstance(settings, LauncherConfig)
    return settings


def _problems(schema: type, values: Mapping[Any, Any], path: str) -> Iterator[Problem]:  # Any: what the user wrote
    """Yield keys that do not exist and values that are none of a closed set, at any depth."""
    hints = typing.get_type_hints(schema)
    known = tuple(field.name for field in dataclasses.fields(schema))
    for key, value in values.items():
        if key not in known:
            yield _no_such_key(str(key), schema, path)
            continue
        hint = hints[key]
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is list else None
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _record_problems(hint, value, f"{path}.{key}")
        elif isinstance(hint, type) and issubclass(hint, Enum):
            yield from _choice_problems(hint, value, f"{path}.{key}")
        elif isinstance(inner, type) and dataclasses.is_dataclass(inner) and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _record_problems(inner, item, f"{path}.{key}[{index}]")
        else:
            yield from _value_problems(schema, hint, key, value, path)


def _record_problems(schema: type, value: Any, path: str) -> Iterator[Problem]:  # Any: what the user wrote
    if isinstance(value, Mapping):
        yield from _problems(schema, value, path)
        return
    keys = ", ".join(field.name for field in dataclasses.fields(schema))
    yield Problem(f"{path}={value!r} is no mapping.", f"its keys are {keys}.")


def _value_problems(
    schema: type, hint: Any, key: str, value: Any, path: str
) -> Iterator[Problem]:  # Any: an annotation, and what the user wrote
    """Yield a problem if OmegaConf cannot make what the key takes of a value."""
    taken = tuple(each for each in typing.get_args(hint) or (hint,) if isinstance(each, type))
    if hint is Any or (typing.get_origin(hint) in (None, UnionType) and isinstance(value, taken)):
        return
    try:
        OmegaConf.merge(OmegaConf.structured(schema), {key: value})
    except OmegaConfBaseException as error:
        if bool in taken:
            meant = nearest(str(value), ("true", "false", "yes", "no", "on", "off"))
            hint_text = f"did you mean {path}.{key}={meant}?" if meant else f"write {path}.{key}=true or false."
            yield Problem(f"{path}.{key}={value!r} is neither true nor false.", hint_text)
        elif int in taken:
            yield Problem(f"{path}.{key}={value!r} is no whole number.", f"write {path}.{key}=4, for example.")
        elif typing.get_origin(hint) is list and not isinstance(value, list):
            yield Problem(f"{path}.{key}={value!r} is no list.", f"write '{path}.{key}=[{value}]'.")
        else:
            yield Problem(f"{path}.{key}: {_first_line(error)}", "correct the value; see the config keys.")


def _no_such_key(key: str, schema: type, path: str) -> Problem:
    known = tuple(field.name for field in dataclasses.fields(schema))
    meant = _deeper_key(key, schema) or nearest(key, known)
    hint = f"did you mean {path}.{meant}?" if meant else f"its keys are {', '.join(known)}."
    return Problem(f"{path} has no key {key!r}.", hint)


def _deeper_key(key: str, schema: type) -> str | None:
    """Return where a key of this name is one level deeper, or None."""
    for name, hint in typing.get_type_hints(schema).items():
        if dataclasses.is_dataclass(hint) and key in {field.name for field in dataclasses.fields(hint)}:
            return f"{name}.{key}"
    return None


def _choice_problems(choices: type[Enum], value: Any, path: str) -> Iterator[Problem]:  # Any: what the user wrote
    names = tuple(choices.__members__)
    if value not in names:
        meant = nearest(str(value), names)
        hint = f"did you mean {path}={meant}?" if meant else f"set it to one of {', '.join(names)}."
        yield Problem(f"{path}={value!r} is none of {', '.join(names)}.", hint)


def _as_error(problems: list[Problem]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(problems[0].text, hint=problems[0].hint)
    lines = "\n".join(f"  - {problem.text}" for problem in problems)
    hints = " ".join(f"({number}) {problem.hint}" for number, problem in enumerate(problems, start=1))
    return ConfigError(f"{len(problems)} settings under {PREFIX} do not fit:\n{lines}", hint=hints)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
