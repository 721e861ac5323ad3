"""Jobs -> results: starts the jobs of a launch, follows them, and closes their ``JobReturn``s.

Begins where registration has ended. Knows neither packaging nor versions.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from flyteidl.admin import execution_pb2
from hydra.core.utils import JobReturn

from hydraflyte.config import OnFailure
from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.execute import JobIdentity, JobOrder, Submission, execution_request, from_literals, submit
from hydraflyte.launcher.handles import ExecutionHandle
from hydraflyte.launcher.jobs import LaunchRequest, as_hydra_prints_it, begin_job, end_job
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.wait import Outcome, Sweep, Watcher

__all__ = ["run_jobs"]


def run_jobs(
    client: FlyteClient, request: LaunchRequest, prepared: Prepared, orders: Mapping[int, JobOrder]
) -> list[JobReturn]:
    """Start all jobs and, if they are waited for, follow them to their ends.

    Args:
        orders: by the job's number.
    """
    settings, report = prepared.settings, prepared.report
    returns = {job.number: begin_job(request, job) for job in prepared.jobs}
    jobs = {job.number: job for job in prepared.jobs}
    requests = _requests(prepared, orders)
    sweep = Sweep(
        client=client,
        start=lambda number: submit(client, number, requests[number]),
        watcher=Watcher(submitted=report.submitted, phase_changed=report.phase_changed),
        window=settings.max_concurrency,
        source_root=prepared.source.source_root,
    )
    steps = sweep.run_all(tuple(jobs)) if settings.wait else sweep.submit_all(tuple(jobs))
    try:
        with _keyboard_interrupts(), report:
            for step in steps:
                result = _result(step, prepared, report)
                end_job(request, jobs[step.number], returns[step.number], result)
                if isinstance(result, HydraFlyteError) and settings.on_failure is OnFailure.fail_fast:
                    sweep.cancel_rest("another job of the sweep failed (on_failure=fail_fast)")
    except KeyboardInterrupt:
        report.interrupted(sweep.in_flight())
        raise SystemExit(130) from None  # 128 + SIGINT
    report.summary(client.endpoint)
    return [returns[job.number] for job in prepared.jobs]


@contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """Let an interrupt arrive as KeyboardInterrupt: flytekit, once imported, turns it into a silent exit(1)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _requests(prepared: Prepared, orders: Mapping[int, JobOrder]) -> Mapping[int, execution_pb2.ExecutionCreateRequest]:
    sweep_id = "k" + secrets.token_hex(4)
    return {
        job.number: execution_request(
            orders[job.number],
            JobIdentity(sweep_id=sweep_id, number=job.number, overrides=job.overrides),
            inputs,
            job.environment(),
        )
        for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True)
    }


def _result(step: Submission | Outcome, prepared: Prepared, report: SweepReport) -> object:
    """Return what the job's ``JobReturn`` carries: the workflow's outputs, a handle, or an exception."""
    if isinstance(step, Submission):
        name = f"{step.execution.project}/{step.execution.domain}/{step.execution.name}"
        return ExecutionHandle(id=name, url=step.link, reason="wait=false")
    if step.error is None and step.outputs is not None:
        try:
            value = from_literals(step.outputs, prepared.source.workflow.python_interface)
        except HydraFlyteError as error:
            step = replace(step, error=error)
        else:
            report.ended(step, value)
            return value
    report.ended(step, None)
    assert step.error is not None
    return as_hydra_prints_it(step.error, brief=report.brief(step))
