"""What one job hands to its workflow: the composed config, fitted to the workflow's parameters.

Pure: a config and an interface in, values out. A parameter named ``cfg`` or ``config`` of a container type takes
the whole config; every other one takes the config node of its name. All misfits are collected, then raised once.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from hydraflyte.config import nearest
from hydraflyte.errors import InputsError

WHOLE_CONFIG_NAMES = ("cfg", "config")
SETTINGS_KEY = "flyte"
"""Top-level config key with settings of the job itself; never an input unless a parameter is named so."""


_RESOLVER = re.compile(r"\$\{[^{}]*:")


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a workflow.

    Attributes:
        type: its annotation, as flytekit resolved it.
        default: its default value, or ``REQUIRED``.
    """

    name: str
    type: Any  # Any: an annotation need not be a class (list[int], Optional[str])
    default: Any = REQUIRED  # Any: the user's own value

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs:
    """The inputs of one job.

    Attributes:
        values: parameter name -> Python value; complete, defaults included.
        types: parameter name -> the parameter's annotation.
    """

    values: Mapping[str, Any]
    types: Mapping[str, Any]


def fit_inputs(config: DictConfig, parameters: Sequence[Parameter]) -> JobInputs:
    """Return the workflow's inputs for one job.

    Args:
        config: the job's composed config, without the ``hydra`` node.
        parameters: the main workflow's parameters.

    Raises:
        InputsError: keys are missing, not wanted by any parameter, or of the wrong type; names all of them.

    Example:
        >>> fit_inputs(OmegaConf.create({"lr": 0.1}), [Parameter(name="lr", type=float)]).values
        {'lr': 0.1}
    """
    misnamed = [*_missing(config, parameters), *_extra(config, parameters)]
    misvalued = []
    values: dict[str, Any] = {}
    for parameter in parameters:
        if not _has_key(config, parameter) and not _takes_whole_config(parameter, config):
            values[parameter.name] = parameter.default
            continue
        try:
            values[parameter.name] = _value(config, parameter)
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            prefix = "" if _takes_whole_config(parameter, config) else parameter.name
            misvalued.append(_misvalued(parameter, _path(prefix, error), error))
    if misnamed or misvalued:
        raise _misfit(misnamed, misvalued, config, parameters)
    return JobInputs(values=values, types={parameter.name: parameter.type for parameter in parameters})


def fit_defaults(config: DictConfig, parameters: Sequence[Parameter]) -> JobInputs:
    """Return what the config gives to those parameters that it fits; the others are left out, and nothing is raised.

    A value that depends on where it is resolved (``${oc.env:HOME}``) is left out too, except inside a config that
    travels with its interpolations.
    """
    values: dict[str, Any] = {}
    for parameter in parameters:
        whole = _takes_whole_config(parameter, config)
        if not whole and not _has_key(config, parameter):
            continue
        node = config if whole else config._get_node(parameter.name)
        if parameter.type is not DictConfig and _asks_a_resolver(node):
            continue
        with suppress(OmegaConfBaseException, TypeError, ValueError):
            values[parameter.name] = _value(config, parameter)
    return JobInputs(values=values, types={parameter.name: parameter.type for parameter in parameters})


def _asks_a_resolver(node: Any) -> bool:  # Any: a node of OmegaConf
    return (
        _RESOLVER.search(OmegaConf.to_yaml(node, resolve=False) if OmegaConf.is_config(node) else str(node._value()))
        is not None
    )


def _has_key(config: DictConfig, parameter: Parameter) -> bool:
    """Tell whether the config has the key, also without a value: ``in`` says no of what is ``???``."""
    return parameter.name in config.keys()  # noqa: SIM118


def _takes_whole_config(parameter: Parameter, config: DictConfig) -> bool:
    """Tell whether the parameter is the config itself: by its name, if no config key has that name."""
    return (
        parameter.name in WHOLE_CONFIG_NAMES and not _has_key(config, parameter) and _is_container_type(parameter.type)
    )


def _is_container_type(annotation: Any) -> bool:  # Any: see Parameter.type
    origin = typing.get_origin(annotation) or annotation
    if origin in (DictConfig, dict):
        return True
    return dataclasses.is_dataclass(origin) or hasattr(origin, "model_validate")


def _missing(config: DictConfig, parameters: Sequence[Parameter]) -> Iterator[str]:
    taken = {parameter.name for parameter in parameters}
    spare = tuple(str(key) for key in config if key not in taken)
    for parameter in parameters:
        if not parameter.is_required or _has_key(config, parameter) or _takes_whole_config(parameter, config):
            continue
        meant = nearest(parameter.name, spare)
        suffix = f"; the config has {meant!r}" if meant else ""
        yield f"{parameter.name}: missing in the config{suffix}"


def _extra(config: DictConfig, parameters: Sequence[Parameter]) -> Iterator[str]:
    if any(_takes_whole_config(parameter, config) for parameter in parameters):
        return
    names = tuple(parameter.name for parameter in parameters)
    for key in map(str, config):
        if key in (*names, SETTINGS_KEY) or key.startswith("_"):
            continue
        meant = nearest(key, names)
        suffix = f"; did you mean {meant!r}?" if meant else ""
        yield f"{key}: no parameter of the workflow takes this config key{suffix}"


