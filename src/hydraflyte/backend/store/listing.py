"""Executions, node executions and task executions as the API shows them: frozen rows.

Reads only, apart from archiving; what else writes these tables is ``executions``. Functions take a
connection, so that callers group reads. Knows nothing of requests, and holds no rule of phases.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from hydraflyte.backend.engine.nodeids import item_id
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, TERMINAL_NODE_PHASES
from hydraflyte.backend.store.rows import ARRAY_TASK_TYPE
from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import from_text, to_text
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorColumns:
    """Why a row failed. ``kind`` is a name of ExecutionError.ErrorKind."""

    kind: str
    code: str
    message: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When things happened to a row. ``duration_ns`` is 0 until the end."""

    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """One execution. ``spec`` and ``workflow`` are serialised ExecutionSpec and Identifier."""

    row_id: int
    id: ExecutionId
    phase: str
    state: int
    state_changed_at: datetime
    spec: bytes
    workflow: bytes
    inputs_uri: str
    user_inputs_uri: str
    outputs_uri: str
    abort_cause: str
    abort_principal: str
    error: ErrorColumns | None
    times: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node execution.

    Attributes:
        dynamic_uri: of the compiled workflow that a dynamic task produced, or ``""``.
        has_children: whether node executions below it exist.
        child: the execution that a launch-plan node started, if any.
        artifact_id: of the catalog entry under the node's cache key, or ``""``.
        artifact_source: (project/domain/name, node, attempt) that produced that entry.
    """

    row_id: int
    execution: ExecutionId
    node_id: str
    spec_node_id: str
    kind: str
    parent_node_id: str | None
    retry_group: int | None
    is_eager: bool
    phase: str
    attempt: int
    input_uri: str
    output_uri: str
    deck_uri: str
    dynamic_uri: str
    cache_status: str
    cache_dataset: str
    cache_tag: str
    has_children: bool
    child: ExecutionId | None
    artifact_id: str
    artifact_source: tuple[str, str, int] | None
    error: ErrorColumns | None
    times: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExecutionRow:
    """One attempt of a task node. ``logs`` are (name, uri) pairs."""

    execution: ExecutionId
    node_id: str
    project: str
    domain: str
    name: str
    version: str
    task_type: str
    retry_attempt: int
    phase: str
    phase_version: int
    input_uri: str
    output_uri: str
    has_deck: bool
    is_interruptible: bool
    logs: tuple[tuple[str, str], ...]
    error: ErrorColumns | None
    times: Times

    @property
    def waiting_attempt(self) -> AttemptId:
        """What is before the executor while it is QUEUED: itself, or the first item of an array."""
        node = NodeId(self.node_id) if self.task_type != ARRAY_TASK_TYPE else item_id(NodeId(self.node_id), 0)
        return AttemptId(execution=self.execution, node=node, attempt=self.retry_attempt)


_EXECUTION = "executions.execution_project = ? AND executions.execution_domain = ? AND executions.execution_name = ?"
_SELECT_EXECUTION = "SELECT executions.* FROM executions"
_SELECT_NODE = (
    "SELECT node_executions.*, owner.execution_project, owner.execution_domain, owner.execution_name,"
    " node_executions.kind NOT IN ('array', 'map_task') AND EXISTS (SELECT 1 FROM node_executions AS below"
    " WHERE below.execution_id = node_executions.execution_id"
    " AND below.parent_node_id = node_executions.node_id) AS has_children,"
    " child.execution_project AS child_project, child.execution_domain AS child_domain,"
    " child.execution_name AS child_name, artifacts.id AS artifact_id, artifacts.source_execution,"
    " artifacts.source_node, artifacts.source_attempt"
    " FROM node_executions JOIN executions AS owner ON owner.id = node_executions.execution_id"
    " LEFT JOIN executions AS child ON node_executions.kind = 'launch_plan' AND child.id ="
    " coalesce((SELECT min(id) FROM executions WHERE parent_node_execution_id = node_executions.id),"
    " (SELECT id FROM executions WHERE execution_project = owner.execution_project"
    " AND execution_domain = owner.execution_domain AND execution_name = node_executions.recovered_child))"
    " LEFT JOIN artifacts ON node_executions.cache_tag != '' AND artifacts.dataset = node_executions.cache_dataset"
    " AND artifacts.tag = node_executions.cache_tag"
)
_SELECT_TASK = (
    "SELECT task_executions.*, owner.execution_project, owner.execution_domain, owner.execution_name"
    " FROM task_executions JOIN executions AS owner ON owner.id = task_executions.execution_id"
)
_OWNER = "owner.execution_project = ? AND owner.execution_domain = ? AND owner.execution_name = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One item of an array node, as its current attempt stands.

    ``catalog_key`` is that of its outputs, or ``""``; ``logs`` are (name, uri) pairs; ``child`` is the execution that
    an item of an array over launch plans began. One that ``has_ended`` stays as it is,
    unless its outputs are evicted from the catalog.
    """

    index: int
    node_id: str
    retry_attempt: int
    phase: str
    has_ended: bool
    cache_status: str
    catalog_key: str
    logs: tuple[tuple[str, str], ...]
    child: ExecutionId | None


