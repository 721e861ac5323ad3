"""Executions that schedules begin: an order like any other, under a name made of launch plan and fire time.

The one rule: the same fire time of the same launch plan has the same name on every look, after every restart, and on a
Flyte cluster (flyteadmin/scheduler/identifier, executor), so it is never begun twice.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from flyteidl.admin.execution_pb2 import ExecutionMetadata, ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar

from hydraflyte.backend.admin.convert import timestamp
from hydraflyte.backend.admin.launching import Launcher, Order
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import AlreadyThere, Refusal
from hydraflyte.backend.ports import FireRefusedError
from hydraflyte.backend.store import listing, registry
from hydraflyte.backend.store.registry import EntityId, EntityKind
from hydraflyte.identifiers import ExecutionId

_FNV_64_OFFSET = 0xCBF29CE484222325
_FNV_64_PRIME = 0x100000001B3


class ScheduledExecutions:
    """Implements ``ScheduledLauncher``."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._launcher = Launcher(parts)

    async def launch_scheduled(self, launch_plan: Identifier, scheduled_at: datetime) -> str:
        """See ``ScheduledLauncher.launch_scheduled``."""
        execution = ExecutionId(
            project=launch_plan.project,
            domain=launch_plan.domain,
            name=scheduled_execution_name(launch_plan, scheduled_at),
        )
        order = Order(
            project=execution.project,
            domain=execution.domain,
            name=execution.name,
            spec=_spec(launch_plan, scheduled_at),
            inputs=await self._inputs(launch_plan, scheduled_at),
        )
        try:
            await self._launcher.launch(order)
        except AlreadyThere as error:  # begun on an earlier look, or as many of the launch plan run as may
            if not await self._is_there(execution):
                raise FireRefusedError(error.message) from error
        except Refusal as error:
            raise FireRefusedError(error.message) from error
        return execution.name

    async def _inputs(self, launch_plan: Identifier, scheduled_at: datetime) -> LiteralMap:
        entity = EntityId.of(EntityKind.LAUNCH_PLAN, launch_plan)

        def read(connection: sqlite3.Connection) -> str:
            plan = registry.find_launch_plan(connection, entity)
            assert plan is not None, "an active launch plan is stored"
            return LaunchPlanSpec.FromString(plan.spec).entity_metadata.schedule.kickoff_time_input_arg

        argument = await self._database.read(read)
        if not argument:
            return LiteralMap()
        instant = Primitive(datetime=timestamp(scheduled_at))
        return LiteralMap(literals={argument: Literal(scalar=Scalar(primitive=instant))})

    async def _is_there(self, execution: ExecutionId) -> bool:
        row = await self._database.read(lambda connection: listing.find_execution(connection, execution))
        return row is not None


def scheduled_execution_name(launch_plan: Identifier, scheduled_at: datetime) -> str:
    """Return the name that Flyte's scheduler gives to the execution of this fire time.

    >>> from datetime import timezone
    >>> plan = Identifier(project="flytesnacks", domain="development", name="nightly", version="v1")
    >>> scheduled_execution_name(plan, datetime(2026, 11, 21, 12, tzinfo=timezone.utc))
    'f5122cc3fa3fccb81000'
    """
    seconds = int(scheduled_at.timestamp())
    text = f"{launch_plan.project}:{launch_plan.domain}:{launch_plan.name}:{launch_plan.version}:{seconds}"
    return f"f{_fnv1_64(text).to_bytes(8, 'little').hex()}000"  # 19 digits of a UUID whose second half is zero


def _spec(launch_plan: Identifier, scheduled_at: datetime) -> ExecutionSpec:
    metadata = ExecutionMetadata(mode=ExecutionMetadata.SCHEDULED, scheduled_at=timestamp(scheduled_at))
    return ExecutionSpec(launch_plan=launch_plan, metadata=metadata)


def _fnv1_64(text: str) -> int:
    """Return the FNV-1 hash (Go's ``fnv.New64``): it multiplies before it mixes in a byte, unlike FNV-1a."""
    value = _FNV_64_OFFSET
    for byte in text.encode():
        value = (value * _FNV_64_PRIME & 0xFFFFFFFFFFFFFFFF) ^ byte
    return value
