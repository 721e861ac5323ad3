"""Which executions may be forgotten, their removal from the database, and what the rest still refers to.

Rule: only what has ended goes, parents and children together or not at all, nothing that an execution which has not
ended recovers from, and nobody whose end is still to be told of. Knows rows and bytes, no files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.backend.store.timestamps import to_text
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

_ENDED = frozenset(phase.name for phase in TERMINAL_EXECUTION_PHASES)
_STORIES = (
    "SELECT executions.id, phase, coalesce(ended_at, executions.updated_at) AS ended_at, source_execution_id,"
    " (SELECT execution_id FROM node_executions WHERE node_executions.id = parent_node_execution_id) AS parent"
    " FROM executions"
)
_UNTOLD = (
    "SELECT execution_id FROM promised_notifications"
    " UNION SELECT execution_id FROM notifications WHERE status = 'PENDING'"
)
_REFERRING = (
    "SELECT closure FROM tasks",
    "SELECT closure FROM workflows",
    "SELECT spec FROM launch_plans",
    "SELECT outputs FROM artifacts",
    "SELECT value FROM signals WHERE value IS NOT NULL",
)
_REFERRING_OF_EXECUTIONS = (
    "SELECT id, spec FROM executions",
    "SELECT execution_id, deck_uri FROM node_executions WHERE deck_uri != ''",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What belongs to one execution.

    Attributes:
        metadata_folder: name of its folder of literals.
        raw_folders: its attempts' folders of raw data, as ``{shard}/{name}``.
    """

    execution: ExecutionId
    metadata_folder: str
    raw_folders: frozenset[str]


def find_removable(connection: sqlite3.Connection, before: datetime) -> list[int]:
    """Return the rows of the executions that ended before this instant and may go, oldest first."""
    limit = to_text(before)
    rows = connection.execute(_STORIES).fetchall()
    needed = {row["source_execution_id"] for row in rows if row["phase"] not in _ENDED}
    needed |= {row["execution_id"] for row in connection.execute(_UNTOLD)}
    removable = {
        row["id"] for row in rows if row["phase"] in _ENDED and row["ended_at"] < limit and row["id"] not in needed
    }
    families = [(row["id"], row["parent"]) for row in rows if row["parent"] is not None]
    kept_by_family = True
    while kept_by_family:
        apart = {pair for pair in families if (pair[0] in removable) != (pair[1] in removable)}
        kept_by_family = bool(apart)
        removable -= {each for pair in apart for each in pair}
    return sorted(removable)


def belongings(connection: sqlite3.Connection) -> Mapping[int, Belongings]:
    """Return what belongs to each execution, by row."""
    raw: dict[int, set[str]] = {}
    executions = {row["id"]: row for row in connection.execute("SELECT * FROM executions")}
    for task in connection.execute("SELECT execution_id, node_id, retry_attempt FROM task_executions"):
        owner = _execution_of(executions[task["execution_id"]])
        attempt = AttemptId(execution=owner, node=NodeId(task["node_id"]), attempt=task["retry_attempt"])
        raw.setdefault(task["execution_id"], set()).add(layout.raw_output_prefix("", attempt).lstrip("/"))
    return {
        row_id: Belongings(
            execution=_execution_of(row),
            metadata_folder=PurePosixPath(json.loads(row["plan"])["metadata_prefix"]).name,
            raw_folders=frozenset(raw.get(row_id, ())),
        )
        for row_id, row in executions.items()
    }


def remove_executions(connection: sqlite3.Connection, row_ids: Sequence[int]) -> list[int]:
    """Remove these executions with their nodes, attempts, events, tags and signals; return those that are gone.

    One that an execution has begun to recover from in the meantime stays.
    """
    removed = []
    for row_id in row_ids:
        row = connection.execute("SELECT * FROM executions WHERE id = ?", (row_id,)).fetchone()
        if row is None or row["phase"] not in _ENDED or _is_needed(connection, row_id):
            continue
        place = (row["execution_project"], row["execution_domain"], row["execution_name"])
        connection.execute(
            "DELETE FROM signals WHERE execution_project = ? AND execution_domain = ? AND execution_name = ?", place
        )
        connection.execute("DELETE FROM executions WHERE id = ?", (row_id,))
        removed.append(row_id)
    return removed


def count_artifacts(connection: sqlite3.Connection, before: datetime) -> int:
    """Return how many cached results were stored before this instant."""
    count: int = connection.execute(
        "SELECT count(*) FROM artifacts WHERE created_at < ?", (to_text(before),)
    ).fetchone()[0]
    return count


def remove_artifacts(connection: sqlite3.Connection, before: datetime) -> int:
    """Forget the results that were cached before this instant; return how many."""
    return connection.execute("DELETE FROM artifacts WHERE created_at < ?", (to_text(before),)).rowcount


def referring(
    connection: sqlite3.Connection, *, without: Iterable[int], artifacts_from: datetime | None
) -> Iterator[bytes]:
    """Yield the content of every column that may name a file of the blob folder.

    Args:
        without: rows of executions that are, or would be, gone.
        artifacts_from: only cached results stored at this instant or later count; None means all.
    """
    gone = frozenset(without)
    for query in _REFERRING:
        if artifacts_from is not None and query.endswith("artifacts"):
            rows = connection.execute(f"{query} WHERE created_at >= ?", (to_text(artifacts_from),))
        else:
            rows = connection.execute(query)
        yield from (_as_bytes(row[0]) for row in rows)
    for query in _REFERRING_OF_EXECUTIONS:
        yield from (_as_bytes(row[1]) for row in connection.execute(query) if row[0] not in gone)


def _is_needed(connection: sqlite3.Connection, row_id: int) -> bool:
    marks = ", ".join("?" * len(_ENDED))
    query = f"SELECT 1 FROM executions WHERE source_execution_id = ? AND phase NOT IN ({marks}) LIMIT 1"
    return connection.execute(query, (row_id, *sorted(_ENDED))).fetchone() is not None


def _execution_of(row: sqlite3.Row) -> ExecutionId:
    return ExecutionId(project=row["execution_project"], domain=row["execution_domain"], name=row["execution_name"])


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
