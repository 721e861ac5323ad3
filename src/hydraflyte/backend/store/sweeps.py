"""Sweeps, as the labels of their jobs' executions tell of them: which there are, how far they are, and their jobs.

One rule: a job is its newest execution, so one that was submitted anew or relaunched counts once, and child
executions, which inherit the labels, count for nothing. Reads only; knows nothing of a launcher's manifest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import from_text
from hydraflyte.labels import JOB, SWEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepId:
    """Names one sweep; ``sweep`` is the value of its label."""

    project: str
    domain: str
    sweep: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One sweep. ``phases`` holds how many of its jobs are in each phase, names in order."""

    id: SweepId
    created_at: datetime
    phases: Mapping[str, int]


_JOBS = (  # of all rows that are grouped, SQLite gives the one that has the maximum
    "SELECT max(executions.id) AS id, CAST(job.value AS INTEGER) AS number, executions.execution_project,"
    " executions.execution_domain, sweep.value AS sweep, executions.phase FROM execution_tags AS sweep"
    f" CROSS JOIN execution_tags AS job ON job.execution_id = sweep.execution_id AND job.key = '{JOB}'"
    " CROSS JOIN executions ON executions.id = sweep.execution_id"  # in this order, whatever SQLite guesses
    f" WHERE sweep.key = '{SWEEP}' AND executions.id NOT IN"
    " (SELECT id FROM executions WHERE parent_node_execution_id IS NOT NULL)"
)
_OF_SWEEP = (
    f"{_JOBS} AND sweep.value = ? AND executions.execution_project = ? AND executions.execution_domain = ?"
    " GROUP BY job.value"
)
_NEWEST_SWEEPS = (
    f"SELECT value FROM execution_tags WHERE key = '{SWEEP}' GROUP BY value ORDER BY max(execution_id) DESC LIMIT ?"
)
_OF_NEWEST = (
    f"{_JOBS} AND sweep.value IN ({_NEWEST_SWEEPS})"
    " GROUP BY executions.execution_project, executions.execution_domain, sweep.value, job.value"
)
_COUNTS = (
    "SELECT counts.*, executions.created_at FROM (SELECT execution_project, execution_domain, sweep, phase,"
    " count(*) AS jobs, min(id) AS oldest, max(id) AS newest FROM ({jobs})"
    " GROUP BY execution_project, execution_domain, sweep, phase) AS counts"
    " JOIN executions ON executions.id = counts.oldest ORDER BY counts.phase"
)


def jobs_of(sweep: SweepId, *, phase: str, limit: int, offset: int) -> Selection:
    """Return the selection of executions that are jobs of this sweep, in the order of their numbers.

    Args:
        phase: the one they are to be in, or ``""``.
    """
    shown = f"SELECT id, number FROM ({_OF_SWEEP}) WHERE ? IN ('', phase) ORDER BY number, id LIMIT ? OFFSET ?"
    return Selection(
        joins=(f"JOIN ({shown}) AS shown ON shown.id = executions.id",),
        parameters=(*_values(sweep), phase, limit, offset),
        order_by="shown.number, shown.id",
    )


def find_sweep(connection: sqlite3.Connection, sweep: SweepId) -> SweepRow | None:
    """Return the sweep, or None if no execution has its label."""
    rows = connection.execute(_COUNTS.format(jobs=_OF_SWEEP), _values(sweep)).fetchall()
    return _sweep(sweep, rows) if rows else None


def list_sweeps(connection: sqlite3.Connection, limit: int) -> list[SweepRow]:
    """Return the sweeps that were last added to, newest first."""
    rows = connection.execute(_COUNTS.format(jobs=_OF_NEWEST), (limit,))
    of_sweep: dict[SweepId, list[sqlite3.Row]] = {}
    for row in rows:
        sweep = SweepId(project=row["execution_project"], domain=row["execution_domain"], sweep=row["sweep"])
        of_sweep.setdefault(sweep, []).append(row)
    newest_first = sorted(of_sweep.items(), key=lambda each: -max(row["newest"] for row in each[1]))
    return [_sweep(sweep, counts) for sweep, counts in newest_first]


def _values(sweep: SweepId) -> tuple[str, str, str]:
    return sweep.sweep, sweep.project, sweep.domain


def _sweep(sweep: SweepId, counts: list[sqlite3.Row]) -> SweepRow:
    return SweepRow(
        id=sweep,
        created_at=from_text(min(row["created_at"] for row in counts)),
        phases={row["phase"]: row["jobs"] for row in counts},
    )
