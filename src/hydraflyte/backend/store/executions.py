"""Executions at rest: what the loop writes, and how a restart reads the engine's states back.

The tables hold the engine's values column by column; literal maps lie in files whose addresses
``engine.layout`` derives. Reads for the API are in ``listing``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import DecodeError, Message

from hydraflyte.backend.engine.commands import Command, OpenSignal, WriteCache
from hydraflyte.backend.engine.events import Event
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, ExecutionPhase
from hydraflyte.backend.engine.state import ExecutionState, Step
from hydraflyte.backend.ports import ExecutionExistsError, NewExecution, TooManyOpenError
from hydraflyte.backend.store import restore
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.catalog import Artifact, find_artifact, put_artifact
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import count_open_executions
from hydraflyte.backend.store.outbox import promise
from hydraflyte.backend.store.recovering import find_recovered
from hydraflyte.backend.store.registry import EntityId, EntityKind, find_launch_plan, find_task, find_workflow
from hydraflyte.backend.store.rows import execution_columns, node_columns, task_columns
from hydraflyte.backend.store.signals import find_signal, open_signal
from hydraflyte.backend.store.timestamps import to_text
from hydraflyte.identifiers import ExecutionId, NodeId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a batch of events made of one execution, not yet stored.

    Attributes:
        touched: node executions that differ from what is stored.
        writes: messages to put on disk first (absolute path -> content).
        events: what happened, in order.
    """

    state: ExecutionState
    commands: tuple[Command, ...] = ()
    touched: frozenset[NodeId] = frozenset()
    writes: Mapping[str, Message] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    @classmethod
    def of(cls, state: ExecutionState) -> Change:
        """Return the empty change of a stored state."""
        return cls(state=state)

    def followed_by(self, step: Step, event: Event) -> Change:
        """Return this change with one more step after it."""
        return Change(
            state=step.state,
            commands=self.commands + step.commands,
            touched=self.touched | step.touched,
            writes={**self.writes, **step.writes},
            events=(*self.events, event),
        )


