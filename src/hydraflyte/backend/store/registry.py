"""Registered tasks, workflows and launch plans, and the names they share.

The one rule: a version, once stored, never changes, apart from a launch plan's state. Functions take a
connection, so that callers group them into one read or one transaction. Knows nothing of requests or answers.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, TASK, WORKFLOW, Identifier, ResourceType

from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import from_text, to_text


class EntityKind(Enum):
    """What can be registered; the value is the table that holds it."""

    TASK = "tasks"
    WORKFLOW = "workflows"
    LAUNCH_PLAN = "launch_plans"

    @property
    def resource_type(self) -> ResourceType:
        """flyteidl's number for this kind."""
        return _RESOURCE_TYPES[self]

    @property
    def noun(self) -> str:
        """What people call it."""
        return self.value[:-1].replace("_", " ")


_RESOURCE_TYPES = {EntityKind.TASK: TASK, EntityKind.WORKFLOW: WORKFLOW, EntityKind.LAUNCH_PLAN: LAUNCH_PLAN}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EntityId:
    """One version of a task, workflow or launch plan."""

    kind: EntityKind
    project: str
    domain: str
    name: str
    version: str

    @classmethod
    def of(cls, kind: EntityKind, identifier: Identifier) -> EntityId:
        """Return the id that the message names; its own resource type is not looked at."""
        return cls(
            kind=kind,
            project=identifier.project,
            domain=identifier.domain,
            name=identifier.name,
            version=identifier.version,
        )

    def to_message(self) -> Identifier:
        """Return the id as flyteidl's message."""
        return Identifier(
            resource_type=self.kind.resource_type,
            project=self.project,
            domain=self.domain,
            name=self.name,
            version=self.version,
        )

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.project}:{self.domain}:{self.name}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A stored task. ``closure`` is a CompiledTask; ``row_id`` is what executions.task_id holds."""

    row_id: int
    id: EntityId
    type: str
    short_description: str
    digest: bytes
    closure: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow:
    """A stored workflow. ``interface`` is a TypedInterface; ``closure`` a CompiledWorkflowClosure, empty in lists."""

    row_id: int
    id: EntityId
    short_description: str
    digest: bytes
    interface: bytes
    closure: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlanRow:
    """A stored launch plan. ``spec`` is a LaunchPlanSpec, the expected ones a ParameterMap and a VariableMap."""

    row_id: int
    id: EntityId
    workflow_row_id: int
    state: int
    digest: bytes
    schedule_type: str
    launch_condition_type: str
    spec: bytes
    expected_inputs: bytes
    expected_outputs: bytes
    created_at: datetime
    updated_at: datetime


_WORKFLOW_HEAD = (
    "workflows.id, workflows.project, workflows.domain, workflows.name, workflows.version,"
    " workflows.short_description, workflows.digest, workflows.interface, x'' AS closure, workflows.created_at"
)


def find_task(connection: sqlite3.Connection, entity: EntityId) -> TaskRow | None:
    """Return this version of the task, or None."""
    row = _find(connection, entity)
    return None if row is None else _task(row)


def find_workflow(connection: sqlite3.Connection, entity: EntityId) -> WorkflowRow | None:
    """Return this version of the workflow, or None."""
    row = _find(connection, entity)
    return None if row is None else _workflow(row)


def find_launch_plan(connection: sqlite3.Connection, entity: EntityId) -> LaunchPlanRow | None:
    """Return this version of the launch plan, or None."""
    row = _find(connection, entity)
    return None if row is None else _launch_plan(row)


def find_active_launch_plan(
    connection: sqlite3.Connection, project: str, domain: str, name: str
) -> LaunchPlanRow | None:
    """Return the version that is active, or None."""
    row = connection.execute(
        "SELECT * FROM launch_plans WHERE project = ? AND domain = ? AND name = ? AND state = 1",
        (project, domain, name),
    ).fetchone()
    return None if row is None else _launch_plan(row)


def find_workflow_by_row(connection: sqlite3.Connection, row_id: int) -> WorkflowRow | None:
    """Return the workflow that a launch plan's ``workflow_row_id`` names, or None."""
    row = connection.execute("SELECT * FROM workflows WHERE id = ?", (row_id,)).fetchone()
    return None if row is None else _workflow(row)


def insert_task(connection: sqlite3.Connection, task: TaskRow) -> TaskRow | None:
    """Store the task (its ``row_id`` is chosen here). Returns None, or the row of this version that is there."""
    is_new = _insert(
        connection,
        task.id,
        task.created_at,
        {
            "type": task.type,
            "short_description": task.short_description,
            "digest": task.digest,
            "closure": task.closure,
        },
    )
    return None if is_new else find_task(connection, task.id)


def insert_workflow(connection: sqlite3.Connection, workflow: WorkflowRow) -> WorkflowRow | None:
    """Store the workflow (its ``row_id`` is chosen here). Returns None, or the row of this version that is there."""
    is_new = _insert(
        connection,
        workflow.id,
        workflow.created_at,
        {
            "short_description": workflow.short_description,
            "digest": workflow.digest,
            "interface": workflow.interface,
            "closure": workflow.closure,
        },
    )
    return None if is_new else find_workflow(connection, workflow.id)


