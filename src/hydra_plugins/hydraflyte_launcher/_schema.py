"""The launcher's config node, and the guard in it that stops ``python train.py hydra/launcher=flyte``.

Without ``-m``, Hydra ignores the launcher without a word. The guard is no Hydra callback: Hydra 1.4 instantiates
those under the program's execution whitelist, so one of ours would warn in every program and break those that have
a whitelist. Instead, if the command line names the launcher and asks for no sweep, the node has an interpolation
that a run resolves before it does anything. Imported only when Hydra loads the node.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache, partial
from types import FrameType
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf
from hydra.conf import HydraConf
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydraflyte.config import LauncherConfig

_LAUNCHER = "hydra_plugins.hydraflyte_launcher.launcher.FlyteLauncher"
_RESOLVER = "hydraflyte.needs_multirun"
_NAMED = re.compile(r"\+{0,2}hydra/launcher(?:@[^=]*)?=['\"]?(\w+)['\"]?")


def _open_schema() -> type:
    """Return the schema as Hydra sees it: every key of ``LauncherConfig``, and any value.

    What fits is for hydraflyte.launcher.settings to say, which names what was meant. Derives from the basic launcher's:
    ``@hydra.main(config_name="hydra/launcher/flyte")`` merges it onto that one.
    """
    defaults = _plain(LauncherConfig())
    assert isinstance(defaults, dict)
    return dataclasses.make_dataclass(
        "FlyteLauncherConf",
        [
            ("_target_", str, dataclasses.field(default="hydra_plugins.hydraflyte_launcher.launcher.FlyteLauncher")),
            *(
                (name, Any, dataclasses.field(default_factory=partial(copy.deepcopy, value)))
                for name, value in defaults.items()
            ),
        ],
        bases=(BasicLauncherConf,),
        namespace={"__module__": __name__},
    )


def _plain(value: object) -> object:
    """Return a default without classes, so that every value can take its place."""
    if isinstance(value, Enum):
        return value.name
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


FlyteLauncherConf = _open_schema()


def refuse_in_a_job(name: str) -> None:
    """Refuse to be chosen by a config that only a job of a sweep has, such as an experiment file that is swept over.

    The launcher has been chosen by then, and Hydra 1.3 runs the jobs with that one, without a word (hydra#2946). Hydra
    1.4 refuses it itself. A source is not told what is composed, so the caller's frame has to say it.

    Raises:
        ConfigCompositionException: another launcher runs this sweep.
    """
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "load_sweep_config":
        frame = frame.f_back
    sweep = None if frame is None else frame.f_locals.get("master_config")
    if sweep is None or OmegaConf.select(sweep, "hydra.launcher._target_") == _LAUNCHER:
        return
    raise ConfigCompositionException(
        f"hydra/launcher={name} is chosen in a config of one job, and the sweep has its launcher already: "
        f"choose it in the primary config, or with hydra/launcher={name} on the command line."
    )


def launcher_node(name: str, arguments: Sequence[str]) -> tuple[DictConfig, str | None]:
    """Return the config node of that name and the package it belongs to, None for that of its group.

    Args:
        name: ``flyte`` or ``hydraflyte``.
        arguments: the program's command line.
    """
    if not is_named_without_multirun(name, arguments):
        return copy.deepcopy(_template()), None  # Hydra asks twice for every job of a sweep
    _register_resolver()
    guarded = OmegaConf.create(_guarded_node(name))
    _open_node(guarded.launcher)
    return guarded, "hydra"


@cache
def _template() -> DictConfig:
    """Return the node as every composition gets a copy of: making it takes four times as long."""
    return _open_node(OmegaConf.structured(FlyteLauncherConf))


def _open_node(node: DictConfig) -> DictConfig:
    """Let the node take keys that it does not have; what is said about them is said when they are read."""
    OmegaConf.set_struct(node, False)
    for child in node.values():
        if isinstance(child, DictConfig):
            _open_node(child)
    return node


def is_named_without_multirun(name: str, arguments: Sequence[str]) -> bool:
    """Tell whether the command line chooses this launcher and does not ask for a sweep."""
    if "-m" in arguments or "--multirun" in arguments:
        return False
    matches = (_NAMED.fullmatch(argument) for argument in arguments)
    return any(match is not None and match.group(1) == name for match in matches)


def stop_unless_multirun(name: str, *, _root_: DictConfig) -> str:
    """Return an empty string, unless Hydra is about to run the job here: then exit with one sentence."""
    if OmegaConf.select(_root_, "hydra.mode") == RunMode.RUN:
        raise SystemExit(
            f"hydra/launcher={name} launches only sweeps, also of one job: "
            f"add -m (or hydra.mode=MULTIRUN); leave hydra/launcher={name} out to run here as plain Python."
        )
    return ""


def _register_resolver() -> None:
    """Register the guard; the function that does it has another name in OmegaConf 2.3 than in 2.4."""
    register: Callable[..., None] = OmegaConf.register_resolver
    if "replace" not in inspect.signature(register).parameters:
        register = OmegaConf.register_new_resolver
    register(_RESOLVER, stop_unless_multirun, replace=True)


def _guarded_node(name: str) -> dict[str, object]:
    """Return the launcher's node with the interpolation where a run reads first, and where it always reads.

    The first, ``hydra.run.dir``, is resolved before anything is written, but the program's own config may
    replace it; ``hydra.job.env_set`` is only added to.
    """
    interpolation = f"${{{_RESOLVER}:{name}}}"
    return {
        "launcher": FlyteLauncherConf,
        "run": {"dir": f"{interpolation}{HydraConf().run.dir}"},
        "job": {"env_set": {"HYDRAFLYTE_LAUNCHER": interpolation}},
    }
