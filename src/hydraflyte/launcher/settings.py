"""``hydra.launcher`` as it was composed -> LauncherConfig, or one error that names every wrong key and the nearest.

The node takes any key while Hydra composes (``hydra_plugins``), so that what is said about a typo is said here. Knows
the schema from its dataclasses alone.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
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
            yield _no_such_key(str(key), known, path)
            continue
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            yield from _problems(typing.cast(type, hint), value, f"{path}.{key}")
        elif isinstance(hint, type) and issubclass(hint, Enum):
            yield from _choice_problems(hint, value, f"{path}.{key}")
        elif typing.get_origin(hint) is list and isinstance(value, list):
            for index, item in enumerate(value):
                if dataclasses.is_dataclass(typing.get_args(hint)[0]) and isinstance(item, Mapping):
                    yield from _problems(typing.get_args(hint)[0], item, f"{path}.{key}[{index}]")


def _no_such_key(key: str, known: tuple[str, ...], path: str) -> Problem:
    meant = nearest(key, known)
    hint = f"did you mean {path}.{meant}?" if meant else f"its keys are {', '.join(known)}."
    return Problem(f"{path} has no key {key!r}.", hint)


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
