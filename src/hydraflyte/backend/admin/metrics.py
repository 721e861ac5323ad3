"""GetExecutionMetrics: where the time of an execution went, as a tree of spans (section 1.13).

The one rule: spans come from stored instants only; what was not recorded is not shown. Operations bear
flyteadmin's names (manager/impl/metrics_manager.go).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from flyteidl.admin.execution_pb2 import WorkflowExecutionGetMetricsRequest, WorkflowExecutionGetMetricsResponse
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.metrics_pb2 import Span

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.convert import execution_identifier, timestamp
from hydraflyte.backend.admin.convert_nodes import task_execution_identifier
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import Missing
from hydraflyte.backend.store import listing
from hydraflyte.backend.store.listing import ExecutionRow, NodeRow, TaskExecutionRow
from hydraflyte.backend.store.selection import Selection
from hydraflyte.identifiers import ExecutionId


class MetricsService:
    """Handler of GetExecutionMetrics."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database

    async def get(self, request: WorkflowExecutionGetMetricsRequest) -> WorkflowExecutionGetMetricsResponse:
        """GetExecutionMetrics: down to ``depth`` levels; a negative depth means all."""
        execution = checks.execution_id(request.id)
        tree = await self._database.read(lambda connection: _read(connection, execution))
        return WorkflowExecutionGetMetricsResponse(span=tree.execution_span(request.depth))


class _Tree:
    """Everything recorded about one execution, by parent."""

    def __init__(self, execution: ExecutionRow, nodes: Sequence[NodeRow], tasks: Sequence[TaskExecutionRow]) -> None:
        self._execution = execution
        self._nodes: dict[str | None, list[NodeRow]] = {}
        for node in nodes:
            self._nodes.setdefault(node.parent_node_id, []).append(node)
        self._tasks: dict[str, list[TaskExecutionRow]] = {}
        for task in tasks:
            self._tasks.setdefault(task.node_id, []).append(task)

    def execution_span(self, depth: int) -> Span:
        """Return the span of the whole execution."""
        row = self._execution
        span = _span(row.times.created_at, row.times.ended_at or row.times.updated_at)
        span.workflow_id.CopyFrom(execution_identifier(row.id))
        if depth != 0:
            nodes = self._nodes.get(None, ())
            span.spans.extend(_edges("WORKFLOW", row, nodes))
            span.spans.extend(self._node_span(node, depth - 1) for node in nodes)
        return span

    def _node_span(self, node: NodeRow, depth: int) -> Span:
        span = _span(node.times.created_at, node.times.ended_at or node.times.updated_at)
        span.node_id.CopyFrom(
            NodeExecutionIdentifier(node_id=node.node_id, execution_id=execution_identifier(node.execution))
        )
        if depth == 0:
            return span
        children = self._nodes.get(node.node_id, ())
        attempts = self._tasks.get(node.node_id, ())
        span.spans.extend(_edges("NODE", node, children or attempts))
        span.spans.extend(self._node_span(child, depth - 1) for child in children)
        span.spans.extend(_task_span(attempt, depth - 1) for attempt in attempts)
        return span


def _read(connection: sqlite3.Connection, execution: ExecutionId) -> _Tree:
    row = listing.find_execution(connection, execution)
    if row is None:
        raise Missing(f"missing entity of type execution with identifier {execution}")
    nodes = listing.list_nodes(connection, listing.of_execution(Selection(order_by="node_executions.id"), execution))
    tasks = listing.list_task_executions(
        connection, listing.of_execution(Selection(order_by="task_executions.id"), execution)
    )
    return _Tree(row, nodes, tasks)


def _task_span(row: TaskExecutionRow, depth: int) -> Span:
    end = row.times.ended_at or row.times.updated_at
    span = _span(row.times.created_at, end)
    span.task_id.CopyFrom(task_execution_identifier(row))
    if depth != 0 and row.times.started_at is not None:
        span.spans.append(_operation("TASK_SETUP", row.times.created_at, row.times.started_at))
        span.spans.append(_operation("TASK_RUNTIME", row.times.started_at, end))
    return span


def _edges(
    prefix: str, row: ExecutionRow | NodeRow, children: Sequence[NodeRow] | Sequence[TaskExecutionRow]
) -> Iterator[Span]:
    """The time before the first child began and after the last one ended."""
    if not children:
        return
    first = min(child.times.created_at for child in children)
    yield _operation(f"{prefix}_SETUP", row.times.created_at, first)
    if row.times.ended_at is not None:
        last = max(child.times.ended_at or child.times.updated_at for child in children)
        yield _operation(f"{prefix}_TEARDOWN", last, row.times.ended_at)


def _operation(name: str, start: datetime, end: datetime) -> Span:
    span = _span(start, end)
    span.operation_id = name
    return span


def _span(start: datetime, end: datetime) -> Span:
    return Span(start_time=timestamp(start), end_time=timestamp(max(start, end)))
