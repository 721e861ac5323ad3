"""hydraflyte: one command turns a Hydra script into finished Flyte executions.

Importing this package is cheap and imports neither flytekit nor grpc: Hydra scans the launcher plugin in
every Hydra program. The public surface is what stands in ``__all__``.
"""

from hydraflyte.errors import HydraFlyteError

__all__ = ["HydraFlyteError", "__version__"]

__version__ = "0.1.0.dev0"