_ENDED_NODES = frozenset(phase.name for phase in TERMINAL_NODE_PHASES)
_TASK_PHASES = {"RECOVERED": "SUCCEEDED"}  # of items without an attempt: recovered, a cache hit, or not yet started


_SELECT_ITEM = (
    "SELECT nodes.item, nodes.node_id, nodes.attempt, nodes.cache_status, nodes.phase AS node_phase,"
    " CASE WHEN nodes.cache_tag = '' THEN '' ELSE nodes.cache_dataset || ':' || nodes.cache_tag END AS catalog_key,"
    " tasks.phase AS task_phase, tasks.logs, child.execution_project AS child_project,"
    " child.execution_domain AS child_domain, child.execution_name AS child_name FROM node_executions AS nodes"
    " JOIN executions AS owner ON owner.id = nodes.execution_id"
    " LEFT JOIN task_executions AS tasks ON tasks.execution_id = nodes.execution_id"
    " AND tasks.node_id = nodes.node_id AND tasks.retry_attempt = nodes.attempt"
    " LEFT JOIN executions AS child ON child.id = CASE WHEN nodes.kind = 'launch_plan' THEN"
    " (SELECT min(id) FROM executions WHERE parent_node_execution_id = nodes.id) END"
)


def list_items(
    connection: sqlite3.Connection, execution: ExecutionId, node_id: str, *, besides: Collection[int] = ()
) -> list[ItemRow]:
    """Return the items of an array node that have begun, in order.

    Args:
        besides: indices to leave out; but not of those whose outputs were evicted from the catalog, which happens
            after their end.
    """
    rows = connection.execute(
        f"{_SELECT_ITEM} WHERE {_OWNER} AND nodes.parent_node_id = ? AND nodes.item IS NOT NULL"
        " AND (nodes.cache_status = 'CACHE_EVICTED' OR nodes.item NOT IN (SELECT value FROM json_each(?)))"
        " ORDER BY nodes.item",
        (*_names(execution), node_id, json.dumps(list(besides))),
    )
    return [_item(row) for row in rows]


def of_execution(selection: Selection, execution: ExecutionId) -> Selection:
    """Return the selection of node or task executions narrowed to this execution."""
    return selection.having(_OWNER, *_names(execution))


def find_execution(connection: sqlite3.Connection, execution: ExecutionId) -> ExecutionRow | None:
    """Return the execution, or None."""
    row = connection.execute(f"{_SELECT_EXECUTION} WHERE {_EXECUTION}", _names(execution)).fetchone()
    return None if row is None else _execution(row)


def list_executions(connection: sqlite3.Connection, selection: Selection) -> list[ExecutionRow]:
    """Return the selected executions."""
    return [_execution(row) for row in connection.execute(selection.statement(_SELECT_EXECUTION), selection.parameters)]


def count_open_executions(connection: sqlite3.Connection, project: str, domain: str, launch_plan: str) -> int:
    """Return how many executions of any version of the launch plan have not ended."""
    ended = sorted(phase.name for phase in TERMINAL_EXECUTION_PHASES)
    row = connection.execute(
        "SELECT count(*) FROM executions JOIN launch_plans ON launch_plans.id = executions.launch_plan_id"
        " WHERE launch_plans.project = ? AND launch_plans.domain = ? AND launch_plans.name = ?"
        f" AND executions.phase NOT IN ({', '.join('?' * len(ended))})",
        (project, domain, launch_plan, *ended),
    ).fetchone()
    count: int = row[0]
    return count


def set_execution_state(connection: sqlite3.Connection, execution: ExecutionId, state: int, now: datetime) -> bool:
    """Archive (1) or reactivate (0) the execution. Returns False if there is none."""
    at = to_text(now)
    cursor = connection.execute(
        f"UPDATE executions SET state = ?, state_changed_at = ? WHERE {_EXECUTION}",
        (state, at, *_names(execution)),
    )
    return cursor.rowcount == 1


def find_node(connection: sqlite3.Connection, execution: ExecutionId, node_id: str) -> NodeRow | None:
    """Return the node execution with this unique id, or None."""
    statement = f"{_SELECT_NODE} WHERE {_OWNER} AND node_executions.node_id = ? AND node_executions.item IS NULL"
    row = connection.execute(statement, (*_names(execution), node_id)).fetchone()
    return None if row is None else _node(row)


def list_nodes(connection: sqlite3.Connection, selection: Selection) -> list[NodeRow]:
    """Return the selected node executions; items of arrays are none."""
    selection = selection.having("node_executions.item IS NULL")
    return [_node(row) for row in connection.execute(selection.statement(_SELECT_NODE), selection.parameters)]


