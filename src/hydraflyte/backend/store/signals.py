"""Signals at rest: what gate nodes of an execution wait for, and what clients answered.

Functions take a connection, so that callers group reads and writes. Knows nothing of requests or nodes.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from flyteidl.core.literals_pb2 import Literal
from flyteidl.core.types_pb2 import LiteralType

from hydraflyte.backend.store.selection import Selection
from hydraflyte.backend.store.timestamps import to_text
from hydraflyte.identifiers import ExecutionId

_KEY = "execution_project = ? AND execution_domain = ? AND execution_name = ? AND signal_id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """One signal of an execution. ``value`` is None until it is set."""

    execution: ExecutionId
    signal_id: str
    type: LiteralType
    value: Literal | None


def open_signal(
    connection: sqlite3.Connection, execution: ExecutionId, signal_id: str, type_: LiteralType, now: datetime
) -> None:
    """Let the signal exist; one that exists already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO signals (execution_project, execution_domain, execution_name, signal_id, type,"
        " created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*_key(execution, signal_id), type_.SerializeToString(deterministic=True), to_text(now), to_text(now)),
    )


def set_signal(
    connection: sqlite3.Connection, execution: ExecutionId, signal_id: str, value: Literal, now: datetime
) -> None:
    """Give the signal its value, or another one."""
    connection.execute(
        f"UPDATE signals SET value = ?, updated_at = ? WHERE {_KEY}",
        (value.SerializeToString(deterministic=True), to_text(now), *_key(execution, signal_id)),
    )


def find_signal(connection: sqlite3.Connection, execution: ExecutionId, signal_id: str) -> SignalRow | None:
    """Return the signal, or None."""
    row = connection.execute(f"SELECT * FROM signals WHERE {_KEY}", _key(execution, signal_id)).fetchone()
    return None if row is None else _signal(row)


def list_signals(connection: sqlite3.Connection, selection: Selection, execution: ExecutionId) -> list[SignalRow]:
    """Return the selected signals of the execution."""
    selection = selection.having(
        "signals.execution_project = ? AND signals.execution_domain = ? AND signals.execution_name = ?",
        execution.project,
        execution.domain,
        execution.name,
    )
    statement = selection.statement("SELECT signals.* FROM signals")
    return [_signal(row) for row in connection.execute(statement, selection.parameters)]


def _key(execution: ExecutionId, signal_id: str) -> tuple[str, str, str, str]:
    return execution.project, execution.domain, execution.name, signal_id


def _signal(row: sqlite3.Row) -> SignalRow:
    return SignalRow(
        execution=ExecutionId(
            project=row["execution_project"], domain=row["execution_domain"], name=row["execution_name"]
        ),
        signal_id=row["signal_id"],
        type=LiteralType.FromString(row["type"]),
        value=None if row["value"] is None else Literal.FromString(row["value"]),
    )