def _value(config: DictConfig, parameter: Parameter) -> Any:  # Any: the user's own value
    if _takes_whole_config(parameter, config):
        return _fit(config, parameter.type)
    node = config._get_node(parameter.name)
    if isinstance(node, (DictConfig, ListConfig)) and not (node._is_none() or node._is_interpolation()):
        return _fit(node, parameter.type)
    return _fit(config[parameter.name], parameter.type)


def _fit(value: Any, annotation: Any) -> Any:  # Any: user values and their annotations
    """Return ``value`` as the annotation wants it; what OmegaConf has no schema for is left to flytekit."""
    inner = optional_of(annotation)
    if inner is not None:
        return None if value is None else _fit(value, inner)
    if annotation in (DictConfig, ListConfig):
        if not isinstance(value, annotation):
            raise TypeError(f"got {describe(type(value))} {_plain(value)!r}")
        return value
    if isinstance(value, str) and dataclasses.is_dataclass(annotation) and _is_path_like(annotation):
        return value  # a FlyteFile or FlyteDirectory, which flytekit makes of its address
    if isinstance(value, DictConfig) and dataclasses.is_dataclass(annotation):
        return _as_dataclass(value, annotation)
    if isinstance(value, str) and annotation in (datetime, date):  # YAML's own times are texts for OmegaConf
        return _as_time(value, annotation)
    plain = _plain(value)
    if hasattr(annotation, "model_validate"):
        return annotation.model_validate(plain)
    return _through_schema(plain, annotation)


def _as_time(text: str, annotation: type[date]) -> date:
    """Return a time or day as ISO 8601 has it; a time without a zone is one in UTC, as schedules count."""
    if annotation is date:
        return date.fromisoformat(text)
    time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))  # Python 3.10 does not know Z
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)


def _is_path_like(annotation: Any) -> bool:  # Any: see Parameter.type
    return isinstance(annotation, type) and issubclass(annotation, os.PathLike)


def _as_dataclass(node: DictConfig, annotation: Any) -> Any:  # Any: the user's dataclass
    node_type = OmegaConf.get_type(node)
    if isinstance(node_type, type) and issubclass(node_type, annotation):
        return OmegaConf.to_object(node)
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(annotation), _plain(node)))


def _through_schema(plain: Any, annotation: Any) -> Any:  # Any: user values and their annotations
    """Let OmegaConf check and convert, as it does for a structured config's field of that type."""
    schema = dataclasses.make_dataclass("Parameter", [("value", annotation)])
    try:
        typed = OmegaConf.structured(schema)
    except (OmegaConfBaseException, TypeError):
        return plain  # a type OmegaConf does not know: flytekit converts it, or refuses it by name
    try:
        return getattr(OmegaConf.to_object(OmegaConf.merge(typed, {"value": plain})), "value")  # noqa: B009
    except OmegaConfBaseException as error:
        error.full_key = str(error.full_key or "").removeprefix("value").removeprefix(".")
        raise


def _plain(value: Any) -> Any:  # Any: user values
    if isinstance(value, (DictConfig, ListConfig)):
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    return value


def optional_of(annotation: Any) -> Any | None:  # Any: see Parameter.type
    """Return ``T`` of ``Optional[T]``, else None."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    members = [member for member in typing.get_args(annotation) if member is not type(None)]
    has_none = len(members) < len(typing.get_args(annotation))
    return members[0] if has_none and len(members) == 1 else None


def describe(annotation: Any) -> str:  # Any: see Parameter.type
    """Return a type as people write it."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _path(prefix: str, error: Exception) -> str:
    """Return the key that the error is about, from the top of the config; OmegaConf may count from the node."""
    key = str(getattr(error, "full_key", None) or "")
    if not prefix or not key or key == prefix or key.startswith((f"{prefix}.", f"{prefix}[")):
        return key or prefix
    return f"{prefix}{key}" if key.startswith("[") else f"{prefix}.{key}"


def _misvalued(parameter: Parameter, path: str, error: Exception) -> str:
    if isinstance(error, MissingMandatoryValue):
        return f"{path} has no value (it is ??? in the config): give one with {path}=…"
    suffix = ""
    owner = getattr(error, "object_type", None)
    if isinstance(error, ConfigKeyError) and dataclasses.is_dataclass(owner):
        meant = nearest(path.rpartition(".")[2], tuple(field.name for field in dataclasses.fields(owner)))
        suffix = f"; did you mean {meant!r}?" if meant else ""
    where = path or parameter.name
    if where != parameter.name:
        return f"{where}: {_first_line(error)}{suffix}"
    return f"{where}: {describe(parameter.type)} cannot be made of it: {_first_line(error)}{suffix}"


def _misfit(
    misnamed: Sequence[str], misvalued: Sequence[str], config: DictConfig, parameters: Sequence[Parameter]
) -> InputsError:
    wanted = ", ".join(f"{parameter.name}: {describe(parameter.type)}" for parameter in parameters) or "(none)"
    given = ", ".join(str(key) for key in config) or "(none)"
    lines = "\n".join(f"  - {problem}" for problem in (*misnamed, *misvalued))
    renaming = (
        "rename or add the key in the config (+key=value on the command line), "
        "or give the workflow one parameter `cfg: DictConfig`, which takes the whole config."
    )
    return InputsError(
        f"The config does not fit the workflow's parameters:\n{lines}\n"
        f"parameters of the workflow: {wanted}\nkeys of the config: {given}",
        hint=renaming if misnamed else "correct the value in the config, or with key=value on the command line.",
    )
