"""The catalog: finished outputs of cacheable tasks, found by dataset and tag (Flyte's datacatalog)."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import WriteCache
from hydraflyte.backend.store.timestamps import from_text, to_text
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One remembered result. ``source`` is the attempt that produced it."""

    artifact_id: str
    outputs: LiteralMap
    source: AttemptId
    created_at: datetime


def find_artifact(connection: sqlite3.Connection, dataset: str, tag: str) -> Artifact | None:
    """Return the artifact stored under this key, or None."""
    row = connection.execute("SELECT * FROM artifacts WHERE dataset = ? AND tag = ?", (dataset, tag)).fetchone()
    if row is None:
        return None
    project, domain, name = row["source_execution"].split("/", 2)
    return Artifact(
        artifact_id=row["id"],
        outputs=LiteralMap.FromString(row["outputs"]),
        source=AttemptId(
            execution=ExecutionId(project=project, domain=domain, name=name),
            node=NodeId(row["source_node"]),
            attempt=row["source_attempt"],
        ),
        created_at=from_text(row["created_at"]),
    )


def evict(connection: sqlite3.Connection, dataset: str, tag: str) -> bool:
    """Forget the artifact under this key, and note so in the nodes that made or used it; returns False if none is."""
    gone = connection.execute("DELETE FROM artifacts WHERE dataset = ? AND tag = ?", (dataset, tag)).rowcount
    if gone:
        connection.execute(
            "UPDATE node_executions SET cache_status = 'CACHE_EVICTED' WHERE cache_dataset = ? AND cache_tag = ?"
            " AND cache_status IN ('CACHE_POPULATED', 'CACHE_HIT')",
            (dataset, tag),
        )
    return gone == 1


def put_artifact(connection: sqlite3.Connection, command: WriteCache, now: datetime) -> None:
    """Remember the outputs; what was stored under the same key is replaced."""
    source = command.attempt
    connection.execute(
        "INSERT OR REPLACE INTO artifacts (dataset, tag, id, outputs, source_execution, source_node,"
        " source_attempt, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            command.dataset,
            command.tag,
            str(uuid.uuid5(uuid.NAMESPACE_OID, f"{command.dataset}\0{command.tag}\0{source}")),
            command.outputs.SerializeToString(deterministic=True),
            str(source.execution),
            source.node,
            source.attempt,
            to_text(now),
        ),
    )
