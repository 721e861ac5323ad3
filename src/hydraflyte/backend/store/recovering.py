"""What an execution left behind for one that recovers it: rows and files to ``RecoveredNode`` values.

The one rule: what cannot be read counts as not there, and its node runs again; recovering never fails because a file
is gone. Which of it is used is the engine's to say.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError, Message

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.kinds import START_NODE_ID, NodeKind
from hydraflyte.backend.engine.nodeids import child_id, item_id
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import CacheStatus, RecoveredNode
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.rows import attempt_from_json
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

log = logging.getLogger(__name__)

_M = TypeVar("_M", bound=Message)
_FINISHED = frozenset({NodePhase.SUCCEEDED.name, NodePhase.RECOVERED.name})
_NODES = (
    "SELECT node_executions.*, (SELECT max(retry_attempt) FROM task_executions AS tasks"
    " WHERE tasks.execution_id = node_executions.execution_id AND tasks.node_id = node_executions.node_id)"
    " AS last_attempt, (SELECT execution_name FROM executions AS child WHERE child.id ="
    " (SELECT min(id) FROM executions WHERE parent_node_execution_id = node_executions.id)) AS child_name"
    " FROM node_executions WHERE execution_id = ? ORDER BY id"  # parents come before what is below them
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Original:
    """The execution that is recovered."""

    id: ExecutionId
    raw_output_prefix: str


def find_recovered(
    connection: sqlite3.Connection, blobs: Blobs, execution: ExecutionId
) -> Mapping[NodeId, RecoveredNode]:
    """Return what is known of the nodes of ``execution``, by the ids that they have in an execution that recovers it.

    Ids differ only below a dynamic task that was tried more than once: there, what its last attempt produced counts
    as the first attempt's. Of an execution that is gone, nothing is known.
    """
    row = connection.execute(
        "SELECT id, plan FROM executions WHERE execution_project = ? AND execution_domain = ? AND execution_name = ?",
        (execution.project, execution.domain, execution.name),
    ).fetchone()
    if row is None:
        return {}
    original = _Original(id=execution, raw_output_prefix=json.loads(row["plan"])["raw_output_prefix"])
    recovered: dict[NodeId, RecoveredNode] = {}
    open_parents: dict[str, tuple[NodeId, int]] = {}  # id there -> id here and the attempt whose children count
    for node in connection.execute(_NODES, (row["id"],)).fetchall():
        node_id = _id_here(node, open_parents)
        if node_id is None or node["spec_node_id"] == START_NODE_ID:
            continue
        recovered[node_id] = _node(node, original, blobs)
        if node["phase"] not in _FINISHED:
            open_parents[node["node_id"]] = (node_id, node["attempt"])
    return recovered


def _id_here(node: sqlite3.Row, open_parents: Mapping[str, tuple[NodeId, int]]) -> NodeId | None:
    """Return the node's id in the recovering execution; None if it is of no use there."""
    if node["parent_node_id"] is None:
        return NodeId(node["node_id"])
    parent, attempt = open_parents.get(node["parent_node_id"], (None, 0))
    if parent is None or node["retry_group"] != attempt:
        return None
    return child_id(parent, 0, node["spec_node_id"]) if node["item"] is None else item_id(parent, node["item"])


def _node(row: sqlite3.Row, original: _Original, blobs: Blobs) -> RecoveredNode:
    is_finished = row["phase"] in _FINISHED
    return RecoveredNode(
        phase=NodePhase[row["phase"]],
        inputs=_read(blobs, row["input_uri"], LiteralMap) if row["item"] is None else None,
        outputs=_read(blobs, row["output_uri"], LiteralMap) if is_finished else None,
        deck_uri=row["deck_uri"] if is_finished and Path(row["deck_uri"]).is_file() else "",
        checkpoints="" if is_finished else _checkpoints(row, original),
        cache_status=CacheStatus(row["cache_status"]),
        cache_dataset=row["cache_dataset"],
        cache_tag=row["cache_tag"],
        cache_source=attempt_from_json(row["cache_source"]),
        workflow=_read(blobs, row["dynamic_uri"], CompiledWorkflowClosure),
        job_spec=_read(blobs, _beside(row["dynamic_uri"], layout.FUTURES_FILE), DynamicJobSpec),
        child=_child(row, original),
    )


def _checkpoints(row: sqlite3.Row, original: _Original) -> str:
    if row["last_attempt"] is None or row["kind"] != NodeKind.TASK.value:
        return ""
    attempt = AttemptId(execution=original.id, node=NodeId(row["node_id"]), attempt=row["last_attempt"])
    return layout.checkpoint_prefix(original.raw_output_prefix, attempt)


def _child(row: sqlite3.Row, original: _Original) -> ExecutionId | None:
    name = row["child_name"] or row["recovered_child"]
    return ExecutionId(project=original.id.project, domain=original.id.domain, name=name) if name else None


def _beside(uri: str, name: str) -> str:
    return f"{uri.rpartition('/')[0]}/{name}" if uri else ""


def _read(blobs: Blobs, uri: str, kind: type[_M]) -> _M | None:
    if not uri:
        return None
    try:
        return blobs.read_message(uri, kind)
    except (OSError, DecodeError) as error:
        if not isinstance(error, FileNotFoundError):  # a task without outputs leaves no file
            log.warning("%s cannot be read for a recovery: %s", uri, error)
        return None
