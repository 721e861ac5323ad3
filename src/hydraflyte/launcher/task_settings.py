"""Settings of single tasks that a job's own config asks for: ``flyte.tasks.<task name>``.

Pure: a config and the names of the tasks in, checked values out. All problems of one config are named at once. What is
done with the values is no business of this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.config import nearest
from hydraflyte.errors import ConfigError
from hydraflyte.launcher.inputs import SETTINGS_KEY

_MAP_TASK = re.compile(r"(?P<module>.*\.)?map_(?P<function>.+)_[0-9a-f]{32}(-arraynode)?")
_QUANTITY = re.compile(r"\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i)?")
_DURATION = re.compile(r"(?P<value>\d+(\.\d+)?)\s*(?P<unit>s|m|h|d)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
RESOURCES = ("cpu", "mem", "gpu", "ephemeral_storage")


@dataclass
class TaskSettings:
    """What one task is to have; None and empty: as its decorator says.

    A schema for OmegaConf, and so not frozen; nobody changes one.
    """

    cpu: str | None = field(default=None, metadata={"help": "processors, requested and allowed alike: 2, 500m"})
    mem: str | None = field(default=None, metadata={"help": "memory, requested and allowed alike: 512Mi, 4Gi"})
    gpu: str | None = field(default=None, metadata={"help": "number of GPUs"})
    ephemeral_storage: str | None = field(default=None, metadata={"help": "scratch space, requested and allowed alike"})
    requests: dict[str, str] = field(
        default_factory=dict, metadata={"help": "resources to reserve: cpu, mem, gpu, ephemeral_storage"}
    )
    limits: dict[str, str] = field(default_factory=dict, metadata={"help": "most that may be used, likewise"})
    image: str | None = field(default=None, metadata={"help": "container image with its tag"})
    retries: int | None = field(default=None, metadata={"help": "further attempts after a failed one"})
    timeout: str | None = field(default=None, metadata={"help": "longest duration of an attempt: 90s, 30m, 2h"})
    cache: bool | None = field(default=None, metadata={"help": "whether outputs are kept and used again"})
    cache_version: str | None = field(default=None, metadata={"help": "outputs of another one are not used"})
    cache_serialize: bool | None = field(
        default=None, metadata={"help": "whether executions wait for one that computes the same"}
    )
    interruptible: bool | None = field(
        default=None, metadata={"help": "whether it may run on machines that can go away"}
    )
    secrets: list[str] = field(
        default_factory=list, metadata={"help": "secrets to provide besides the decorator's: group/key or key"}
    )
    env: dict[str, str] = field(default_factory=dict, metadata={"help": "environment variables"})

    def text(self) -> str:
        """Return what is set, the same for the same settings: ``cpu=2, env.A=1``."""
        set_values = {key: value for key, value in asdict(self).items() if value not in (None, {}, [])}
        return ", ".join(
            ", ".join(f"{key}.{inner}={item}" for inner, item in sorted(value.items()))
            if isinstance(value, dict)
            else f"{key}={_plain_text(value)}"
            for key, value in set_values.items()
        )

    def timeout_value(self) -> timedelta | None:
        """Return the timeout, or None."""
        match = _DURATION.fullmatch(self.timeout or "")
        return None if match is None else timedelta(seconds=float(match["value"]) * _SECONDS[match["unit"]])

    def wanted_resources(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return what is requested and what is allowed, by the names in ``RESOURCES``."""
        both = {name: value for name in RESOURCES if (value := getattr(self, name)) is not None}
        return {**both, **self.requests}, {**both, **self.limits}


