"""The outbox: who is to be told about which ended execution, and how far that has come.

The one rule: a promise is stored with the execution and taken back in the transaction that stores its notifications,
so whatever a crash interrupts, none is forgotten. Functions take a connection; knows nothing of how messages are sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.backend.store.listing import ExecutionRow, list_executions
from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import from_text, to_text
from hydraflyte.identifiers import ExecutionId


class NotificationStatus(Enum):
    """Where a notification is."""

    PENDING = "PENDING"
    """To be delivered at ``next_try_at``."""
    DELIVERED = "DELIVERED"
    """The recipient, or its server, has taken it."""
    FAILED = "FAILED"
    """Given up; it can be tried again by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A notification that is not stored yet. ``message`` is JSON."""

    kind: str
    target: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRow:
    """One message to one recipient. ``tries`` counts those begun; ``trouble`` says why the last one failed."""

    row_id: int
    execution: ExecutionId
    kind: str
    target: str
    message: str
    status: NotificationStatus
    tries: int
    next_try_at: datetime
    trouble: str
    created_at: datetime
    updated_at: datetime


_SELECT = (
    "SELECT notifications.*, executions.execution_project, executions.execution_domain, executions.execution_name"
    " FROM notifications JOIN executions ON executions.id = notifications.execution_id"
)


def promise(connection: sqlite3.Connection, execution_row_id: int) -> None:
    """Remember that somebody is to be told when the execution ends."""
    connection.execute("INSERT INTO promised_notifications (execution_id) VALUES (?)", (execution_row_id,))


def due_promises(connection: sqlite3.Connection) -> list[ExecutionRow]:
    """Return the executions that have ended and whose notifications are not stored yet."""
    ended = sorted(phase.name for phase in TERMINAL_EXECUTION_PHASES)
    joined = Selection(
        joins=("JOIN promised_notifications ON promised_notifications.execution_id = executions.id",),
        order_by="executions.id",
    )
    marks = ", ".join("?" * len(ended))
    return list_executions(connection, joined.having(f"executions.phase IN ({marks})", *ended))


def keep_promise(
    connection: sqlite3.Connection, execution_row_id: int, notifications: Iterable[NewNotification], now: datetime
) -> None:
    """Store the notifications about an ended execution, to be delivered at once."""
    at = to_text(now)
    connection.execute("DELETE FROM promised_notifications WHERE execution_id = ?", (execution_row_id,))
    connection.executemany(
        "INSERT INTO notifications (execution_id, kind, target, message, status, next_try_at, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, 'PENDING', ?, ?, ?)",
        [(execution_row_id, new.kind, new.target, new.message, at, at, at) for new in notifications],
    )


def pending_notifications(connection: sqlite3.Connection, limit: int) -> list[NotificationRow]:
    """Return what is to be delivered, the soonest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE notifications.status = 'PENDING'"
        " ORDER BY notifications.next_try_at, notifications.id LIMIT ?",
        (limit,),
    )
    return [_row(row) for row in rows]


def list_notifications(connection: sqlite3.Connection, limit: int) -> list[NotificationRow]:
    """Return the newest notifications, newest first."""
    rows = connection.execute(f"{_SELECT} ORDER BY notifications.id DESC LIMIT ?", (limit,))
    return [_row(row) for row in rows]


def save_delivery(connection: sqlite3.Connection, row: NotificationRow) -> None:
    """Store status, tries, time of the next try and trouble."""
    connection.execute(
        "UPDATE notifications SET status = ?, tries = ?, next_try_at = ?, trouble = ?, updated_at = ? WHERE id = ?",
        (row.status.value, row.tries, to_text(row.next_try_at), row.trouble, to_text(row.updated_at), row.row_id),
    )


def try_again(connection: sqlite3.Connection, row_id: int, now: datetime) -> bool:
    """Have a notification that was given up tried again from the start. Returns False if there is no such one."""
    at = to_text(now)
    cursor = connection.execute(
        "UPDATE notifications SET status = 'PENDING', tries = 0, next_try_at = ?, updated_at = ?"
        " WHERE id = ? AND status != 'DELIVERED'",
        (at, at, row_id),
    )
    return cursor.rowcount == 1


def _row(row: sqlite3.Row) -> NotificationRow:
    return NotificationRow(
        row_id=row["id"],
        execution=ExecutionId(
            project=row["execution_project"], domain=row["execution_domain"], name=row["execution_name"]
        ),
        kind=row["kind"],
        target=row["target"],
        message=row["message"],
        status=NotificationStatus(row["status"]),
        tries=row["tries"],
        next_try_at=from_text(row["next_try_at"]),
        trouble=row["trouble"],
        created_at=from_text(row["created_at"]),
        updated_at=from_text(row["updated_at"]),
    )
