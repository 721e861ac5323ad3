"""The console's pages about sweeps: the newest ones, and one with its jobs side by side.

One rule: a page costs the same whatever a sweep's size; the database counts, and only the jobs shown are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hydraflyte.backend.console.chart import Point, as_number, draw
from hydraflyte.backend.console.comparison import by_key, compare, flat, leaves
from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.numbers import number_in
from hydraflyte.backend.console.rendering import TERMINAL, Context, execution_facts, instant_text, page
from hydraflyte.backend.console.values import read_values
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import ExecutionRow, list_executions
from hydraflyte.backend.store.sweeps import SweepId, SweepRow, find_sweep, jobs_of, list_sweeps
from hydraflyte.tracebacks import brief_failure

_NEWEST = 50
_JOBS_ON_A_PAGE = 200
_MOST_OUTPUTS = 8
_BY_INPUTS = "inputs"


class SweepPages:
    """Handlers of the pages about sweeps."""

    def __init__(self, *, database: Database, blobs: Blobs, owner: OwnerCheck) -> None:
        self._database = database
        self._blobs = blobs
        self._owner = owner

    async def sweeps(self, request: Request) -> Response:
        """Show the sweeps that were last added to, and how far each is."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        rows = await self._database.read(lambda connection: list_sweeps(connection, _NEWEST))
        is_busy = any(_is_open(row) for row in rows)
        return page("sweeps.html", {"sweeps": [_sweep_facts(row) for row in rows], "refresh": is_busy})

    async def sweep(self, request: Request) -> Response:
        """Show one sweep: counts by phase, and a page of its jobs with overrides, phases, durations and outputs."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        view = _View(request)
        found, rows = await self._database.read(view.read)
        if found is None:
            return PlainTextResponse(f"There is no sweep {view.id.sweep}.\n", status_code=404)
        outputs = await run_in_threadpool(self._trees, [row.outputs_uri for row in rows])
        facts = [execution_facts(row) for row in rows]
        if view.by == _BY_INPUTS:
            inputs = await run_in_threadpool(self._trees, [row.inputs_uri for row in rows])
            comparison = compare([flat(tree) for tree in inputs])
        else:
            comparison = compare([by_key(job["overrides"]) for job in facts])
        context = {
            "sweep": _sweep_facts(found),
            "view": view,
            "comparison": comparison,
            "jobs": [{**job, "values": values} for job, values in zip(facts, comparison.rows, strict=True)],
            "refresh": _is_open(found) and view.by != _BY_INPUTS,
            "errors": _errors(rows),
            **_output_facts(outputs),
        }
        context["chart"] = _chart(view, context)
        return page("sweep.html", context)

    def _trees(self, uris: Sequence[str]) -> list[dict[str, Any]]:  # Any: the users' own values
        return [self._readable(uri) if uri else {} for uri in uris]

    def _readable(self, uri: str) -> dict[str, Any]:  # Any: the user's own values
        try:
            return read_values(self._blobs, uri)
        except OSError as error:
            return {"(unreadable)": error.strerror}
        except DecodeError as error:
            return {"(unreadable)": str(error)}


class _View:
    """What the address asks for: which jobs of which sweep, compared by what, and what is drawn over what.

    A number that is none means the first page; what there is not, the first output or the jobs' numbers.
    """

    def __init__(self, request: Request) -> None:
        self.id = SweepId(**request.path_params)
        self.phase = request.query_params.get("phase", "")
        self.by = _BY_INPUTS if request.query_params.get("by") == _BY_INPUTS else ""
        self.y = request.query_params.get("y", "")
        self.x = request.query_params.get("x", "")
        self.number = max(1, number_in(request.query_params.get("page", "")) or 1)
        self.is_last = True

    def read(self, connection: sqlite3.Connection) -> tuple[SweepRow | None, list[ExecutionRow]]:
        """Return the sweep and the jobs of this page."""
        offset = (self.number - 1) * _JOBS_ON_A_PAGE
        wanted = jobs_of(self.id, phase=self.phase, limit=_JOBS_ON_A_PAGE + 1, offset=offset)
        rows = list_executions(connection, wanted)
        self.is_last = len(rows) <= _JOBS_ON_A_PAGE
        return find_sweep(connection, self.id), rows[:_JOBS_ON_A_PAGE]

    def link(self, **changes: str | int) -> str:
        """Return the query of this page with some changes; an empty value is left out."""
        asked = {"phase": self.phase, "by": self.by, "y": self.y, "x": self.x, "page": self.number, **changes}
        return "?" + urlencode({name: value for name, value in asked.items() if value})


def _is_open(sweep: SweepRow) -> bool:
    return any(phase not in TERMINAL for phase in sweep.phases)


def _errors(rows: Sequence[ExecutionRow]) -> list[str]:
    """Return why each job failed, in one line; nothing at all where none did."""
    errors = [brief_failure(row.error.message) if row.error else "" for row in rows]
    return errors if any(errors) else []


def _output_facts(trees: Sequence[Mapping[str, Any]]) -> Context:  # Any: the users' own values
    """Return the names of the outputs that are shown, the texts of each job under them, and the numbers among them."""
    names = tuple(dict.fromkeys(name for tree in trees for name, _ in leaves(tree)))[:_MOST_OUTPUTS]
    texts = [flat(tree) for tree in trees]
    numbers = [{name: number for name, leaf in leaves(tree) if (number := _number(leaf)) is not None} for tree in trees]
    return {
        "names": names,
        "outputs": [[text.get(name, "") for name in names] for text in texts],
        "numbers": numbers,
        "objectives": [name for name in names if any(name in of_job for of_job in numbers)],
    }


def _number(leaf: Any) -> float | None:  # Any: the users' own values
    return None if isinstance(leaf, str) else as_number(leaf)


def _chart(view: _View, context: Context) -> Context | None:
    """Return what is drawn of the jobs that have ended with a number, or None if no output is one."""
    objectives, keys = context["objectives"], context["comparison"].keys
    if not objectives:
        return None
    objective = view.y if view.y in objectives else objectives[0]
    column = keys.index(view.x) if view.x in keys else None
    points = [
        Point(x=job["job"] if column is None else job["values"][column] or "", y=numbers[objective], row=job)
        for job, numbers in zip(context["jobs"], context["numbers"], strict=True)
        if objective in numbers
    ]
    return {"drawn": draw(points), "y": objective, "x": "job" if column is None else keys[column]}


def _sweep_facts(row: SweepRow) -> Context:
    return {
        "project": row.id.project,
        "domain": row.id.domain,
        "sweep": row.id.sweep,
        "created": instant_text(row.created_at),
        "phases": row.phases,
        "jobs": sum(row.phases.values()),
    }