def insert_launch_plan(connection: sqlite3.Connection, plan: LaunchPlanRow) -> LaunchPlanRow | None:
    """Store the launch plan (its ``row_id`` is chosen here). Returns None, or the row of this version that is there."""
    is_new = _insert(
        connection,
        plan.id,
        plan.created_at,
        {
            "workflow_id": plan.workflow_row_id,
            "state": plan.state,
            "digest": plan.digest,
            "schedule_type": plan.schedule_type,
            "launch_condition_type": plan.launch_condition_type,
            "spec": plan.spec,
            "expected_inputs": plan.expected_inputs,
            "expected_outputs": plan.expected_outputs,
        },
    )
    return None if is_new else find_launch_plan(connection, plan.id)


def set_launch_plan_state(connection: sqlite3.Connection, plan: LaunchPlanRow, state: int, now: datetime) -> None:
    """Set the state; when it becomes active (1), the version of that name that was active no longer is.

    One that is in this state already keeps the time of its change: a fixed rate counts from there.
    """
    at = to_text(now)
    if state == 1:
        connection.execute(
            "UPDATE launch_plans SET state = 0, updated_at = ?"
            " WHERE project = ? AND domain = ? AND name = ? AND state = 1 AND id != ?",
            (at, plan.id.project, plan.id.domain, plan.id.name, plan.row_id),
        )
    connection.execute(
        "UPDATE launch_plans SET state = ?, updated_at = ? WHERE id = ? AND state != ?", (state, at, plan.row_id, state)
    )


def list_tasks(connection: sqlite3.Connection, selection: Selection) -> list[TaskRow]:
    """Return the selected tasks, whole."""
    statement = selection.statement("SELECT tasks.* FROM tasks")
    return [_task(row) for row in connection.execute(statement, selection.parameters)]


def list_workflows(connection: sqlite3.Connection, selection: Selection) -> list[WorkflowRow]:
    """Return the selected workflows, without their closures."""
    statement = selection.statement(f"SELECT {_WORKFLOW_HEAD} FROM workflows")
    return [_workflow(row) for row in connection.execute(statement, selection.parameters)]


def list_launch_plans(connection: sqlite3.Connection, selection: Selection) -> list[LaunchPlanRow]:
    """Return the selected launch plans, whole."""
    statement = selection.statement("SELECT launch_plans.* FROM launch_plans")
    return [_launch_plan(row) for row in connection.execute(statement, selection.parameters)]


def list_names(connection: sqlite3.Connection, kind: EntityKind, selection: Selection) -> list[tuple[str, str, str]]:
    """Return (project, domain, name) of the selected entities, each name once."""
    table = kind.value
    columns = f"{table}.project, {table}.domain, {table}.name"
    statement = replace(selection, group_by=columns).statement(f"SELECT {columns} FROM {table}")
    return [tuple(row) for row in connection.execute(statement, selection.parameters)]


def _find(connection: sqlite3.Connection, entity: EntityId, columns: str = "*") -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        f"SELECT {columns} FROM {entity.kind.value} WHERE project = ? AND domain = ? AND name = ? AND version = ?",
        (entity.project, entity.domain, entity.name, entity.version),
    ).fetchone()
    return row


def _insert(
    connection: sqlite3.Connection, entity: EntityId, now: datetime, columns: dict[str, str | int | bytes]
) -> bool:
    at = to_text(now)
    values = {
        "project": entity.project,
        "domain": entity.domain,
        "name": entity.name,
        "version": entity.version,
        **columns,
        "created_at": at,
        "updated_at": at,
    }
    cursor = connection.execute(
        f"INSERT INTO {entity.kind.value} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        " ON CONFLICT (project, domain, name, version) DO NOTHING",
        tuple(values.values()),
    )
    if cursor.rowcount == 0:
        return False
    connection.execute(
        "INSERT OR IGNORE INTO named_entities (resource_type, project, domain, name, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (entity.kind.resource_type, entity.project, entity.domain, entity.name, at, at),
    )
    return True


def _id(kind: EntityKind, row: sqlite3.Row) -> EntityId:
    return EntityId(kind=kind, project=row["project"], domain=row["domain"], name=row["name"], version=row["version"])


def _task(row: sqlite3.Row) -> TaskRow:
    return TaskRow(
        row_id=row["id"],
        id=_id(EntityKind.TASK, row),
        type=row["type"],
        short_description=row["short_description"],
        digest=row["digest"],
        closure=row["closure"],
        created_at=from_text(row["created_at"]),
    )


def _workflow(row: sqlite3.Row) -> WorkflowRow:
    return WorkflowRow(
        row_id=row["id"],
        id=_id(EntityKind.WORKFLOW, row),
        short_description=row["short_description"],
        digest=row["digest"],
        interface=row["interface"],
        closure=row["closure"],
        created_at=from_text(row["created_at"]),
    )


def _launch_plan(row: sqlite3.Row) -> LaunchPlanRow:
    return LaunchPlanRow(
        row_id=row["id"],
        id=_id(EntityKind.LAUNCH_PLAN, row),
        workflow_row_id=row["workflow_id"],
        state=row["state"],
        digest=row["digest"],
        schedule_type=row["schedule_type"],
        launch_condition_type=row["launch_condition_type"],
        spec=row["spec"],
        expected_inputs=row["expected_inputs"],
        expected_outputs=row["expected_outputs"],
        created_at=from_text(row["created_at"]),
        updated_at=from_text(row["updated_at"]),
    )
