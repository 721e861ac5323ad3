"""``execution_environment=local``: the same jobs one after another in this process, by Hydra's own ``run_job``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hydra.core.utils import JobReturn, run_job

from hydraflyte.launcher.jobs import Job, LaunchRequest, configure_hydra_logging

_log = logging.getLogger(__name__)


def run_jobs_here(request: LaunchRequest, jobs: Sequence[Job]) -> list[JobReturn]:
    """Run every job as plain Python; a failed one does not keep the others from running."""
    _log.info("Running %s in this process", "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs")
    returns = []
    for job in jobs:
        _log.info("\t#%d : %s", job.number, " ".join(job.overrides))
        returns.append(
            run_job(
                hydra_context=request.hydra_context,
                task_function=request.task_function,
                config=job.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        )
        configure_hydra_logging(request)
    return returns
