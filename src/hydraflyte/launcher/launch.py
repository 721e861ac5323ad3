"""The story of a launch: calls the steps in order, and is the only place that chooses between parts.

Once per launch: discover, version, package, register. Once per job: inputs, execute, wait. Every step takes frozen
values and returns frozen values; no step writes into Hydra's config.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from flyteidl.core import literals_pb2
from hydra.core.utils import JobReturn, JobStatus

from hydraflyte.config import ExecutionEnvironment, LauncherConfig
from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.discover import WorkflowSource, discover
from hydraflyte.launcher.endpoint import Endpoint, means_embedded, resolve_endpoint
from hydraflyte.launcher.execute import JobOrder, parameters_of, to_literals
from hydraflyte.launcher.handles import ExecutionHandle
from hydraflyte.launcher.inputs import JobInputs, fit_inputs
from hydraflyte.launcher.jobs import (
    Job,
    LaunchRequest,
    as_hydra_prints_it,
    compose_jobs,
    hydra_config_of,
    make_sweep_dir,
    open_job_return,
    read_settings,
)
from hydraflyte.launcher.local import run_jobs_here
from hydraflyte.launcher.package import collect_files
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.publication import container_environment, content_key_of, ensure_registered
from hydraflyte.launcher.register import Registration
from hydraflyte.launcher.remote import GrpcFlyteClient
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.sweeps.running import run_jobs
from hydraflyte.launcher.version import resolve_version

__all__ = ["LaunchRequest", "launch"]


def launch(request: LaunchRequest) -> list[JobReturn]:
    """Run the jobs; returns one ``JobReturn`` a job, in their order.

    Raises:
        HydraFlyteError: nothing could be launched. A job that fails is no error here, but a failed ``JobReturn``.
    """
    try:
        return _launch(request)
    except HydraFlyteError as error:
        raise as_hydra_prints_it(error) from error


def _launch(request: LaunchRequest) -> list[JobReturn]:
    settings = read_settings(request.config)
    jobs = compose_jobs(request)
    report = SweepReport([(job.number, job.overrides) for job in jobs], stream=sys.stdout)
    if settings.execution_environment is ExecutionEnvironment.local:
        make_sweep_dir(request)
        return run_jobs_here(request, jobs)
    if settings.dry_run:
        return _plan_only(request, settings, jobs, report)
    return _launch_remotely(request, settings, jobs, report)


def _launch_remotely(
    request: LaunchRequest, settings: LauncherConfig, jobs: tuple[Job, ...], report: SweepReport
) -> list[JobReturn]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint") as pool:
        endpoint: Future[Endpoint] = pool.submit(
            resolve_endpoint, settings.endpoint, settings.insecure_wanted(), os.environ
        )
        source = discover(request.task_function, workflow_name=settings.workflow.name)
        inputs = tuple(_literals(job, fitted) for job, fitted in zip(jobs, _fit_all(jobs, source), strict=True))
        client = GrpcFlyteClient(endpoint.result())
    prepared = Prepared(settings=settings, jobs=jobs, source=source, inputs=inputs, report=report)
    sweep_dir = make_sweep_dir(request)
    try:
        registration = ensure_registered(client, prepared, sweep_dir)
        if not settings.run:
            return _close_without_result(request, jobs, "run=false")
        return run_jobs(client, request, prepared, _orders(prepared, registration))
    finally:
        client.close()


def _orders(prepared: Prepared, registration: Registration) -> dict[int, JobOrder]:
    return {job.number: JobOrder(launch_plan=registration.launch_plan) for job in prepared.jobs}


def _fit_all(jobs: Sequence[Job], source: WorkflowSource) -> list[JobInputs]:
    parameters = parameters_of(source.workflow.python_interface)
    return [fit_inputs(job.config_without_hydra(), parameters) for job in jobs]


def _literals(job: Job, inputs: JobInputs) -> literals_pb2.LiteralMap:
    with hydra_config_of(job):  # an interpolation may ask for hydra:job.num
        return to_literals(inputs)


def _plan_only(
    request: LaunchRequest, settings: LauncherConfig, jobs: tuple[Job, ...], report: SweepReport
) -> list[JobReturn]:
    """Show what a launch would do, and do nothing of it."""
    source = discover(request.task_function, workflow_name=settings.workflow.name)
    files = collect_files(source, (settings.workflow.ignore,))
    content_key = content_key_of(settings, container_environment(means_embedded(settings.endpoint, os.environ)))
    version = resolve_version(
        given=settings.workflow.given_version(),
        source_root=source.source_root,
        files=files,
        content_key=content_key,
    )
    workflow = settings.workflow
    report.plan(
        {
            "endpoint": settings.endpoint,
            "workflow": f"{source.workflow.name} in {workflow.project}/{workflow.domain}",
            "version": f"{version.text} ({version.reason})",
            "image": workflow.default_image.reference() or "flytekit's stock image",
            "entities": [f"{type(entity).__name__} {entity.name}" for entity in source.entities],
            "code bundle": [f"{file.name} ({file.size_bytes} bytes)" for file in files.files],
            "left out": [path.name for path in files.ignored],
        },
        {job.number: inputs.values for job, inputs in zip(jobs, _fit_all(jobs, source), strict=True)},
    )
    return _close_without_result(request, jobs, "dry_run=true")


def _close_without_result(request: LaunchRequest, jobs: Sequence[Job], reason: str) -> list[JobReturn]:
    returns = []
    for job in jobs:
        job_return = open_job_return(job)
        job_return.status = JobStatus.COMPLETED
        job_return.return_value = ExecutionHandle(id=None, url=None, reason=reason)
        returns.append(job_return)
    return returns
