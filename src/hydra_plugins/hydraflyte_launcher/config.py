"""Offers the launcher's schema in Hydra's config group ``hydra/launcher``, as ``flyte`` and as ``hydraflyte``.

A config source of its own instead of two entries in the ``ConfigStore``: the schema is built only in programs that
choose the launcher, and another package that stores its own ``flyte`` is noticed, whichever is imported last.
Executed in every Hydra program: small, imports nothing of hydraflyte, and no identity is relied on.
"""

from __future__ import annotations

import builtins
import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

GROUP = "hydra/launcher"
NAMES = ("flyte", "hydraflyte")
PROVIDER = "hydraflyte"
SCHEME = "hydraflyte"

_GROUPS = ("", "hydra", GROUP)
_CONFIGS = tuple(f"{GROUP}/{name}" for name in NAMES)


class FlyteLauncherSource(ConfigSource):  # type: ignore[misc]  # Hydra has no type information
    """The two configs, built when Hydra loads them."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        path = config_path.removesuffix(".yaml")
        if path not in _CONFIGS:
            raise ConfigLoadError(f"Config not found: {config_path}")
        from hydra_plugins.hydraflyte_launcher._schema import launcher_node, refuse_in_a_job

        name = path.rpartition("/")[2]
        refuse_in_a_job(name)
        config, package = launcher_node(name, sys.argv[1:])
        return ConfigResult(config=config, path=f"{SCHEME}://", provider=PROVIDER, header={"package": package})

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in _GROUPS

    def is_config(self, config_path: str) -> bool:
        path = config_path.removesuffix(".yaml")
        if path not in _CONFIGS:
            return False
        from hydra_plugins.hydraflyte_launcher._claims import is_left_to_others

        return not is_left_to_others(path.rpartition("/")[2])

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        path = config_path.strip("/")
        if path == GROUP and results_filter in (None, ObjectType.CONFIG):
            return list(NAMES)
        if path in ("", "hydra") and results_filter in (None, ObjectType.GROUP):
            return ["hydra" if path == "" else "launcher"]
        return []


class FlyteLauncherSearchPath(SearchPathPlugin):  # type: ignore[misc]  # Hydra has no type information
    """Hydra asks every search path plugin at the start of a program, before it composes the config."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(PROVIDER, f"{SCHEME}://")