class OffloadedUnreadableError(Exception):
    """The content of an offloaded literal cannot be had; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEnd:
    """How an execution ended. ``outputs`` if it SUCCEEDED, ``failure`` if it FAILED."""

    phase: ExecutionPhase
    outputs: LiteralMap | None = None
    failure: Failure | None = None


class ExecutionStore:
    """Keeps executions. All methods are for the asyncio thread; the work is done on the database's threads."""

    def __init__(self, *, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    async def insert(self, new: NewExecution, state: ExecutionState) -> None:
        """Store a new execution and its inputs.

        Raises:
            ExecutionExistsError: the name is taken; nothing was changed.
            TooManyOpenError: as many executions of the launch plan are open as may be; nothing was changed.
        """
        if await self.exists(new.plan.execution_id):
            raise ExecutionExistsError(str(new.plan.execution_id))
        await self._write_files(
            {
                inputs_uri(new.plan.metadata_prefix): new.plan.inputs,
                user_inputs_uri(new.plan.metadata_prefix): new.user_inputs,
            }
        )
        await self._database.write(lambda connection: _insert(connection, new, state))

    async def save(self, changes: Sequence[Change], now: datetime) -> None:
        """Put the literal maps on disk, then store all states in one transaction."""
        writes = {uri: message for change in changes for uri, message in change.writes.items()}
        await self._write_files(writes)
        await self._database.write(lambda connection: _save_all(connection, changes, now))

    async def load_open(self, now: datetime) -> list[ExecutionState]:
        """Return every execution that has not ended, as it was last stored.

        One that cannot be read back (a file of it is damaged) ends here as FAILED, with the reason; the others
        are not held up by it.
        """
        states: list[ExecutionState] = []
        for row_id in await self._database.read(_open_row_ids):
            try:
                states.append(await self._database.read(partial(_load, self._blobs, row_id)))
            except (OSError, DecodeError) as error:
                log.error("execution in row %d cannot be read back: %s", row_id, error)
                await self._database.write(partial(_end_unreadable, row_id, str(error), now))
        return states

    async def exists(self, execution: ExecutionId) -> bool:
        """Tell whether there is an execution of this name, ended or not."""
        return await self._database.read(lambda connection: _row_id(connection, execution) is not None)

    async def find_end(self, execution: ExecutionId) -> ExecutionEnd | None:
        """Return how the execution ended, or None if there is none of this name, or it has not."""
        return await self._database.read(lambda connection: _find_end(connection, self._blobs, execution))

    async def find_signal_value(self, execution: ExecutionId, signal_id: str) -> Literal | None:
        """Return what a client set the signal to, or None."""
        signal = await self._database.read(lambda connection: find_signal(connection, execution, signal_id))
        return None if signal is None else signal.value

    async def find_artifact(self, dataset: str, tag: str) -> Artifact | None:
        """Ask the catalog."""
        return await self._database.read(lambda connection: find_artifact(connection, dataset, tag))

    async def read_offloaded(self, uri: str) -> Literal:
        """Return the content of an offloaded literal.

        Raises:
            OffloadedUnreadableError: there is none at this address, or none that this machine can read.
        """
        if not uri.startswith("/"):
            raise OffloadedUnreadableError("it does not lie on this machine")
        try:
            return await asyncio.to_thread(self._blobs.read_message, uri, Literal)
        except OSError as error:
            raise OffloadedUnreadableError(error.strerror or str(error)) from error
        except DecodeError as error:
            raise OffloadedUnreadableError("the file holds no literal") from error

    async def _write_files(self, writes: Mapping[str, Message]) -> None:
        if writes:
            await asyncio.to_thread(_write_files, self._blobs, writes)


def inputs_uri(metadata_prefix: str) -> str:
    """Return where an execution's merged inputs lie."""
    return f"{metadata_prefix}/inputs"


def user_inputs_uri(metadata_prefix: str) -> str:
    """Return where the inputs lie as the caller sent them."""
    return f"{metadata_prefix}/user_inputs"


def _write_files(blobs: Blobs, writes: Mapping[str, Message]) -> None:
    for uri, message in writes.items():
        blobs.write_message(uri, message)


def _insert(connection: sqlite3.Connection, new: NewExecution, state: ExecutionState) -> None:
    plan, created = new.plan, to_text(state.created_at)
    is_task = new.launch_plan.resource_type == ResourceType.TASK
    task = find_task(connection, EntityId.of(EntityKind.TASK, new.launch_plan)) if is_task else None
    launch_plan = (
        None if is_task else find_launch_plan(connection, EntityId.of(EntityKind.LAUNCH_PLAN, new.launch_plan))
    )
    workflow = find_workflow(connection, EntityId.of(EntityKind.WORKFLOW, new.workflow))
    columns = execution_columns(state) | {
        "execution_project": plan.execution_id.project,
        "execution_domain": plan.execution_id.domain,
        "execution_name": plan.execution_id.name,
        "launch_plan_id": launch_plan.row_id if launch_plan else None,
        "task_id": task.row_id if task else None,
        "workflow_id": workflow.row_id if workflow else None,
        "launch_entity": "task" if is_task else "launch_plan",
        "state_changed_at": created,
        "mode": new.spec.metadata.mode,
        "spec": new.spec.SerializeToString(deterministic=True),
        "workflow": new.workflow.SerializeToString(deterministic=True),
        "inputs_uri": inputs_uri(plan.metadata_prefix),
        "user_inputs_uri": user_inputs_uri(plan.metadata_prefix),
        "user": new.spec.metadata.principal,
        "source_execution_id": _source_row_id(connection, new.spec.metadata),
        "parent_node_execution_id": _parent_row_id(connection, new.spec.metadata),
        "plan": json.dumps(restore.plan_to_json(plan)),
    }
    _check_room(connection, new)
    try:
        _put(connection, "executions", columns, keys=())
    except sqlite3.IntegrityError as error:
        raise ExecutionExistsError(str(plan.execution_id)) from error
    row_id = _row_id(connection, plan.execution_id)
    if new.spec.notifications.notifications:
        assert row_id is not None, "it was stored just now"
        promise(connection, row_id)
    connection.executemany(
        "INSERT OR IGNORE INTO execution_tags (execution_id, key, value) VALUES (?, ?, ?)",
        [(row_id, key, value) for key, value in new.tags],
    )


def _check_room(connection: sqlite3.Connection, new: NewExecution) -> None:
    """Two requests may have found room for one execution: what counts is what is open when it is stored."""
    if not new.most_open:
        return
    plan = new.launch_plan
    if count_open_executions(connection, plan.project, plan.domain, plan.name) >= new.most_open:
        raise TooManyOpenError(f"{plan.name} allows {new.most_open} executions at a time")


def _save_all(connection: sqlite3.Connection, changes: Iterable[Change], now: datetime) -> None:
    for change in changes:
        row_id = _row_id(connection, change.state.plan.execution_id)
        _put(
            connection, "executions", {"id": row_id, **execution_columns(change.state)}, keys=("id",), update_only=True
        )
        for node_id in _parents_first(change):
            _save_node(connection, row_id, change.state, node_id)
        _append_events(connection, row_id, change.events, now)
        for command in change.commands:
            if isinstance(command, WriteCache):
                put_artifact(connection, command, now)
            elif isinstance(command, OpenSignal):
                open_signal(connection, change.state.plan.execution_id, command.signal_id, command.type, now)


def _parents_first(change: Change) -> list[NodeId]:
    """Return the touched nodes so that a parent, whose row a child's row names, comes before its children."""
    nodes = change.state.nodes

    def depth(node_id: NodeId) -> int:
        parent = nodes[node_id].parent
        return 0 if parent is None else 1 + depth(parent)

    return sorted(change.touched, key=lambda node_id: (depth(node_id), node_id))


def _save_node(connection: sqlite3.Connection, row_id: int | None, state: ExecutionState, node_id: NodeId) -> None:
    node = state.nodes[node_id]
    columns = {"execution_id": row_id, **node_columns(state, node)}
    if node.parent is not None:
        columns["parent_id"] = connection.execute(
            "SELECT id FROM node_executions WHERE execution_id = ? AND node_id = ?", (row_id, node.parent)
        ).fetchone()[0]
    _put(connection, "node_executions", columns, keys=("execution_id", "node_id"))
    for attempt in node.attempts:
        task = {"execution_id": row_id, **task_columns(state, node, attempt)}
        _put(connection, "task_executions", task, keys=("execution_id", "node_id", "retry_attempt"))


def _append_events(connection: sqlite3.Connection, row_id: int | None, events: Sequence[Event], now: datetime) -> None:
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE execution_id = ?", (row_id,)).fetchone()[
        0
    ]
    connection.executemany(
        "INSERT INTO events (execution_id, seq, at, kind, about) VALUES (?, ?, ?, ?, ?)",
        [
            (row_id, last + offset, to_text(now), type(event).__name__, _subject(event))
            for offset, event in enumerate(events, start=1)
        ],
    )


