"""The launcher that Hydra instantiates: remembers what it is given, and imports the work only to do it.

Executed in every Hydra program: must import neither flytekit nor grpc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class FlyteLauncher(Launcher):  # type: ignore[misc]  # Hydra has no type information
    """Runs the jobs of a sweep as Flyte executions."""

    def __init__(self, **settings: Any) -> None:  # Any: Hydra passes the launcher node; it is read once, at launch
        self._request: tuple[HydraContext, TaskFunction, DictConfig] | None = None
        self._session: Any = None  # Any: its class costs an import that a run without launches need not pay

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._request = (hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one job for each inner list of overrides; returns one ``JobReturn`` a job, in that order."""
        from hydraflyte.launcher.launch import LaunchRequest, launch
        from hydraflyte.launcher.records.session import SweepSession

        assert self._request is not None, "Hydra calls setup() first"
        self._session = self._session or SweepSession()
        hydra_context, task_function, config = self._request
        return launch(
            LaunchRequest(
                hydra_context=hydra_context,
                task_function=task_function,
                config=config,
                job_overrides=tuple(tuple(overrides) for overrides in job_overrides),
                initial_job_idx=initial_job_idx,
                session=self._session,
            )
        )
