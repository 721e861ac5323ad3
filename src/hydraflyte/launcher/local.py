"""``execution_environment=local``: the same jobs one after another in this process, by Hydra's own ``run_job``.

Ends as a remote sweep does, with a table and the files of results; there is no manifest, and nothing to come back to.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, run_job

from hydraflyte.launcher.jobs import Job, LaunchRequest, configure_hydra_logging, make_sweep_dir
from hydraflyte.launcher.records.results import ResultRow, write_results
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.report import SweepReport
from hydraflyte.tracebacks import last_line

_log = logging.getLogger(__name__)


def run_jobs_here(request: LaunchRequest, jobs: Sequence[Job], report: SweepReport) -> list[JobReturn]:
    """Run every job as plain Python; a failed one does not keep the others from running."""
    folder = make_sweep_dir(request)
    _log.info("Running %s in this process", "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs")
    returns = []
    for job in jobs:
        _log.info("\t#%d : %s", job.number, " ".join(job.overrides))
        began_at = time.monotonic()
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
        row = _row(job, returns[-1], timedelta(seconds=time.monotonic() - began_at))
        request.session.rows[job.number] = row
        report.found(row)
    report.results()
    try:
        paths = write_results(folder, list(request.session.rows.values()))
    except OSError as error:  # a full disk, at the end of hours of work
        report.line(f"results could not be written to {folder}: {error.strerror}")
    else:
        report.line(f"results in {paths[0]}")
    return returns


def _row(job: Job, job_return: JobReturn, duration: timedelta) -> ResultRow:
    value = job_return._return_value  # the property raises what the job raised
    has_failed = job_return.status is JobStatus.FAILED
    return ResultRow(
        number=job.number,
        overrides=shown_overrides(job.overrides),
        phase="FAILED" if has_failed else "SUCCEEDED",
        duration=duration,
        outputs={} if has_failed else _outputs(value),
        error=last_line("".join(traceback.format_exception(value))) if has_failed else "",
    )


def _outputs(value: Any) -> dict[str, Any]:  # Any: the user's own
    """Return what a job gave by the names that Flyte would have for it."""
    if value is None:
        return {}
    if isinstance(value, tuple):
        names = getattr(value, "_fields", [f"o{position}" for position in range(len(value))])
        return dict(zip(names, value, strict=True))
    return {"o0": value}
