"""The schedules of a package, at the place of its delivery: registered inactive, started if whoever delivers says so.

Those that ``hydraflyte package`` has added are registered as a launch registers them, over the launch plan that is
there; those that are launch plans of the code are entities like others. One rule: unless asked, nothing that runs is
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flyteidl.admin import launch_plan_pb2

from hydraflyte.launcher.provenance import Call, annotations_of_code
from hydraflyte.launcher.register import SerializedEntity
from hydraflyte.launcher.remote import FlyteClient, LaunchPlanPlace
from hydraflyte.launcher.schedules import (
    SCHEDULE_OF,
    PlannedSchedule,
    active_schedules,
    register_schedule,
    schedule_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredSchedule:
    """A launch plan that has a schedule, as it is registered now."""

    name: str
    version: str
    expression: str
    is_active: bool

    @property
    def state(self) -> str:
        """Whether it is active, in words."""
        return "active" if self.is_active else "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredSchedules:
    """What became of a package's schedules.

    Attributes:
        stopped: names of schedules of its workflows that were active, and are not in it.
    """

    schedules: tuple[DeliveredSchedule, ...]
    stopped: tuple[str, ...]


def without_added(entities: Sequence[SerializedEntity]) -> tuple[SerializedEntity, ...]:
    """Return the entities that are the code's own: all but the schedules that the config has added."""
    return tuple(each for each in entities if _base_of(each, entities) is None)


def deliver_schedules(
    client: FlyteClient, entities: Sequence[SerializedEntity], call: Call, *, activates: bool
) -> DeliveredSchedules:
    """Register the schedules that the config has added; the other entities are registered already.

    Args:
        activates: whether all schedules of the package are started, and others of its workflows stopped.

    Raises:
        RegistrationError: the backend does not accept one.
    """
    plans = [_registered(client, each, entities, call) for each in entities if _has_schedule(each)]
    stopped: tuple[str, ...] = ()
    if activates:
        for plan in plans:
            client.set_active(plan.id, active=True)
        stopped = _stopped(client, entities, kept={plan.id.name for plan in plans})
    return DeliveredSchedules(
        schedules=tuple(
            DeliveredSchedule(
                name=plan.id.name,
                version=plan.id.version,
                expression=schedule_text(plan.spec.entity_metadata.schedule),
                is_active=activates or plan.closure.state == launch_plan_pb2.ACTIVE,
            )
            for plan in plans
        ),
        stopped=stopped,
    )


def _registered(
    client: FlyteClient, entity: SerializedEntity, entities: Sequence[SerializedEntity], call: Call
) -> launch_plan_pb2.LaunchPlan:
    base, spec = _base_of(entity, entities), entity.spec
    assert isinstance(spec, launch_plan_pb2.LaunchPlanSpec), "only launch plans have schedules"
    if base is None:
        found = client.fetch(entity.identifier)
        assert isinstance(found, launch_plan_pb2.LaunchPlan), "it has been registered just now"
        return found
    planned = PlannedSchedule(
        base=base.identifier,
        name=entity.identifier.name,
        inputs=spec.fixed_inputs,
        schedule=spec.entity_metadata.schedule,
        annotations={**annotations_of_code(spec.annotations.values), **call.annotations()},
        notifications=tuple(spec.entity_metadata.notifications),
    )
    return register_schedule(client, planned)


def _stopped(client: FlyteClient, entities: Sequence[SerializedEntity], kept: set[str]) -> tuple[str, ...]:
    main = entities[-1].identifier
    stopped = []
    for plan in list(active_schedules(client, LaunchPlanPlace(main.project, main.domain, main.name))):
        if plan.id.name not in kept:
            client.set_active(plan.id, active=False)
            stopped.append(plan.id.name)
    return tuple(stopped)


def _has_schedule(entity: SerializedEntity) -> bool:
    spec = entity.spec
    return (
        isinstance(spec, launch_plan_pb2.LaunchPlanSpec)
        and spec.entity_metadata.schedule.WhichOneof("ScheduleExpression") is not None
    )


def _base_of(entity: SerializedEntity, entities: Sequence[SerializedEntity]) -> SerializedEntity | None:
    """Return the launch plan whose schedule this is; None for everything that the config has not added."""
    spec = entity.spec
    owner = spec.annotations.values.get(SCHEDULE_OF) if isinstance(spec, launch_plan_pb2.LaunchPlanSpec) else None
    if owner is None or not _has_schedule(entity):
        return None
    plans = (each for each in entities if isinstance(each.spec, launch_plan_pb2.LaunchPlanSpec))
    return next((each for each in plans if each.identifier.name == owner and each is not entity), None)
