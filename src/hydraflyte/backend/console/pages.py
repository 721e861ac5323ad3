"""The console's pages, rendered on the server: executions, one execution, schedules, notifications.

Plain HTML without scripts; every value is escaped by the templates. Reads only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.schedule_pb2 import FixedRateUnit, Schedule
from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from hydraflyte.backend.console.forms import FormTokens, InputField, fields_of
from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.rendering import (
    TERMINAL,
    Context,
    duration_text,
    execution_address,
    execution_facts,
    instant_text,
    page,
)
from hydraflyte.backend.console.values import read_to_show, read_values
from hydraflyte.backend.engine.phases import TaskPhase
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import (
    ExecutionRow,
    NodeRow,
    TaskExecutionRow,
    find_execution,
    find_node,
    list_executions,
    list_nodes,
    list_task_executions,
    of_execution,
)
from hydraflyte.backend.store.outbox import NotificationRow, NotificationStatus, list_notifications
from hydraflyte.backend.store.schedules import ActiveSchedule, active_schedules
from hydraflyte.backend.store.searching import containing
from hydraflyte.backend.store.selection import Selection
from hydraflyte.errors import ScheduleError
from hydraflyte.fire_times import next_fire_times
from hydraflyte.identifiers import AttemptId, ExecutionId

_NEWEST = 100
_UPCOMING = 3
_LONGEST_LITERALS = 20_000
_DECK_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Pages:
    """Handlers of the console's pages."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: Blobs,
        owner: OwnerCheck,
        tokens: FormTokens,
        why_waiting: Callable[[AttemptId], str | None],
    ) -> None:
        self._database = database
        self._why_waiting = why_waiting
        self._blobs = blobs
        self._owner = owner
        self._tokens = tokens

    async def executions(self, request: Request) -> Response:
        """Show the newest executions, or the newest of those that contain the words of ``text``."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        wanted = Selection(order_by="executions.created_at DESC", limit=_NEWEST)
        if "project" in request.path_params:
            wanted = wanted.having("executions.execution_project = ?", request.path_params["project"])
        text = request.query_params.get("text")  # None: nobody searches
        if text:
            wanted = containing(wanted, text)
        rows = await self._database.read(lambda connection: list_executions(connection, wanted))
        is_busy = text is None and any(row.phase not in TERMINAL for row in rows)  # not while somebody types
        context = {"executions": [execution_facts(row) for row in rows], "text": text, "refresh": is_busy}
        return page("executions.html", context)

    async def execution(self, request: Request) -> Response:
        """Show one execution: phase, error, nodes with their attempts and logs, inputs and outputs."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        wanted = ExecutionId(**request.path_params)
        found = await self._database.read(lambda connection: _read(connection, wanted))
        if found is None:
            return PlainTextResponse(f"There is no execution {wanted}.\n", status_code=404)
        row, nodes, attempts = found
        context = {
            "execution": execution_facts(row),
            "nodes": _node_facts(nodes, attempts, self._why_waiting),
            "inputs": await run_in_threadpool(self._literals, row.inputs_uri),
            "outputs": await run_in_threadpool(self._literals, row.outputs_uri),
            "fields": await run_in_threadpool(self._fields, row.inputs_uri) if row.phase in TERMINAL else (),
            "token": self._tokens.token(execution_address(wanted)),
            "has_ended": row.phase in TERMINAL,
            "refresh": row.phase not in TERMINAL,
        }
        return page("execution.html", context)

    async def deck(self, request: Request) -> Response:
        """Send the deck of a node; whatever its scripts do, they are none of this site's."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        path = request.path_params
        execution = ExecutionId(project=path["project"], domain=path["domain"], name=path["name"])
        node = await self._database.read(lambda connection: find_node(connection, execution, path["node"]))
        if node is None or not node.deck_uri or not Path(node.deck_uri).is_file():
            return PlainTextResponse("There is no such deck (yet).\n", status_code=404)
        return FileResponse(node.deck_uri, media_type="text/html; charset=utf-8", headers=_DECK_HEADERS)

    async def notifications(self, request: Request) -> Response:
        """Show the newest notifications, with their messages: an inbox, also for what could not be delivered."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        rows = await self._database.read(lambda connection: list_notifications(connection, _NEWEST))
        is_busy = any(row.status is NotificationStatus.PENDING for row in rows)
        return page("notifications.html", {"notifications": [_letter(row) for row in rows], "refresh": is_busy})

    async def schedules(self, request: Request) -> Response:
        """Show the active schedules: when they fire next, and what came of the last time."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        schedules = await self._database.read(active_schedules)
        return page("schedules.html", {"schedules": [_schedule_facts(each) for each in schedules]})

    def _fields(self, uri: str) -> tuple[InputField, ...]:
        with contextlib.suppress(OSError, DecodeError):  # the page says so where it shows the inputs
            return fields_of(read_to_show(self._blobs, uri))
        return ()

    def _literals(self, uri: str) -> str:
        if not uri:
            return ""
        try:
            literals = read_values(self._blobs, uri)
        except OSError as error:
            return f"({uri}: {error.strerror})"
        except DecodeError as error:
            return f"({uri} cannot be read: {error})"
        return json.dumps(literals, indent=2, ensure_ascii=False, default=str)[:_LONGEST_LITERALS]


def _read(
    connection: sqlite3.Connection, wanted: ExecutionId
) -> tuple[ExecutionRow, list[NodeRow], list[TaskExecutionRow]] | None:
    row = find_execution(connection, wanted)
    if row is None:
        return None
    nodes = list_nodes(connection, of_execution(Selection(order_by="node_executions.id"), wanted))
    attempts = list_task_executions(connection, of_execution(Selection(order_by="task_executions.id"), wanted))
    return row, nodes, attempts


def _node_facts(
    nodes: Sequence[NodeRow],
    attempts: Iterable[TaskExecutionRow],
    why_waiting: Callable[[AttemptId], str | None],
) -> list[Context]:
    of_node: dict[str, list[TaskExecutionRow]] = {}
    for attempt in attempts:
        of_node.setdefault(attempt.node_id, []).append(attempt)
    return [
        {
            "node_id": node.node_id,
            "is_child": node.parent_node_id is not None,
            "task": of_node[node.node_id][0].name if node.node_id in of_node else "",
            "has_deck": bool(node.deck_uri),
            "phase": node.phase,
            "cache": "" if node.cache_status == "CACHE_DISABLED" else node.cache_status,
            "duration": duration_text(node.times.duration_ns),
            "attempts": [
                {
                    "number": attempt.retry_attempt,
                    "phase": attempt.phase,
                    "waits": why_waiting(attempt.waiting_attempt) if attempt.phase == TaskPhase.QUEUED.name else None,
                    "logs": [{"name": name, "uri": uri} for name, uri in attempt.logs],
                }
                for attempt in of_node.get(node.node_id, ())
            ],
        }
        for node in nodes
        if node.kind not in ("start", "end")
    ]


def _letter(row: NotificationRow) -> Context:
    message = json.loads(row.message)
    return {
        "number": row.row_id,
        "address": execution_address(row.execution),
        "name": row.execution.name,
        "kind": row.kind,
        "target": row.target,
        "status": row.status.value,
        "tries": row.tries,
        "trouble": row.trouble,
        "created": instant_text(row.created_at),
        "subject": message["subject"],
        "text": message["text"],
    }


def _schedule_facts(schedule: ActiveSchedule) -> Context:
    plan, message = schedule.plan.id, LaunchPlanSpec.FromString(schedule.plan.spec).entity_metadata.schedule
    upcoming: tuple[datetime, ...] = ()
    with contextlib.suppress(ScheduleError):  # the scheduler has noted it as trouble
        upcoming = next_fire_times(message, after=schedule.anchor, count=_UPCOMING)
    return {
        "project": plan.project,
        "domain": plan.domain,
        "launch_plan": plan.name,
        "version": plan.version,
        "schedule": _schedule_text(message),
        "upcoming": [instant_text(instant) for instant in upcoming],
        "last_execution": schedule.last_execution,
        "trouble": schedule.trouble,
    }


def _schedule_text(schedule: Schedule) -> str:
    if schedule.WhichOneof("ScheduleExpression") == "rate":
        return f"every {schedule.rate.value} {FixedRateUnit.Name(schedule.rate.unit).lower()}(s)"
    return schedule.cron_schedule.schedule or schedule.cron_expression
