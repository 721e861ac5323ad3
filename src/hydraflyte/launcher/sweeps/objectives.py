"""What a sweeper is given to compare: numbers among a workflow's outputs, chosen by name.

Settings that cannot give a sweeper what it needs are refused before anything is sent. Knows the names of sweepers,
imports none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from flytekit.core.interface import Interface

from hydraflyte.config import LauncherConfig, nearest
from hydraflyte.errors import ConfigError, ExecutionError

_OPTIMISERS = ("optuna", "ax", "nevergrad", "orion", "smac", "hebo", "hypersweeper", "bayes")
"""Words in the module names of sweepers that choose the next jobs by the results of the last."""


def refuse_useless_settings(settings: LauncherConfig, sweeper_target: str, interface: Interface) -> None:
    """Check that the sweeper will get what it needs.

    Args:
        sweeper_target: ``hydra.sweeper._target_``.

    Raises:
        ConfigError: results would be missing, or an objective is no output of the workflow.
    """
    if needs_numbers(sweeper_target):
        for key in ("wait", "run"):
            if not getattr(settings, key):
                raise ConfigError(
                    f"hydra.launcher.{key}=false gives {sweeper_target.rpartition('.')[2]} no results to optimise by.",
                    hint=f"leave out hydra.launcher.{key}=false, or choose hydra/sweeper=basic.",
                )
    outputs = tuple(interface.outputs)
    if len(outputs) == 1 and _holds_values(interface.outputs[outputs[0]]):
        return  # its keys are known when it is there
    for name in settings.objectives():
        if name.split(".")[0] not in outputs:
            meant = nearest(name, outputs)
            raise ConfigError(
                f"hydra.launcher.objective={name}: the workflow has no such output.",
                hint=f"did you mean {meant}?" if meant else f"its outputs are {', '.join(outputs) or 'none at all'}.",
            )


def needs_numbers(sweeper_target: str) -> bool:
    """Tell whether a sweeper chooses the next jobs by the results of the last.

    Example:
        >>> needs_numbers("hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper")
        True
        >>> needs_numbers("hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
        False
    """
    words = sweeper_target.lower().replace(".", "_").split("_")
    return any(word.startswith(optimiser) for word in words for optimiser in _OPTIMISERS if _is_word(word, optimiser))


def objective_of(names: tuple[str, ...], value: Any, outputs: Iterable[str]) -> Any:  # Any: the user's own values
    """Return what the job returns to the sweeper: the value as it is, or the numbers that were asked for.

    Args:
        names: of the objectives, in order; none means the value itself.
        value: what the workflow returned.
        outputs: names of its outputs.

    Raises:
        ExecutionError: an objective is not there, or is no number.
    """
    if not names:
        return value
    named = _by_name(value, tuple(outputs))
    numbers = tuple(_number(name, named) for name in names)
    return numbers[0] if len(numbers) == 1 else numbers


def _by_name(value: Any, outputs: tuple[str, ...]) -> Mapping[str, Any]:
    if len(outputs) > 1:
        return dict(zip(outputs, value, strict=True))
    single = getattr(value, outputs[0], value) if isinstance(value, tuple) and hasattr(value, "_fields") else value
    return {**_items(single), outputs[0]: single}


def _items(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return {}


def _number(name: str, named: Mapping[str, Any]) -> float:
    found: Any = named
    for part in name.split("."):
        items = _items(found)
        if part not in items:
            raise ExecutionError(
                f"The objective {name!r} is not among the outputs: {', '.join(items) or 'there is nothing in it'}.",
                hint="set hydra.launcher.objective to one that is.",
            )
        found = items[part]
    try:
        return float(found)
    except (TypeError, ValueError):
        raise ExecutionError(
            f"The objective {name!r} is no number, but {type(found).__name__}: {found!r:.60}.",
            hint="let the workflow return a number under that name, or set hydra.launcher.objective to another.",
        ) from None


def _holds_values(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_mapping or dataclasses.is_dataclass(origin) or getattr(origin, "__name__", "") == "DictConfig"


def _is_word(word: str, optimiser: str) -> bool:
    return word == optimiser or (len(optimiser) > 2 and word.startswith(optimiser))
