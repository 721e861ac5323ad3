"""Other packages that also claim the name ``hydra/launcher=flyte``: found among Hydra's plugins, and named."""

from __future__ import annotations

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

_OURS = "hydra_plugins.hydraflyte_launcher."


def other_claims() -> tuple[str, ...]:
    """Return the modules of other launcher plugins for Flyte, sorted; empty if there is none."""
    modules = {plugin.__module__ for plugin in Plugins.instance().discover(Launcher)}
    return tuple(sorted(name for name in modules if "flyte" in name.lower() and not name.startswith(_OURS)))


def warning_about_claims(modules: tuple[str, ...]) -> str:
    """Return one sentence that names the packages and how to be sure which launcher is meant."""
    return (
        f"hydra/launcher=flyte is also claimed by {', '.join(modules)}: "
        "choose hydra/launcher=hydraflyte to be sure of this launcher."
    )
