"""The console's pages about sweeps: the newest ones, and one with its jobs side by side.

One rule: a page costs the same whatever a sweep's size; the database counts, and only the jobs shown are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hydraflyte.backend.console.comparison import by_key, compare, flat
from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.rendering import TERMINAL, Context, execution_facts, instant_text, page
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import ExecutionRow, list_executions
from hydraflyte.backend.store.sweeps import SweepId, SweepRow, find_sweep, jobs_of, list_sweeps
from hydraflyte.transport.readable import readable_map

_NEWEST = 50
_JOBS_ON_A_PAGE = 100
_MOST_OUTPUTS = 8


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
        outputs = await run_in_threadpool(self._outputs, rows)
        facts = [execution_facts(row) for row in rows]
        comparison = compare([by_key(job["overrides"]) for job in facts])
        names = tuple(dict.fromkeys(name for job in outputs for name in job))[:_MOST_OUTPUTS]
        jobs = [
            {**job, "values": values, "outputs": [ended.get(name, "") for name in names]}
            for job, values, ended in zip(facts, comparison.rows, outputs, strict=True)
        ]
        context = {
            "sweep": _sweep_facts(found),
            "comparison": comparison,
            "outputs": names,
            "jobs": jobs,
            "view": view,
            "refresh": _is_open(found),
        }
        return page("sweep.html", context)

    def _outputs(self, rows: Sequence[ExecutionRow]) -> list[dict[str, str]]:
        return [flat(self._readable(row.outputs_uri)) if row.outputs_uri else {} for row in rows]

    def _readable(self, uri: str) -> dict[str, Any]:  # Any: the user's own values
        try:
            return readable_map(self._blobs.read_literals(uri))
        except (OSError, DecodeError) as error:
            return {"(unreadable)": str(error)}


class _View:
    """Which jobs of which sweep the address asks for; a number that is none means the first page."""

    def __init__(self, request: Request) -> None:
        self.id = SweepId(**request.path_params)
        self.phase = request.query_params.get("phase", "")
        number = request.query_params.get("page", "")
        self.number = max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 9 else 1
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
        asked = {"phase": self.phase, "page": self.number, **changes}
        return "?" + urlencode({name: value for name, value in asked.items() if value})


def _is_open(sweep: SweepRow) -> bool:
    return any(phase not in TERMINAL for phase in sweep.phases)


def _sweep_facts(row: SweepRow) -> Context:
    return {
        "project": row.id.project,
        "domain": row.id.domain,
        "sweep": row.id.sweep,
        "created": instant_text(row.created_at),
        "phases": row.phases,
        "jobs": sum(row.phases.values()),
    }
