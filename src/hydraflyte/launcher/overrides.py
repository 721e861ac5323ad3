"""Hydra's override grammar on a config that is already composed, such as the registered default of a launch plan.

Pure. One rule: what Hydra would do to a composed config happens here, and what needs the program's config files is
refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.config import nearest
from hydraflyte.errors import InputsError

_ABSENT = object()


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return a copy of the config with the overrides applied, in their order.

    Raises:
        InputsError: an override cannot be read, or does not fit the config; names the nearest key.

    Example:
        >>> config = OmegaConf.create({"train": {"lr": 0.1}})
        >>> dict(apply_overrides(config, ["train.lr=0.5", "+train.epochs=3"]).train)
        {'lr': 0.5, 'epochs': 3}
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise InputsError(
            f"An override cannot be read: {error}", hint="write key=value, +key=value, ++key=value or ~key."
        ) from error
    changed: DictConfig = config.copy()
    OmegaConf.set_struct(changed, True)
    with read_write(changed):
        for override in parsed:
            _apply(changed, override)
    OmegaConf.set_struct(changed, OmegaConf.is_struct(config))
    return changed


def _apply(config: DictConfig, override: Override) -> None:
    key, text = str(override.key_or_group), str(override.input_line)
    if override.is_sweep_override():
        raise InputsError(
            f"The override {text} is a sweep.",
            hint="execute once per value, or launch a sweep with the program itself.",
        )
    if "/" in key or override.package is not None:
        raise InputsError(
            f"The override {text} chooses a config group, and the config files are not here.",
            hint="override values: what the group would set, key by key.",
        )
    try:
        if override.is_delete():
            _delete(config, key, override)
            return
        value = override.value()
        if override.is_add() or override.is_force_add():
            with open_dict(config):
                OmegaConf.update(config, key, value, merge=True, force_add=True)
            return
        _refuse_group(config, key, text, value)
        OmegaConf.update(config, key, value, merge=True)
    except OmegaConfBaseException as error:
        raise InputsError(f"The override {text} does not fit: {_first_line(error)}", hint=_hint(config, key)) from error


def _delete(config: DictConfig, key: str, override: Override) -> None:
    found = OmegaConf.select(config, key, default=_ABSENT)
    wanted = override.value()
    if found is _ABSENT or (wanted not in (None, "") and found != wanted):
        raise InputsError(
            f"The override {override.input_line} does not fit: there is no such key, or it has another value.",
            hint=_hint(config, key),
        )
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    with open_dict(config):
        del node[last]


def _refuse_group(config: DictConfig, key: str, text: str, value: Any) -> None:  # Any: the user's own
    found = OmegaConf.select(config, key, default=None)
    if isinstance(found, DictConfig) and value is not None and not isinstance(value, dict):
        raise InputsError(
            f"The override {text} would replace {len(found)} keys: if {key} is a config group, its files are not here.",
            hint=f"override its values, such as {key}.{next(map(str, found), 'key')}=….",
        )


def _hint(config: DictConfig, key: str) -> str:
    """Return the nearest key of the level where the path ends to exist."""
    parent, _, last = key.rpartition(".")
    node: object = OmegaConf.select(config, parent, default=None) if parent else config
    if not isinstance(node, DictConfig):
        return _hint(config, parent) if parent else "see the keys of the config."
    known: tuple[str, ...] = tuple(str(name) for name in node)
    meant = nearest(last, known)
    prefix = f"{parent}." if parent else ""
    if meant is not None and meant != last:
        return f"did you mean {prefix}{meant}?"
    return f"its keys there are {', '.join(f'{prefix}{name}' for name in known) or '(none)'}; +{key}=… adds one."


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
