"""Puts the launcher's schema into Hydra's config group ``hydra/launcher``, as ``flyte`` and as ``hydraflyte``.

Executed in every Hydra program, and again if it was already imported: small, and no identity is relied on.
Hydra 1.3 executes it before it is in ``sys.modules``, where a dataclass cannot resolve postponed annotations.
The schema derives from Hydra's basic launcher's, or ``@hydra.main(config_name="hydra/launcher/flyte")`` could
not merge it onto the basic launcher, which is always chosen there.
"""

from dataclasses import dataclass

from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf
from hydra.core.config_store import ConfigStore

from hydraflyte.config import LauncherConfig

LAUNCHER_NAMES = ("flyte", "hydraflyte")
PROVIDER = "hydraflyte"


@dataclass
class FlyteLauncherConf(LauncherConfig, BasicLauncherConf):  # type: ignore[misc]  # Hydra has no type information
    """The schema as Hydra sees it."""

    _target_: str = "hydra_plugins.hydraflyte_launcher.launcher.FlyteLauncher"


for _name in LAUNCHER_NAMES:
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=FlyteLauncherConf, provider=PROVIDER)
