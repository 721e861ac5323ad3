"""The way back: rows and files to the engine's values. Exactly what ``rows`` wrote, nothing derived."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.events import LogLink
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.graph import WorkflowGraph
from hydraflyte.backend.engine.levels import produced_workflows
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import (
    ArrayCounts,
    AttemptState,
    CacheStatus,
    ExecutionPlan,
    ExecutionState,
    NodeKind,
    NodeState,
)
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.rows import attempt_from_json
from hydraflyte.backend.store.timestamps import from_text
from hydraflyte.identifiers import ExecutionId, NodeId


def plan_to_json(plan: ExecutionPlan) -> dict[str, Any]:
    """Return the plan's scalar fields; the workflow and the inputs are kept elsewhere."""
    return {
        "metadata_prefix": plan.metadata_prefix,
        "raw_output_prefix": plan.raw_output_prefix,
        "max_parallelism": plan.max_parallelism,
        "interruptible": plan.interruptible,
        "overwrite_cache": plan.overwrite_cache,
        "envs": dict(plan.envs),
        "resource_defaults": dict(plan.resource_defaults),
        "resource_limits": dict(plan.resource_limits),
        "eager_parent": None if plan.eager_parent is None else dataclasses.asdict(plan.eager_parent),
        "recovers": None if plan.recovers is None else dataclasses.asdict(plan.recovers),
    }


def plan_of(row: sqlite3.Row, workflow: CompiledWorkflowClosure, inputs: LiteralMap) -> ExecutionPlan:
    """Return the plan of a row of ``executions``; what it recovers is named, and read by ``recovering``."""
    execution_id = ExecutionId(
        project=row["execution_project"], domain=row["execution_domain"], name=row["execution_name"]
    )
    fields = json.loads(row["plan"])
    recovers, eager_parent = fields.pop("recovers"), fields.pop("eager_parent", None)
    return ExecutionPlan(
        execution_id=execution_id,
        workflow=workflow,
        inputs=inputs,
        eager_parent=None if eager_parent is None else ExecutionId(**eager_parent),
        recovers=None if recovers is None else ExecutionId(**recovers),
        **fields,
    )


def execution_of(
    row: sqlite3.Row,
    plan: ExecutionPlan,
    node_rows: Iterable[sqlite3.Row],
    task_rows: Iterable[sqlite3.Row],
    blobs: Blobs,
) -> ExecutionState:
    """Return the state of an execution that has not ended."""
    attempts: dict[str, list[AttemptState]] = {}
    for task in task_rows:
        attempts.setdefault(task["node_id"], []).append(_attempt_of(task))
    nodes = [_node_of(node, tuple(attempts.get(node["node_id"], ())), blobs) for node in node_rows]
    state = ExecutionState(
        plan=plan,
        phase=ExecutionPhase[row["phase"]],
        created_at=_instant(row["created_at"]),
        updated_at=_instant(row["updated_at"]),
        nodes={node.node_id: node for node in nodes},
        started_at=from_text(row["started_at"]),
        ended_at=from_text(row["ended_at"]),
        failure=failure_of(row),
        abort_cause=row["abort_cause"] or None,
        abort_principal=row["abort_principal"],
    )
    return replace(state, produced=_produced(state, blobs))


def _produced(state: ExecutionState, blobs: Blobs) -> dict[str, WorkflowGraph]:
    """Return the workflows that dynamic tasks produced: only those have children below a task."""
    produced: dict[str, WorkflowGraph] = {}
    places = {(node.parent, node.retry_group or 0) for node in state.nodes.values() if node.parent is not None}
    for parent_id, attempt in sorted(places):
        parent = state.nodes[parent_id]
        if parent.kind is NodeKind.TASK:
            closure = blobs.read_message(layout.dynamic_workflow_uri(state, parent, attempt), CompiledWorkflowClosure)
            produced |= produced_workflows(parent_id, attempt, closure)
    return produced


def _node_of(row: sqlite3.Row, attempts: tuple[AttemptState, ...], blobs: Blobs) -> NodeState:
    return NodeState(
        node_id=NodeId(row["node_id"]),
        spec_node_id=row["spec_node_id"],
        kind=NodeKind(row["kind"]),
        phase=NodePhase[row["phase"]],
        created_at=_instant(row["created_at"]),
        updated_at=_instant(row["updated_at"]),
        scope=row["scope"],
        parent=None if row["parent_node_id"] is None else NodeId(row["parent_node_id"]),
        retry_group=row["retry_group"],
        item=row["item"],
        array=ArrayCounts(**json.loads(row["array_counts"])) if row["array_counts"] else None,
        attempt=row["attempt"],
        system_failures=row["system_failures"],
        queued_at=from_text(row["queued_at"]),
        started_at=from_text(row["started_at"]),
        ended_at=from_text(row["ended_at"]),
        failure=failure_of(row),
        inputs=blobs.read_literals(row["input_uri"]) if row["input_uri"] else None,
        outputs=blobs.read_literals(row["output_uri"]) if row["output_uri"] else None,
        cache_status=CacheStatus(row["cache_status"]),
        cache_dataset=row["cache_dataset"],
        cache_tag=row["cache_tag"],
        cache_source=attempt_from_json(row["cache_source"]),
        holds_reservation=bool(row["holds_reservation"]),
        attempts=attempts,
    )


def _attempt_of(row: sqlite3.Row) -> AttemptState:
    return AttemptState(
        attempt=row["retry_attempt"],
        phase=TaskPhase[row["phase"]],
        created_at=_instant(row["created_at"]),
        updated_at=_instant(row["updated_at"]),
        started_at=from_text(row["started_at"]),
        ended_at=from_text(row["ended_at"]),
        failure=failure_of(row, is_retryable=bool(row["error_is_retryable"])),
        logs=tuple(LogLink(**link) for link in json.loads(row["logs"])),
        has_deck=bool(row["has_deck"]),
        is_interruptible=bool(row["is_interruptible"]),
    )


def failure_of(row: Mapping[str, Any] | sqlite3.Row, *, is_retryable: bool = False) -> Failure | None:
    """Return why the execution, node or attempt of this row failed, or None."""
    if not row["error_kind"]:
        return None
    return Failure(
        kind=ErrorKind(row["error_kind"]),
        code=row["error_code"],
        message=row["error_message"],
        is_retryable=is_retryable,
        uri=row["error_uri"],
    )


def _instant(text: str) -> datetime:
    instant = from_text(text)
    assert instant is not None, "this column is NOT NULL"
    return instant
