"""The launcher's config node, and the guard in it that stops ``python train.py hydra/launcher=flyte``.

Without ``-m``, Hydra ignores the launcher without a word. The guard is no Hydra callback: Hydra 1.4 instantiates
those under the program's execution whitelist, so one of ours would warn in every program and break those that have
a whitelist. Instead, if the command line names the launcher and asks for no sweep, the node has an interpolation
that a run resolves before it does anything. Imported only when Hydra loads the node.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf
from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydraflyte.config import LauncherConfig

_RESOLVER = "hydraflyte.needs_multirun"
_NAMED = re.compile(r"\+{0,2}hydra/launcher(?:@[^=]*)?=['\"]?(\w+)['\"]?")


@dataclass
class FlyteLauncherConf(LauncherConfig, BasicLauncherConf):  # type: ignore[misc]  # Hydra has no type information
    """The schema as Hydra sees it.

    Derives from the basic launcher's: ``@hydra.main(config_name="hydra/launcher/flyte")`` merges it onto that one.
    Closed choices and records are open here: hydraflyte.launcher.settings checks them and names what was meant.
    """

    _target_: str = "hydra_plugins.hydraflyte_launcher.launcher.FlyteLauncher"
    execution_environment: Any = LauncherConfig.execution_environment.name
    on_failure: Any = LauncherConfig.on_failure.name
    notifications: Any = field(default_factory=list)


def launcher_node(name: str, arguments: Sequence[str]) -> tuple[DictConfig, str | None]:
    """Return the config node of that name and the package it belongs to, None for that of its group.

    Args:
        name: ``flyte`` or ``hydraflyte``.
        arguments: the program's command line.
    """
    if not is_named_without_multirun(name, arguments):
        return _open_node(OmegaConf.structured(FlyteLauncherConf)), None
    _register_resolver()
    guarded = OmegaConf.create(_guarded_node(name))
    _open_node(guarded.launcher)
    return guarded, "hydra"


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