def _subject(event: Event) -> str:
    attempt = getattr(event, "attempt", None)
    node = getattr(event, "node", None) or getattr(attempt, "node", "")
    number = getattr(attempt, "attempt", attempt)
    return f"{node}/{number}" if node else ""


def _put(
    connection: sqlite3.Connection,
    table: str,
    columns: Mapping[str, Any],  # whatever sqlite3 can bind
    *,
    keys: Sequence[str],
    update_only: bool = False,
) -> None:
    """Insert the row, or bring the one with the same keys up to date. Column names are ours, never a client's."""
    names = [name for name in columns if name not in keys]
    assignments = ", ".join(f"{name} = :{name}" for name in names)
    if update_only:
        conditions = " AND ".join(f"{key} = :{key}" for key in keys)
        connection.execute(f"UPDATE {table} SET {assignments} WHERE {conditions}", columns)
        return
    values = ", ".join(f":{name}" for name in columns)
    conflict = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {assignments}" if keys else ""
    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}){conflict}", columns)


def _row_id(connection: sqlite3.Connection, execution: ExecutionId) -> int | None:
    row = connection.execute(
        "SELECT id FROM executions WHERE execution_project = ? AND execution_domain = ? AND execution_name = ?",
        (execution.project, execution.domain, execution.name),
    ).fetchone()
    return row[0] if row else None


