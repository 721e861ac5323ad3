"""Another package that also claims the name ``hydra/launcher=flyte``: found in Hydra's config store, and named."""

from __future__ import annotations

import warnings

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf


def other_claim() -> str | None:
    """Return the class that another package stored as ``hydra/launcher=flyte``, or None.

    hydraflyte keeps nothing in the store, so whatever bears the name there is somebody else's.
    """
    stored = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {}).get("flyte.yaml")
    if stored is None:
        return None
    target = OmegaConf.select(stored.node, "_target_") or OmegaConf.select(stored.node, "launcher._target_")
    return str(target or stored.provider or "another package")


def is_left_to_others(name: str) -> bool:
    """Tell whether the name belongs to another package here; says so once, because somebody chose it.

    Both cannot have it: Hydra 1.3 validates a config against a stored one of the same name.
    """
    claim = other_claim() if name == "flyte" else None
    if claim is None:
        return False
    warnings.warn(
        f"hydra/launcher=flyte is {claim} here, because its package claims that name too; "
        "choose hydra/launcher=hydraflyte for hydraflyte's launcher",
        stacklevel=2,
    )
    return True
