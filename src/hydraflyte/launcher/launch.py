"""The story of a launch: calls the steps in order, and is the only place that chooses between parts.

Once per launch: discover, version, package, register. Once per job: inputs, execute, wait. Every step takes frozen
values and returns frozen values; no step writes into Hydra's config.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from flyteidl.admin import launch_plan_pb2, schedule_pb2
from flytekit.core.base_task import PythonTask
from hydra.core.utils import JobReturn, JobStatus

from hydraflyte.clock import SystemClock
from hydraflyte.config import ExecutionEnvironment, LauncherConfig
from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.defaults import default_inputs
from hydraflyte.launcher.discover import WorkflowSource, discover
from hydraflyte.launcher.endpoint import endpoint_text, means_embedded, resolve_endpoint
from hydraflyte.launcher.execute import parameters_of
from hydraflyte.launcher.handles import ExecutionHandle
from hydraflyte.launcher.images.choice import Surroundings, builds_images, images_as_they_are, wishes
from hydraflyte.launcher.input_files import InputFiles
from hydraflyte.launcher.jobs import (
    Job,
    LaunchRequest,
    as_hydra_prints_it,
    compose_jobs,
    end_sweep_early,
    make_sweep_dir,
    open_job_return,
    sweeper_of,
    with_own_folder,
)
from hydraflyte.launcher.local import run_jobs_here
from hydraflyte.launcher.notifications import job_notifications
from hydraflyte.launcher.orders import orders_of, task_settings_of
from hydraflyte.launcher.package import collect_files
from hydraflyte.launcher.preparation import Launch, find_given, fit_all, is_other_code, prepare
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.provenance import annotations_of_code
from hydraflyte.launcher.publication import container_environment, content_key_of, ensure_registered
from hydraflyte.launcher.records.session import RegisteredWorkflow
from hydraflyte.launcher.records.told import tell_error, tell_result
from hydraflyte.launcher.register import Registration, RegistrationPlan, serialize
from hydraflyte.launcher.remote import FlyteClient, GrpcFlyteClient
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.schedules import fire_times_text, schedule_of, schedule_text
from hydraflyte.launcher.scheduling import check_one_schedule, set_schedules, take_back_schedules
from hydraflyte.launcher.settings import read_settings
from hydraflyte.launcher.sweep_notice import tell_when_sweep_ends
from hydraflyte.launcher.sweeps.interrupts import INTERRUPTED_STATUS, plain_interrupts
from hydraflyte.launcher.sweeps.objectives import refuse_useless_settings
from hydraflyte.launcher.sweeps.running import run_jobs
from hydraflyte.launcher.task_settings import settings_text
from hydraflyte.launcher.version import resolve_version
from hydraflyte.leftovers import remove_flytekits_folders_at_exit

__all__ = ["LaunchRequest", "launch"]


def launch(request: LaunchRequest) -> list[JobReturn]:
    """Run the jobs; returns one ``JobReturn`` a job, in their order.

    Raises:
        HydraFlyteError: nothing could be launched. A job that fails is no error here, but a failed ``JobReturn``.
    """
    try:
        with plain_interrupts():
            returns = _launch(request)
    except KeyboardInterrupt:
        _say_interrupted(request)
        raise SystemExit(INTERRUPTED_STATUS) from None
    except HydraFlyteError as error:
        tell_error(error, os.environ)
        raise as_hydra_prints_it(error) from error
    except SystemExit:  # the user has left the jobs to the backend
        tell_result(request.session, os.environ)
        raise
    tell_result(request.session, os.environ, returns)
    return returns


def _say_interrupted(request: LaunchRequest) -> None:
    """Say what an interrupt leaves behind that came before jobs were followed, or again after it was answered."""
    session = request.session
    follow = f"; what was submitted goes on: hydraflyte sweeps attach {session.sweep_id}"
    sys.stderr.write(f"Interrupted{': no job was submitted.' if session.manifest is None else follow}\n")
    tell_result(session, os.environ)
    end_sweep_early(request)


def _launch(request: LaunchRequest) -> list[JobReturn]:
    settings = read_settings(request.config)
    request = request if settings.dry_run else with_own_folder(request)
    jobs = compose_jobs(request, _print_at_once, SystemClock())
    report = SweepReport([(job.number, job.overrides) for job in jobs], stream=sys.stdout)
    if settings.execution_environment is ExecutionEnvironment.local and settings.package is None:
        return run_jobs_here(request, jobs, report)
    remove_flytekits_folders_at_exit()
    if settings.dry_run:
        return _plan_only(request, settings, jobs, report)
    if settings.package is not None:
        from hydraflyte.launcher.artifacts.making import make_package  # late: of use here only

        source = discover(request.task_function, workflow_name=settings.workflow.name)
        make_package(
            Launch(request=request, settings=settings, jobs=jobs, source=source, report=report), Path(settings.package)
        )
        return _close_without_result(request, jobs, f"package={settings.package}")
    return _launch_remotely(request, settings, jobs, report)


def _print_at_once(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _launch_remotely(
    request: LaunchRequest, settings: LauncherConfig, jobs: tuple[Job, ...], report: SweepReport
) -> list[JobReturn]:
    schedule = schedule_of(settings.workflow)
    if schedule is not None:
        check_one_schedule(settings.workflow, len(jobs))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint") as pool:
        connected: Future[GrpcFlyteClient] = pool.submit(_connected, settings)
        source = discover(request.task_function, workflow_name=settings.workflow.name)
        refuse_useless_settings(settings, sweeper_of(request), source.workflow.python_interface)
        launch = Launch(request=request, settings=settings, jobs=jobs, source=source, report=report)
        prepared = None if launch.names_a_version else prepare(launch)
        client = connected.result()
    if client.endpoint.was_started:
        report.line("started the embedded backend; it stays until `hydraflyte down` stops it")
    try:
        notifications = job_notifications(settings.notifications, client.endpoint)
        found = find_given(client, launch)
        prepared = prepared or prepare(launch, client, found)
        folder = make_sweep_dir(request)
        registration = _registration(client, prepared, folder, found)
        request.session.registered = _named(settings, source, registration.launch_plan.version)
        orders = orders_of(client, prepared, registration, notifications)
        prepared = _with_uploads(client, prepared)
        if schedule is not None:
            set_schedules(client, prepared, orders, schedule)
            return _close_without_result(request, jobs, "workflow.cron_schedule or fixed_rate")
        if not settings.run:
            return _close_without_result(request, jobs, "run=false")
        if found is None:
            take_back_schedules(client, prepared, kept=set())
        tell_when_sweep_ends(request.session, prepared, folder)
        return run_jobs(client, request, prepared, orders)
    finally:
        client.close()


def _with_uploads(client: FlyteClient, prepared: Prepared) -> Prepared:
    workflow = prepared.settings.workflow
    files = InputFiles(client=client, project=workflow.project, domain=workflow.domain)
    return replace(prepared, inputs=files.upload_all(prepared.inputs))


def _connected(settings: LauncherConfig) -> GrpcFlyteClient:
    client = GrpcFlyteClient(resolve_endpoint(settings.endpoint, settings.insecure_wanted(), os.environ))
    client.connect()
    return client


def _registration(
    client: FlyteClient, prepared: Prepared, sweep_dir: Path, found: launch_plan_pb2.LaunchPlan | None
) -> Registration:
    if found is None:
        return ensure_registered(client, prepared, sweep_dir)
    prepared.report.line(f"version {found.id.version} is registered: it runs as it is, nothing is sent")
    if is_other_code(prepared, found):
        prepared.report.line(
            f"attention: the code here is not the code of version {found.id.version}, which runs; "
            "leave hydra.launcher.workflow.version out to run what is here"
        )
    annotations = annotations_of_code(found.spec.annotations.values)
    return Registration(launch_plan=found.id, entities=(), annotations=annotations)


def _plan_only(
    request: LaunchRequest, settings: LauncherConfig, jobs: tuple[Job, ...], report: SweepReport
) -> list[JobReturn]:
    """Show what a launch would do, and do nothing of it."""
    source = discover(request.task_function, workflow_name=settings.workflow.name)
    files = collect_files(source, (settings.workflow.ignore,))
    parameters = parameters_of(source.workflow.python_interface)
    is_embedded = means_embedded(settings.endpoint, os.environ)
    environment, images = container_environment(is_embedded), images_as_they_are(settings)
    content_key = content_key_of(images, environment, default_inputs(request, parameters))
    version = resolve_version(
        given=settings.workflow.given_version(),
        source_root=source.source_root,
        files=files,
        content_key=content_key,
    )
    workflow = settings.workflow
    request.session.registered = _named(settings, source, version.text)
    schedule = schedule_of(workflow)
    names = [entity.name for entity in source.entities if isinstance(entity, PythonTask)]
    settings_of_tasks = {number: settings_text(found) for number, found in task_settings_of(jobs, names).items()}
    report.plan(
        {
            "endpoint": endpoint_text(settings.endpoint, settings.insecure_wanted(), os.environ),
            "workflow": f"{source.workflow.name} in {workflow.project}/{workflow.domain}",
            "version": f"{version.text} ({version.reason})",
            "images": _image_facts(settings, source, files, is_embedded),
            "entities": _entity_facts(settings, source, version.text),
            "code bundle": [f"{file.name} ({file.size_bytes} bytes)" for file in files.files],
            "left out": [path.name for path in files.ignored],
            "settings of tasks": [f"job {number}: {text}" for number, text in settings_of_tasks.items() if text],
            "schedule": "none" if schedule is None else _schedule_facts(schedule),
        },
        {job.number: inputs.values for job, inputs in zip(jobs, fit_all(jobs, parameters), strict=True)},
    )
    return _close_without_result(request, jobs, "dry_run=true")


def _named(settings: LauncherConfig, source: WorkflowSource, version: str) -> RegisteredWorkflow:
    workflow = settings.workflow
    return RegisteredWorkflow(
        project=workflow.project, domain=workflow.domain, workflow=source.workflow.name, version=version
    )


def _image_facts(settings: LauncherConfig, source: WorkflowSource, files: FileSet, is_embedded: bool) -> list[str]:
    images = images_as_they_are(settings)
    facts = {"default": images.default or "flytekit's stock image", **images.named}
    lines = {name: f"{name}: {reference}" for name, reference in facts.items()}
    if builds_images(settings, is_embedded=is_embedded):
        around = Surroundings(root=source.source_root, files=files, environment=os.environ)
        lines |= {wish.name: wish.text() for wish in wishes(settings, around)}
    return list(lines.values())


def _entity_facts(settings: LauncherConfig, source: WorkflowSource, version: str) -> list[str]:
    """Return what would be registered, launch plans included: only serialising tells."""
    images = images_as_they_are(settings)
    plan = RegistrationPlan(
        project=settings.workflow.project,
        domain=settings.workflow.domain,
        version=version,
        image=images.default,
        named_images=images.named,
        environment={},
        bundle_uri=None,
        key="",
    )
    return [f"{each.kind} {each.identifier.name}" for each in serialize(source.workflow, source.entities, plan)]


def _schedule_facts(schedule: schedule_pb2.Schedule) -> str:
    return f"{schedule_text(schedule)}; next: {fire_times_text(schedule, after=datetime.now(timezone.utc))}"


def _close_without_result(request: LaunchRequest, jobs: Sequence[Job], reason: str) -> list[JobReturn]:
    returns = []
    for job in jobs:
        job_return = open_job_return(job)
        job_return.status = JobStatus.COMPLETED
        job_return.return_value = ExecutionHandle(id=None, url=None, reason=reason)
        returns.append(job_return)
    return returns
