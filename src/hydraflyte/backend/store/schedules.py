"""Active schedules and how far each has come. Functions take a connection; knows nothing of when they fire."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from hydraflyte.backend.store.registry import LaunchPlanRow, list_launch_plans
from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveSchedule:
    """An active launch plan that has a schedule.

    Attributes:
        anchor: the last fire time that was begun or left out since the activation; the activation itself at first.
        last_execution: name of the execution that was begun last, or ``""``.
        trouble: why the last fire time began no execution, or ``""``.
    """

    plan: LaunchPlanRow
    anchor: datetime
    last_execution: str
    trouble: str


def active_schedules(connection: sqlite3.Connection) -> list[ActiveSchedule]:
    """Return every active launch plan that has a schedule."""
    wanted = Selection(order_by="launch_plans.id").having("state = 1").having("schedule_type != 'NONE'")
    return [_with_progress(connection, plan) for plan in list_launch_plans(connection, wanted)]


def is_still_active(connection: sqlite3.Connection, schedule: ActiveSchedule) -> bool:
    """Tell whether the activation under which ``schedule`` was read still holds."""
    row = connection.execute(
        "SELECT 1 FROM launch_plans WHERE id = ? AND state = 1 AND updated_at = ?",
        (schedule.plan.row_id, to_text(schedule.plan.updated_at)),
    ).fetchone()
    return row is not None


def save_progress(connection: sqlite3.Connection, schedule: ActiveSchedule) -> None:
    """Store the anchor, the last execution and the trouble."""
    values = (
        schedule.plan.row_id,
        to_text(schedule.plan.updated_at),
        to_text(schedule.anchor),
        schedule.last_execution,
        schedule.trouble,
    )
    connection.execute(
        "INSERT OR REPLACE INTO schedules (launch_plan_id, activated_at, anchor, last_execution, trouble)"
        " VALUES (?, ?, ?, ?, ?)",
        values,
    )


def _with_progress(connection: sqlite3.Connection, plan: LaunchPlanRow) -> ActiveSchedule:
    row = connection.execute(
        "SELECT * FROM schedules WHERE launch_plan_id = ? AND activated_at = ?",
        (plan.row_id, to_text(plan.updated_at)),
    ).fetchone()
    if row is None:
        return ActiveSchedule(plan=plan, anchor=plan.updated_at, last_execution="", trouble="")
    return ActiveSchedule(
        plan=plan, anchor=from_text(row["anchor"]), last_execution=row["last_execution"], trouble=row["trouble"]
    )
