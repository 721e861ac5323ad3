"""The schedules that a launch asks for: registered, activated, shown; and those that it does not ask for, taken back.

One rule: with ``run=false`` nothing that runs is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from flyteidl.admin import schedule_pb2

from hydraflyte.config import WorkflowConfig
from hydraflyte.errors import ConfigError
from hydraflyte.launcher.execute import JobOrder
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.remote import FlyteClient, LaunchPlanPlace
from hydraflyte.launcher.schedules import (
    PlannedSchedule,
    active_schedules,
    fire_times_text,
    register_schedule,
    schedule_name,
    schedule_text,
)


def check_one_schedule(workflow: WorkflowConfig, job_count: int) -> None:
    """Check that a sweep with a schedule says what it means.

    Raises:
        ConfigError: there are several jobs and one schedule.
    """
    if job_count > 1 and not workflow.schedule_each_job:
        raise ConfigError(
            f"This sweep has {job_count} jobs, and one schedule for them.",
            hint="set hydra.launcher.workflow.schedule_each_job=true for a schedule of each, or launch one job.",
        )


def set_schedules(
    client: FlyteClient, prepared: Prepared, orders: Mapping[int, JobOrder], schedule: schedule_pb2.Schedule
) -> None:
    """Register a schedule per job, and activate them unless ``run=false``; deactivate the workflow's others."""
    settings, report = prepared.settings, prepared.report
    wanted = set()
    for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True):
        order = orders[job.number]
        overrides = shown_overrides(job.overrides) if settings.workflow.schedule_each_job else None
        planned = PlannedSchedule(
            base=order.launch_plan,
            name=schedule_name(prepared.source.workflow.name, overrides),
            inputs=inputs,
            schedule=schedule,
            annotations=order.annotations,
            notifications=order.notifications,
        )
        plan = register_schedule(client, planned)
        wanted.add(plan.id.name)
        if settings.run:
            client.set_active(plan.id, active=True)
        state = "active" if settings.run else "registered, inactive"
        report.line(f"schedule {plan.id.name} (version {plan.id.version}): {schedule_text(schedule)}, {state}")
    report.line(f"next: {fire_times_text(schedule, after=datetime.now(timezone.utc))}")
    if settings.run:
        take_back_schedules(client, prepared, kept=wanted)


def take_back_schedules(client: FlyteClient, prepared: Prepared, *, kept: set[str]) -> None:
    """Deactivate the schedules of the workflow that this launch does not ask for."""
    workflow = prepared.settings.workflow
    place = LaunchPlanPlace(workflow.project, workflow.domain, prepared.source.workflow.name)
    for plan in list(active_schedules(client, place)):
        if plan.id.name not in kept:
            client.set_active(plan.id, active=False)
            prepared.report.line(f"schedule {plan.id.name} deactivated: this launch does not ask for it")
