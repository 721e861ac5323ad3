"""hydraflyte: one command turns a Hydra script into finished Flyte executions.

Importing this package is cheap and imports neither flytekit nor grpc: Hydra scans the launcher plugin in
every Hydra program. The public surface is what stands in ``__all__``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hydraflyte.declared import uses
from hydraflyte.errors import HydraFlyteError

if TYPE_CHECKING:
    from hydraflyte.client import Client

__all__ = ["HydraFlyteError", "__version__", "connect", "uses"]

__version__ = "0.1.0.dev0"


def connect(
    endpoint: str = "auto",
    *,
    insecure: bool | None = None,
    project: str = "flytesnacks",
    domain: str = "development",
) -> Client:
    """Return a client that runs what is registered on a backend; see ``hydraflyte.client.connect``.

    Raises:
        HydraFlyteError: of a kind that says what to do: the endpoint is none, or nobody answers there.
    """
    client = import_module("hydraflyte.client")  # flytekit and grpc cost a second that Hydra programs need not pay
    connected: Client = client.connect(endpoint, insecure=insecure, project=project, domain=domain)
    return connected
