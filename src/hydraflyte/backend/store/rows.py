"""The engine's values as columns: one function a table. The way back is in ``restore``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, NodeKind
from hydraflyte.backend.engine.levels import has_produced, spec_of
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import AttemptState, ExecutionState, NodeState
from hydraflyte.backend.store.timestamps import duration_ns, to_text
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

ARRAY_TASK_TYPE = "container_array"  # of the one task execution of an array node
Columns = dict[str, Any]  # column name -> whatever sqlite3 can bind


def execution_columns(state: ExecutionState) -> Columns:
    """Return the columns of ``executions`` that follow from the engine's state."""
    succeeded = state.phase is ExecutionPhase.SUCCEEDED
    return {
        "phase": state.phase.name,
        "outputs_uri": layout.execution_outputs_uri(state.plan) if succeeded else "",
        "abort_cause": state.abort_cause or "",
        "abort_principal": state.abort_principal,
        **_error_columns(state.failure),
        **_times("execution", state.created_at, state.updated_at),
        "started_at": to_text(state.started_at),
        "ended_at": to_text(state.ended_at),
        "duration": duration_ns(state.started_at, state.ended_at),
    }


def node_columns(state: ExecutionState, node: NodeState) -> Columns:
    """Return the columns of ``node_executions``, without the ids of other rows."""
    done = node.phase in (NodePhase.SUCCEEDED, NodePhase.RECOVERED)
    taken_over = state.plan.recovered.get(node.node_id) if node.phase is NodePhase.RECOVERED else None
    return {
        "node_id": node.node_id,
        "spec_node_id": node.spec_node_id,
        "kind": node.kind.value,
        "scope": node.scope,
        "parent_node_id": node.parent,
        "retry_group": node.retry_group,
        "item": node.item,
        "array_counts": "" if node.array is None else json.dumps(asdict(node.array)),
        "is_eager": int(_is_eager(state, node)),
        "phase": node.phase.name,
        "attempt": node.attempt,
        "system_failures": node.system_failures,
        "input_uri": layout.inputs_uri(state, node) if node.inputs is not None else "",
        "output_uri": layout.outputs_uri(state, node) if done else "",
        "deck_uri": _deck_uri(state, node),
        "dynamic_uri": layout.dynamic_workflow_uri(state, node) if has_produced(state, node) else "",
        "cache_status": node.cache_status.value,
        "cache_dataset": node.cache_dataset,
        "cache_tag": node.cache_tag,
        "cache_source": attempt_to_json(node.cache_source),
        "holds_reservation": int(node.holds_reservation),
        "recovered_child": taken_over.child.name if taken_over is not None and taken_over.child is not None else "",
        **_error_columns(node.failure),
        **_times("node_execution", node.created_at, node.updated_at),
        "queued_at": to_text(node.queued_at),
        "started_at": to_text(node.started_at),
        "ended_at": to_text(node.ended_at),
        "duration": duration_ns(node.started_at, node.ended_at),
    }


def task_columns(state: ExecutionState, node: NodeState, attempt: AttemptState) -> Columns:
    """Return the columns of ``task_executions``, without the execution's row id."""
    spec = spec_of(state, node)
    ran = spec.launch_plan if spec.task is None else spec.task.id
    assert ran is not None, "only tasks, and arrays over tasks or launch plans, have attempts"
    prefix = layout.output_prefix(state, node, attempt.attempt)
    return {
        "node_id": node.node_id,
        "project": ran.project,
        "domain": ran.domain,
        "name": ran.name,
        "version": ran.version,
        "task_type": ARRAY_TASK_TYPE if spec.task is None or node.kind in ARRAY_KINDS else spec.task.type,
        "retry_attempt": attempt.attempt,
        "phase": attempt.phase.name,
        "input_uri": layout.inputs_uri(state, node),
        "output_uri": f"{prefix}/outputs.pb" if attempt.phase is TaskPhase.SUCCEEDED else "",
        "has_deck": int(attempt.has_deck),
        "is_interruptible": int(attempt.is_interruptible),
        "logs": json.dumps([{"name": link.name, "uri": link.uri} for link in attempt.logs]),
        **_error_columns(attempt.failure),
        "error_is_retryable": int(attempt.failure is not None and attempt.failure.is_retryable),
        **_times("task_execution", attempt.created_at, attempt.updated_at),
        "started_at": to_text(attempt.started_at),
        "ended_at": to_text(attempt.ended_at),
        "duration": duration_ns(attempt.started_at, attempt.ended_at),
    }


def _is_eager(state: ExecutionState, node: NodeState) -> bool:
    task = spec_of(state, node).task
    return node.kind is NodeKind.TASK and task is not None and task.metadata.is_eager


def _deck_uri(state: ExecutionState, node: NodeState) -> str:
    if node.phase is NodePhase.RECOVERED:
        recovered = state.plan.recovered.get(node.node_id)
        return "" if recovered is None else recovered.deck_uri
    has_deck = bool(node.attempts) and node.attempts[-1].has_deck
    return f"{layout.output_prefix(state, node)}/{layout.DECK_FILE}" if has_deck else ""


def attempt_to_json(attempt: AttemptId | None) -> str:
    """Return the id as a JSON list, or ``""`` for None."""
    if attempt is None:
        return ""
    where = attempt.execution
    return json.dumps([where.project, where.domain, where.name, attempt.node, attempt.attempt])


def attempt_from_json(text: str) -> AttemptId | None:
    """Return what :func:`attempt_to_json` was given."""
    if not text:
        return None
    project, domain, name, node, number = json.loads(text)
    execution = ExecutionId(project=project, domain=domain, name=name)
    return AttemptId(execution=execution, node=NodeId(node), attempt=number)


def _error_columns(failure: Failure | None) -> Columns:
    if failure is None:
        return {"error_kind": "", "error_code": "", "error_message": "", "error_uri": ""}
    return {
        "error_kind": failure.kind.value,
        "error_code": failure.code,
        "error_message": failure.message,
        "error_uri": failure.uri,
    }


def _times(entity: str, created_at: datetime, updated_at: datetime) -> Columns:
    """Flyte's filters know the two instants under two names each."""
    created, updated = to_text(created_at), to_text(updated_at)
    return {
        "created_at": created,
        "updated_at": updated,
        f"{entity}_created_at": created,
        f"{entity}_updated_at": updated,
    }
