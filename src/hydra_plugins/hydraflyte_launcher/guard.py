"""Stops ``python train.py hydra/launcher=flyte``: without ``-m`` Hydra would ignore the launcher without a word.

Not a Hydra callback: Hydra 1.4 instantiates those under the program's execution whitelist, so a callback of
ours would warn in every program and break those with a whitelist. Instead, if the command line names the
launcher and does not ask for a sweep, the stored node gets one interpolation that a run resolves before it
does anything. Programs that do not name the launcher on the command line are left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from hydra.conf import HydraConf
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.hydraflyte_launcher.config import LAUNCHER_NAMES, PROVIDER, FlyteLauncherConf

_NAMED = re.compile(rf"\+?\+?hydra/launcher(?:@[^=]*)?=['\"]?({'|'.join(LAUNCHER_NAMES)})['\"]?")
_RESOLVER = "hydraflyte.needs_multirun"


def named_without_multirun(arguments: Sequence[str]) -> str | None:
    """Return the launcher's name if the command line chooses it and does not ask for a sweep, else None."""
    if "-m" in arguments or "--multirun" in arguments:
        return None
    matches = (_NAMED.fullmatch(argument) for argument in arguments)
    return next((match.group(1) for match in matches if match), None)


def stop_unless_multirun(name: str, *, _root_: DictConfig) -> str:
    """Return an empty string, unless Hydra is about to run the job here: then exit with one sentence."""
    if OmegaConf.select(_root_, "hydra.mode") == RunMode.RUN:
        raise SystemExit(
            f"hydra/launcher={name} launches only sweeps, also of one job: "
            f"add -m (or hydra.mode=MULTIRUN); leave hydra/launcher={name} out to run here as plain Python."
        )
    return ""


class LauncherGuard(SearchPathPlugin):  # type: ignore[misc]  # Hydra has no type information
    """Hydra asks every search path plugin at the start of a program, before it composes the config."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        name = named_without_multirun(sys.argv[1:])
        stored = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {}).get(f"{name}.yaml")
        if stored is None or stored.provider != PROVIDER:
            return
        OmegaConf.register_new_resolver(_RESOLVER, stop_unless_multirun, replace=True)
        ConfigStore.instance().store(
            group="hydra/launcher", name=str(name), node=_guarded_node(str(name)), package="hydra", provider=PROVIDER
        )


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