def find_task_execution(
    connection: sqlite3.Connection, execution: ExecutionId, node_id: str, retry_attempt: int
) -> TaskExecutionRow | None:
    """Return the attempt, or None."""
    statement = f"{_SELECT_TASK} WHERE {_OWNER} AND task_executions.node_id = ? AND task_executions.retry_attempt = ?"
    row = connection.execute(statement, (*_names(execution), node_id, retry_attempt)).fetchone()
    return None if row is None else _task(row)


def list_task_executions(connection: sqlite3.Connection, selection: Selection) -> list[TaskExecutionRow]:
    """Return the selected attempts."""
    return [_task(row) for row in connection.execute(selection.statement(_SELECT_TASK), selection.parameters)]


def _names(execution: ExecutionId) -> tuple[str, str, str]:
    return execution.project, execution.domain, execution.name


def _execution_id(row: sqlite3.Row, prefix: str = "execution") -> ExecutionId:
    return ExecutionId(project=row[f"{prefix}_project"], domain=row[f"{prefix}_domain"], name=row[f"{prefix}_name"])


def _execution(row: sqlite3.Row) -> ExecutionRow:
    return ExecutionRow(
        row_id=row["id"],
        id=_execution_id(row),
        phase=row["phase"],
        state=row["state"],
        state_changed_at=from_text(row["state_changed_at"]),
        spec=row["spec"],
        workflow=row["workflow"],
        inputs_uri=row["inputs_uri"],
        user_inputs_uri=row["user_inputs_uri"],
        outputs_uri=row["outputs_uri"],
        abort_cause=row["abort_cause"],
        abort_principal=row["abort_principal"],
        error=_error(row),
        times=_times(row),
    )


def _node(row: sqlite3.Row) -> NodeRow:
    source = row["source_execution"]
    return NodeRow(
        row_id=row["id"],
        execution=_execution_id(row),
        node_id=row["node_id"],
        spec_node_id=row["spec_node_id"],
        kind=row["kind"],
        parent_node_id=row["parent_node_id"],
        retry_group=row["retry_group"],
        is_eager=bool(row["is_eager"]),
        phase=row["phase"],
        attempt=row["attempt"],
        input_uri=row["input_uri"],
        output_uri=row["output_uri"],
        deck_uri=row["deck_uri"],
        dynamic_uri=row["dynamic_uri"],
        cache_status=row["cache_status"],
        cache_dataset=row["cache_dataset"],
        cache_tag=row["cache_tag"],
        has_children=bool(row["has_children"]),
        child=None if row["child_name"] is None else _execution_id(row, "child"),
        artifact_id=row["artifact_id"] or "",
        artifact_source=None if source is None else (source, row["source_node"], row["source_attempt"]),
        error=_error(row),
        times=_times(row),
    )


def _item(row: sqlite3.Row) -> ItemRow:
    return ItemRow(
        index=row["item"],
        node_id=row["node_id"],
        retry_attempt=row["attempt"],
        phase=row["task_phase"] or _TASK_PHASES.get(row["node_phase"], row["node_phase"]),
        has_ended=row["node_phase"] in _ENDED_NODES,
        cache_status=row["cache_status"],
        catalog_key=row["catalog_key"],
        logs=_logs(row),
        child=None if row["child_name"] is None else _execution_id(row, "child"),
    )


def _task(row: sqlite3.Row) -> TaskExecutionRow:
    return TaskExecutionRow(
        execution=_execution_id(row),
        node_id=row["node_id"],
        project=row["project"],
        domain=row["domain"],
        name=row["name"],
        version=row["version"],
        task_type=row["task_type"],
        retry_attempt=row["retry_attempt"],
        phase=row["phase"],
        phase_version=row["phase_version"],
        input_uri=row["input_uri"],
        output_uri=row["output_uri"],
        has_deck=bool(row["has_deck"]),
        is_interruptible=bool(row["is_interruptible"]),
        logs=_logs(row),
        error=_error(row),
        times=_times(row),
    )


def _logs(row: sqlite3.Row) -> tuple[tuple[str, str], ...]:
    return tuple((link["name"], link["uri"]) for link in json.loads(row["logs"] or "[]"))


def _error(row: sqlite3.Row) -> ErrorColumns | None:
    if not row["error_kind"]:
        return None
    return ErrorColumns(
        kind=row["error_kind"], code=row["error_code"], message=row["error_message"], uri=row["error_uri"]
    )


def _times(row: sqlite3.Row) -> Times:
    return Times(
        created_at=from_text(row["created_at"]),
        updated_at=from_text(row["updated_at"]),
        started_at=from_text(row["started_at"]),
        ended_at=from_text(row["ended_at"]),
        duration_ns=row["duration"],
    )
