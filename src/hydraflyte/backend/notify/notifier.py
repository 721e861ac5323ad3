"""The loop that tells people how executions ended: keeps promises, delivers, tries again, gives up visibly.

The one rule: every step is stored before the next one begins, and a try is counted before it is made; so after a crash
a message may come twice, never not at all, and one that kills the backend is not tried for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from hydraflyte.backend.notify.courier import DeliveryError
from hydraflyte.backend.notify.messages import notifications_about
from hydraflyte.backend.store import outbox
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import ExecutionRow
from hydraflyte.backend.store.outbox import NotificationRow, NotificationStatus
from hydraflyte.clock import Clock

log = logging.getLogger(__name__)

PAUSES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
)
"""How long to wait after the first, second, … try that failed; after one more the notification is given up."""

_AT_ONCE = 4
_LONGEST_LOOK = timedelta(seconds=15)
_AFTER_TROUBLE = timedelta(seconds=5)


class Delivers(Protocol):
    """What the notifier needs of a courier."""

    async def deliver(self, notification: NotificationRow) -> None:
        """Return once the recipient has the message; raises DeliveryError if it has not."""
        ...


class Notifier:
    """Delivers notifications. All methods are for the asyncio thread of the server.

    Args:
        console_url: returns the address of the console, which messages link to.
        pauses: see ``PAUSES``.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        courier: Delivers,
        console_url: Callable[[], str],
        pauses: Sequence[timedelta] = PAUSES,
    ) -> None:
        self._database = database
        self._clock = clock
        self._courier = courier
        self._console_url = console_url
        self._pauses = tuple(pauses)
        self._changed = asyncio.Event()
        self._delivering: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin: what was not told or not delivered when the last process stopped comes first."""
        self._task = asyncio.create_task(self._run(), name="notifier")

    def wake(self) -> None:
        """Look again now: an execution has ended, or a notification is to be tried again."""
        self._changed.set()

    async def close(self) -> None:
        """Stop. What is being delivered is cut off, and tried again by the next process."""
        tasks = [*self._delivering.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._keep_promises()
                pause = await self._deliver_due()
            except (sqlite3.Error, OSError) as error:
                log.error("the outbox cannot be used (%s); next try in %s", error, _AFTER_TROUBLE)
                pause = _AFTER_TROUBLE
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if pause is None else pause.total_seconds())

    async def _keep_promises(self) -> None:
        for row in await self._database.read(outbox.due_promises):
            await self._keep_promise(row)

    async def _keep_promise(self, row: ExecutionRow) -> None:
        try:
            notifications = notifications_about(row, console_url=self._console_url())
        except Exception:  # process border: what cannot be told about one execution must not silence all others
            log.exception("%s: no notification can be made of its end", row.id)
            notifications = []
        now = self._clock.now()
        await self._database.write(lambda connection: outbox.keep_promise(connection, row.row_id, notifications, now))

    async def _deliver_due(self) -> timedelta | None:
        """Begin the deliveries that are due; returns how long nothing else is, or None as long as nothing happens."""
        pending = await self._database.read(
            lambda connection: outbox.pending_notifications(connection, 2 * _AT_ONCE + len(self._delivering))
        )
        waiting = [row for row in pending if row.row_id not in self._delivering]
        now = self._clock.now()
        for row in waiting:
            if self._is_due(row, now) and len(self._delivering) < _AT_ONCE:
                await self._begin(row, now)
        later = [row.next_try_at - now for row in waiting if not self._is_due(row, now)]
        return min([*later, _LONGEST_LOOK]) if later else None

    def _is_due(self, row: NotificationRow, now: datetime) -> bool:
        """Tell whether to try now; a time beyond the longest pause was set by a clock that was wrong."""
        return row.next_try_at <= now or row.next_try_at - now > max(self._pauses, default=timedelta())

    async def _begin(self, row: NotificationRow, now: datetime) -> None:
        if row.tries > len(self._pauses):  # counted, but the process died before it was noted how it went
            await self._save(self._given_up(row, "the backend stopped during the last try"))
            self._changed.set()
            return
        pause = self._pauses[row.tries] if row.tries < len(self._pauses) else timedelta()
        begun = replace(row, tries=row.tries + 1, next_try_at=now + pause, updated_at=now)
        await self._save(begun)
        task = asyncio.create_task(self._deliver(begun))
        self._delivering[row.row_id] = task
        task.add_done_callback(lambda ended: self._done(row, ended))

    def _done(self, row: NotificationRow, task: asyncio.Task[None]) -> None:
        self._delivering.pop(row.row_id, None)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("notification %d: how it went could not be stored (%s); it will come again", row.row_id, error)

    async def _deliver(self, row: NotificationRow) -> None:
        try:
            await self._courier.deliver(row)
        except DeliveryError as error:
            await self._save(self._failed(row, str(error), may_pass=error.may_pass))
        except Exception as error:  # process border: a defect of one delivery is shown like any other failure
            log.exception("notification %d about %s failed", row.row_id, row.execution)
            await self._save(self._failed(row, f"{type(error).__name__}: {error}", may_pass=True))
        else:
            now = self._clock.now()
            await self._save(replace(row, status=NotificationStatus.DELIVERED, trouble="", updated_at=now))

    def _failed(self, row: NotificationRow, trouble: str, *, may_pass: bool) -> NotificationRow:
        if not may_pass or row.tries > len(self._pauses):
            return self._given_up(row, trouble)
        if row.tries == 1:
            log.warning("notification %d about %s (%s): %s", row.row_id, row.execution, row.kind, trouble)
        return replace(row, trouble=trouble, updated_at=self._clock.now())

    def _given_up(self, row: NotificationRow, trouble: str) -> NotificationRow:
        log.error(
            "notification %d about %s (%s) is given up: %s; `hydraflyte notifications retry %d` tries again",
            row.row_id,
            row.execution,
            row.kind,
            trouble,
            row.row_id,
        )
        return replace(row, status=NotificationStatus.FAILED, trouble=trouble, updated_at=self._clock.now())

    async def _save(self, row: NotificationRow) -> None:
        await self._database.write(lambda connection: outbox.save_delivery(connection, row))
