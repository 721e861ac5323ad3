"""OmegaConf configs as Flyte literals: lossless, compact, no pickle.

flytekit loads ``hydraflyte.transport.plugin`` by its entry point; user code needs nothing from here unless it wants
other settings. This package knows OmegaConf and flytekit, and nothing of launcher or backend.
"""

from __future__ import annotations

from hydraflyte.transport.errors import TransportError, TransportWarning
from hydraflyte.transport.settings import (
    Encoding,
    MissingClass,
    Resolve,
    TransportSettings,
    active_settings,
    configure,
    using,
)

__all__ = [
    "Encoding",
    "MissingClass",
    "Resolve",
    "TransportError",
    "TransportSettings",
    "TransportWarning",
    "active_settings",
    "configure",
    "using",
]