def _source_row_id(connection: sqlite3.Connection, metadata: ExecutionMetadata) -> int | None:
    if not metadata.HasField("reference_execution"):
        return None
    source = metadata.reference_execution
    return _row_id(connection, ExecutionId(project=source.project, domain=source.domain, name=source.name))


def _parent_row_id(connection: sqlite3.Connection, metadata: ExecutionMetadata) -> int | None:
    """Return the row of the node execution that began this execution, if one did."""
    if not metadata.HasField("parent_node_execution"):
        return None
    parent = metadata.parent_node_execution
    where = parent.execution_id
    owner = _row_id(connection, ExecutionId(project=where.project, domain=where.domain, name=where.name))
    row = connection.execute(
        "SELECT id FROM node_executions WHERE execution_id = ? AND node_id = ?", (owner, parent.node_id)
    ).fetchone()
    return row[0] if row else None


def _find_end(connection: sqlite3.Connection, blobs: Blobs, execution: ExecutionId) -> ExecutionEnd | None:
    row = connection.execute("SELECT * FROM executions WHERE id = ?", (_row_id(connection, execution),)).fetchone()
    if row is None or ExecutionPhase[row["phase"]] not in TERMINAL_EXECUTION_PHASES:
        return None
    phase = ExecutionPhase[row["phase"]]
    outputs = blobs.read_literals(row["outputs_uri"]) if phase is ExecutionPhase.SUCCEEDED else None
    return ExecutionEnd(phase=phase, outputs=outputs, failure=restore.failure_of(row))


def _open_row_ids(connection: sqlite3.Connection) -> list[int]:
    ended = sorted(phase.name for phase in TERMINAL_EXECUTION_PHASES)
    marks = ", ".join("?" * len(ended))
    rows = connection.execute(f"SELECT id FROM executions WHERE phase NOT IN ({marks}) ORDER BY id", ended)
    return [row["id"] for row in rows]


def _end_unreadable(row_id: int, reason: str, now: datetime, connection: sqlite3.Connection) -> None:
    at = to_text(now)
    connection.execute(
        "UPDATE executions SET phase = 'FAILED', error_kind = 'SYSTEM', error_code = 'StateUnreadable',"
        " error_message = ?, ended_at = ?, updated_at = ?, execution_updated_at = ? WHERE id = ?",
        (f"The stored execution cannot be read back: {reason}", at, at, at, row_id),
    )


def _load(blobs: Blobs, row_id: int, connection: sqlite3.Connection) -> ExecutionState:
    row = connection.execute("SELECT * FROM executions WHERE id = ?", (row_id,)).fetchone()
    workflow = find_workflow(connection, EntityId.of(EntityKind.WORKFLOW, Identifier.FromString(row["workflow"])))
    assert workflow is not None, "a workflow that has executions is never removed"
    closure = CompiledWorkflowClosure.FromString(workflow.closure)
    plan = restore.plan_of(row, closure, blobs.read_literals(row["inputs_uri"]))
    if plan.recovers is not None:
        plan = replace(plan, recovered=find_recovered(connection, blobs, plan.recovers))
    nodes = connection.execute("SELECT * FROM node_executions WHERE execution_id = ? ORDER BY id", (row["id"],))
    tasks = connection.execute(
        "SELECT * FROM task_executions WHERE execution_id = ? ORDER BY node_id, retry_attempt", (row["id"],)
    )
    return restore.execution_of(row, plan, nodes.fetchall(), tasks.fetchall(), blobs)
