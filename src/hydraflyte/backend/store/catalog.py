"""The catalog: finished outputs of cacheable tasks, found by dataset and tag (Flyte's datacatalog)."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import WriteCache
from hydraflyte.backend.store.timestamps import to_text
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One remembered result. ``source`` is the attempt that produced it."""

    artifact_id: str
    outputs: LiteralMap
    source: AttemptId


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
    )


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