def read_task_settings(config: DictConfig, task_names: Sequence[str]) -> dict[str, TaskSettings]:
    """Return what a job's config asks for, by the full names of the tasks; those it says nothing of are left out.

    Args:
        config: the job's composed config.
        task_names: full names of the workflow's tasks.

    Raises:
        ConfigError: a task or a key does not exist, or a value does not fit; names all of them, and what was meant.
    """
    node = config.get(SETTINGS_KEY) if SETTINGS_KEY in config else None
    if node is None:
        return {}
    problems: list[str] = []
    found: dict[str, TaskSettings] = {}
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if not isinstance(plain, dict):
        problems.append(f"{SETTINGS_KEY} is {plain!r}, and not a mapping with the key tasks")
        plain = {}
    for key in map(str, plain):
        if key != "tasks":
            problems.append(f"{SETTINGS_KEY}.{key}: there is only {SETTINGS_KEY}.tasks")
    aliases = _aliases(task_names)
    for key, value in _entries(plain.get("tasks") or {}, aliases):
        path = f"{SETTINGS_KEY}.tasks.{key}"
        names = aliases.get(key)
        if names is None:
            problems.append(f"{path}: the workflow has no task of this name{_did_you_mean(key, tuple(aliases))}")
        elif len({_without_map(name) for name in names}) > 1:
            problems.append(f"{path}: several tasks end in this name: {', '.join(names)}; write the whole one")
        else:
            settings, wrong = _settings(path, value)
            problems.extend(wrong)
            found.update(dict.fromkeys(names, settings))
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        short = ", ".join(sorted({name.rpartition(".")[2] for name in map(_without_map, task_names)})) or "(none)"
        raise ConfigError(
            f"The settings of tasks in the job's config do not fit:\n{lines}\ntasks of the workflow: {short}",
            hint=f"keys of {SETTINGS_KEY}.tasks.<task>: {', '.join(each.name for each in fields(TaskSettings))}.",
        )
    return {name: settings for name, settings in found.items() if settings.text()}


def settings_text(settings: Mapping[str, TaskSettings]) -> str:
    """Return the settings of all tasks as one line, the same for the same settings."""
    return "; ".join(f"{name}: {settings[name].text()}" for name in sorted(settings))


def _aliases(task_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the full names that a name stands for: the last part of one, or the whole; map tasks by their function."""
    aliases: dict[str, list[str]] = {}
    for name in sorted(set(task_names)):
        plain = _without_map(name)
        for alias in dict.fromkeys((plain, plain.rpartition(".")[2], name)):
            aliases.setdefault(alias, []).append(name)
    return {alias: tuple(names) for alias, names in aliases.items()}


def _without_map(name: str) -> str:
    match = _MAP_TASK.fullmatch(name)
    return name if match is None else f"{match['module'] or ''}{match['function']}"


def _entries(
    tasks: Mapping[Any, Any], aliases: Mapping[str, tuple[str, ...]], prefix: str = ""
) -> Iterator[tuple[str, Any]]:  # Any: what the user wrote
    """Yield task names and what they are given; a name with dots is a path of keys."""
    for key, value in tasks.items():
        name = f"{prefix}{key}"
        leads_on = any(alias.startswith(f"{name}.") for alias in aliases)
        if name not in aliases and leads_on and isinstance(value, Mapping):
            yield from _entries(value, aliases, f"{name}.")
        else:
            yield name, value


def _settings(path: str, value: Any) -> tuple[TaskSettings, list[str]]:  # Any: what the user wrote
    if not isinstance(value, Mapping):
        return TaskSettings(), [f"{path} is {value!r}, and not a mapping"]
    known = tuple(field.name for field in fields(TaskSettings))
    problems = [f"{path}.{key}: no such key{_did_you_mean(str(key), known)}" for key in value if key not in known]
    settings = TaskSettings()
    for key in (key for key in value if key in known):
        try:
            merged = OmegaConf.merge(OmegaConf.structured(TaskSettings), {key: value[key]})
            setattr(settings, key, getattr(OmegaConf.to_object(merged), key))
        except OmegaConfBaseException as error:
            problems.append(f"{path}.{key}: {str(error).splitlines()[0]}")
    problems.extend(f"{path}.{problem}" for problem in _misfits(settings))
    return settings, problems


def _misfits(settings: TaskSettings) -> Iterator[str]:
    for where, resources in (("requests", settings.requests), ("limits", settings.limits)):
        for name in resources:
            if name not in RESOURCES:
                yield f"{where}.{name}: no such resource{_did_you_mean(name, RESOURCES)}"
    for name, quantity in [
        *((name, value) for name in RESOURCES if (value := getattr(settings, name)) is not None),
        *((f"requests.{name}", value) for name, value in settings.requests.items()),
        *((f"limits.{name}", value) for name, value in settings.limits.items()),
    ]:
        if _QUANTITY.fullmatch(quantity) is None:
            yield f"{name}: {quantity!r} is no quantity such as 2, 500m or 4Gi"
    if settings.retries is not None and settings.retries < 0:
        yield f"retries: {settings.retries} is below 0"
    if settings.timeout is not None and _DURATION.fullmatch(settings.timeout) is None:
        yield f"timeout: {settings.timeout!r} is no duration such as 90s, 30m or 2h"


def _plain_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _did_you_mean(word: str, choices: tuple[str, ...]) -> str:
    meant = nearest(word, choices)
    return f"; did you mean {meant}?" if meant else ""
