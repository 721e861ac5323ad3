"""Schedules: a launch plan of its own per schedule, with a job's inputs, activated and taken back.

One rule: the schedules of a workflow are what its last launch asked for; those that it did not ask for are deactivated,
never deleted. They are told from other launch plans by an annotation. When they fire is for the backend to do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from flyteidl.admin import common_pb2, launch_plan_pb2, schedule_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2

from hydraflyte.config import WorkflowConfig
from hydraflyte.errors import BackendRefusedError, RegistrationError
from hydraflyte.fire_times import next_fire_times
from hydraflyte.launcher.register import REGISTRATION_KEY
from hydraflyte.launcher.remote import FlyteClient, LaunchPlanPlace

SCHEDULE_OF = "hydraflyte.org/schedule-of"
"""Annotation of a scheduled launch plan: name of the workflow."""
KICKOFF_INPUT = "kickoff_time"
"""A workflow that has an input of this name is told the time that the schedule meant."""
_UNITS = {"m": schedule_pb2.MINUTE, "h": schedule_pb2.HOUR, "d": schedule_pb2.DAY}
_LONGEST_SLUG = 40
_LONGEST_VERSION = 128
_SHOWN_TIMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSchedule:
    """A schedule that a launch asks for.

    Attributes:
        base: the launch plan whose workflow, interface and annotations it takes.
        name: name of its own launch plan.
        inputs: what every execution of it gets.
    """

    base: identifier_pb2.Identifier
    name: str
    inputs: literals_pb2.LiteralMap
    schedule: schedule_pb2.Schedule
    annotations: Mapping[str, str]
    notifications: tuple[common_pb2.Notification, ...]


def schedule_of(workflow: WorkflowConfig) -> schedule_pb2.Schedule | None:
    """Return the schedule that the config asks for, or None.

    Raises:
        ScheduleError: the expression cannot be read, or never fires.
    """
    schedule = schedule_pb2.Schedule()
    rate = workflow.rate()
    if workflow.cron_schedule is not None:
        zone = f"CRON_TZ={workflow.schedule_timezone} " if workflow.schedule_timezone else ""
        schedule.cron_schedule.schedule = f"{zone}{workflow.cron_schedule}"
    elif rate is not None:
        value, unit = rate
        schedule.rate.CopyFrom(schedule_pb2.FixedRate(value=value, unit=_UNITS[unit]))
    else:
        return None
    next_fire_times(schedule, after=datetime.now(timezone.utc), count=1)
    return schedule


def schedule_name(workflow_name: str, overrides: Sequence[str] | None) -> str:
    """Return the name of the launch plan that is scheduled.

    Args:
        overrides: those of the job, if every job has a schedule; the name follows them, not the job's number.

    Example:
        >>> schedule_name("train.fit", None), schedule_name("train.fit", ["lr=0.1", "model=big"])
        ('train.fit.schedule', 'train.fit.schedule.lr-0.1-model-big-ed98fd')
    """
    if overrides is None:
        return f"{workflow_name}.schedule"
    text = " ".join(sorted(overrides))
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._")[:_LONGEST_SLUG].strip("-._")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{workflow_name}.schedule.{slug}-{digest}" if slug else f"{workflow_name}.schedule.{digest}"


def takes_kickoff_time(launch_plan: launch_plan_pb2.LaunchPlan) -> bool:
    """Tell whether the workflow has an input for the time that a schedule means."""
    parameter = launch_plan.closure.expected_inputs.parameters.get(KICKOFF_INPUT)
    return parameter is not None and parameter.var.type.simple == types_pb2.DATETIME


def register_schedule(client: FlyteClient, planned: PlannedSchedule) -> launch_plan_pb2.LaunchPlan:
    """Return the launch plan of the schedule, registered if it was not; it is not active yet.

    Raises:
        RegistrationError: the backend does not accept it.
    """
    base = client.fetch(planned.base)
    assert isinstance(base, launch_plan_pb2.LaunchPlan), "it has been registered just now, or was found"
    spec = scheduled_spec(base, planned)
    content = hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()[:10]
    for key, value in planned.annotations.items():
        spec.annotations.values[key] = value
    identifier = identifier_pb2.Identifier()
    identifier.CopyFrom(base.id)
    identifier.name = planned.name
    identifier.version = f"{base.id.version[: _LONGEST_VERSION - 12]}-s{content}"
    found = client.fetch(identifier)
    if found is None:
        try:
            client.create(identifier, spec)
        except BackendRefusedError as error:
            raise RegistrationError(
                f"The schedule {planned.name} is not accepted: {error.message}", hint=error.hint
            ) from error
        found = client.fetch(identifier)
    assert isinstance(found, launch_plan_pb2.LaunchPlan), "it has been created just now"
    return found


def active_schedules(client: FlyteClient, place: LaunchPlanPlace) -> Iterator[launch_plan_pb2.LaunchPlan]:
    """Yield the active schedules of a workflow that a launch has made.

    Args:
        place: project, domain and the workflow's name; without a name, the schedules of all workflows.
    """
    for plan in client.launch_plans(LaunchPlanPlace(place.project, place.domain), only_active=True):
        owner = plan.spec.annotations.values.get(SCHEDULE_OF)
        if owner is not None and place.name in ("", owner):
            yield plan


def schedule_text(schedule: schedule_pb2.Schedule) -> str:
    """Return a schedule in words."""
    match schedule.WhichOneof("ScheduleExpression"):
        case "cron_schedule":
            return f"cron {schedule.cron_schedule.schedule}"
        case "rate":
            unit = schedule_pb2.FixedRateUnit.Name(schedule.rate.unit).lower()
            return f"every {schedule.rate.value} {unit}{'s' if schedule.rate.value > 1 else ''}"
        case "cron_expression":
            return f"cron {schedule.cron_expression}"
        case _:
            return "none"


def fire_times(
    schedule: schedule_pb2.Schedule, *, after: datetime, since: datetime | None = None
) -> tuple[datetime, ...]:
    """Return the next three times at which a schedule fires, in UTC.

    Args:
        since: when it was activated; None if that is ``after``.
    """
    return next_fire_times(schedule, after=after, count=_SHOWN_TIMES, since=since)


def zone_of(schedule: schedule_pb2.Schedule) -> ZoneInfo | None:
    """Return the time zone that a cron schedule names, or None."""
    match = re.match(r"(?:CRON_)?TZ=(\S+)\s", schedule.cron_schedule.schedule)
    return None if match is None else ZoneInfo(match.group(1))


def fire_times_text(schedule: schedule_pb2.Schedule, *, after: datetime) -> str:
    """Return the next three fire times in words, in UTC and in the schedule's own zone."""
    zone = zone_of(schedule)
    shown = []
    for instant in fire_times(schedule, after=after):
        own = f" ({instant.astimezone(zone):%H:%M %Z})" if zone is not None else ""
        shown.append(f"{instant:%Y-%m-%d %H:%M} UTC{own}")
    return ", ".join(shown) or "never"


def scheduled_spec(base: launch_plan_pb2.LaunchPlan, planned: PlannedSchedule) -> launch_plan_pb2.LaunchPlanSpec:
    """Return all of the schedule's launch plan that decides whether it is the same schedule."""
    spec = launch_plan_pb2.LaunchPlanSpec()
    spec.CopyFrom(base.spec)
    spec.annotations.values.pop(REGISTRATION_KEY, None)
    spec.annotations.values[SCHEDULE_OF] = base.id.name
    spec.entity_metadata.schedule.CopyFrom(planned.schedule)
    del spec.entity_metadata.notifications[:]
    spec.entity_metadata.notifications.extend(planned.notifications)
    for name, literal in planned.inputs.literals.items():
        if name == KICKOFF_INPUT and takes_kickoff_time(base):
            continue
        spec.fixed_inputs.literals[name].CopyFrom(literal)
        if name in spec.default_inputs.parameters:
            del spec.default_inputs.parameters[name]
    if takes_kickoff_time(base):
        spec.entity_metadata.schedule.kickoff_time_input_arg = KICKOFF_INPUT
    return spec
