"""The loop that begins scheduled executions: reads what is active, decides, launches, and writes down how far it is.

The one rule: the anchor is stored after the execution is durable; a crash in between begins the same fire time again
under the same name, which changes nothing. It holds no rule of schedules: those are in ``decision`` and ``fire_times``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from google.protobuf.message import DecodeError

from hydraflyte.backend.ports import FireRefusedError, ScheduledLauncher
from hydraflyte.backend.scheduler.decision import decide
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import count_open_executions
from hydraflyte.backend.store.schedules import ActiveSchedule, active_schedules, is_still_active, save_progress
from hydraflyte.catch_up import CATCH_UP_ANNOTATION, CatchUp
from hydraflyte.clock import Clock
from hydraflyte.errors import ScheduleError
from hydraflyte.fire_times import read_schedule

log = logging.getLogger(__name__)

_LONGEST_PAUSE = timedelta(seconds=15)
"""Timers do not see that the clock was set or the machine slept: this soon a fire time is noticed after that."""

_AFTER_TROUBLE = timedelta(seconds=5)


class Scheduler:
    """Begins the executions of active schedules. All methods are for the asyncio thread of the server.

    Args:
        catch_up: for launch plans that do not say what becomes of missed fire times.
    """

    def __init__(self, *, database: Database, clock: Clock, catch_up: CatchUp) -> None:
        self._database = database
        self._clock = clock
        self._catch_up = catch_up
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, launcher: ScheduledLauncher) -> None:
        """Begin to look; what was missed while no backend ran is dealt with first."""
        self._task = asyncio.create_task(self._run(launcher), name="scheduler")

    def wake(self) -> None:
        """Look again now: a launch plan was activated or deactivated."""
        self._changed.set()

    async def close(self) -> None:
        """Stop. A launch under way is finished or dropped whole; the next process goes on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, launcher: ScheduledLauncher) -> None:
        while True:
            self._changed.clear()
            try:
                look_again_at = await self.look(launcher)
            except (sqlite3.Error, OSError) as error:
                log.error("schedules cannot be looked at (%s); next try in %s", error, _AFTER_TROUBLE)
                look_again_at = self._clock.now() + _AFTER_TROUBLE
            await self._pause(look_again_at)

    async def look(self, launcher: ScheduledLauncher) -> datetime | None:
        """Begin what is due now; returns when something may be due next, or None as long as nothing is active."""
        schedules = await self._database.read(active_schedules)
        looks = [await self._look_at(schedule, launcher) for schedule in schedules]
        return min((at for at in looks if at is not None), default=None)

    async def _look_at(self, schedule: ActiveSchedule, launcher: ScheduledLauncher) -> datetime | None:
        try:
            return await self._begin_due(schedule, launcher)
        except (sqlite3.Error, OSError) as error:
            log.error("%s: cannot be begun now (%s); next try in %s", schedule.plan.id, error, _AFTER_TROUBLE)
        except Exception:  # process border: a defect met by one schedule must not silence the others
            log.exception("%s: its schedule failed; next try in %s", schedule.plan.id, _AFTER_TROUBLE)
        return self._clock.now() + _AFTER_TROUBLE

    async def _begin_due(self, schedule: ActiveSchedule, launcher: ScheduledLauncher) -> datetime | None:
        try:
            spec = LaunchPlanSpec.FromString(schedule.plan.spec)
            rule = read_schedule(spec.entity_metadata.schedule)
        except (ScheduleError, DecodeError) as error:
            await self._note_trouble(schedule, str(error))
            return None
        catch_up = self._policy(spec)
        decision = decide(
            rule,
            anchor=schedule.anchor,
            now=self._clock.now(),
            catch_up=catch_up,
            open_executions=await self._count_open(schedule) if catch_up is CatchUp.ALL else 0,
        )
        if decision.anchor != schedule.anchor:
            log.info("%s: fire times up to %s are left out (%s)", schedule.plan.id, decision.anchor, catch_up.value)
            schedule = replace(schedule, anchor=decision.anchor)
            await self._save(schedule)
        for scheduled_at in decision.begin:
            if not await self._is_still_active(schedule):
                return None
            schedule = await self._begin(schedule, scheduled_at, launcher)
        return decision.look_again_at

    async def _begin(
        self, schedule: ActiveSchedule, scheduled_at: datetime, launcher: ScheduledLauncher
    ) -> ActiveSchedule:
        try:
            name = await launcher.launch_scheduled(schedule.plan.id.to_message(), scheduled_at)
        except FireRefusedError as error:
            log.warning("%s: no execution at %s: %s", schedule.plan.id, scheduled_at, error)
            progress = replace(schedule, anchor=scheduled_at, trouble=f"{scheduled_at:%Y-%m-%d %H:%M:%S} UTC: {error}")
        else:
            log.info("%s: execution %s begins for %s", schedule.plan.id, name, scheduled_at)
            progress = replace(schedule, anchor=scheduled_at, last_execution=name, trouble="")
        await self._save(progress)
        return progress

    def _policy(self, spec: LaunchPlanSpec) -> CatchUp:
        chosen = spec.annotations.values.get(CATCH_UP_ANNOTATION)
        return self._catch_up if chosen is None else CatchUp(chosen)  # checked when it was registered

    async def _is_still_active(self, schedule: ActiveSchedule) -> bool:
        return await self._database.read(lambda connection: is_still_active(connection, schedule))

    async def _count_open(self, schedule: ActiveSchedule) -> int:
        plan = schedule.plan.id
        return await self._database.read(
            lambda connection: count_open_executions(connection, plan.project, plan.domain, plan.name)
        )

    async def _note_trouble(self, schedule: ActiveSchedule, trouble: str) -> None:
        if schedule.trouble != trouble:
            log.error("%s: %s", schedule.plan.id, trouble)
            await self._save(replace(schedule, trouble=trouble))

    async def _save(self, schedule: ActiveSchedule) -> None:
        await self._database.write(lambda connection: save_progress(connection, schedule))

    async def _pause(self, until: datetime | None) -> None:
        pause_s = None
        if until is not None:
            pause_s = min(until - self._clock.now(), _LONGEST_PAUSE).total_seconds()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), pause_s)
