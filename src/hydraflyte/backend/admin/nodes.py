"""Node executions and task executions: get, list, data (sections 1.11 to 1.13 of Flyte's semantics)."""

from __future__ import annotations

import sqlite3

from flyteidl.admin.node_execution_pb2 import (
    DynamicNodeWorkflowResponse,
    GetDynamicNodeWorkflowRequest,
    NodeExecution,
    NodeExecutionForTaskListRequest,
    NodeExecutionGetDataRequest,
    NodeExecutionGetDataResponse,
    NodeExecutionGetRequest,
    NodeExecutionList,
    NodeExecutionListRequest,
)
from flyteidl.admin.task_execution_pb2 import (
    TaskExecution,
    TaskExecutionGetDataRequest,
    TaskExecutionGetDataResponse,
    TaskExecutionGetRequest,
    TaskExecutionList,
    TaskExecutionListRequest,
)
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier

from hydraflyte.backend.admin import checks, convert_nodes
from hydraflyte.backend.admin.array_items import ArrayItems
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection, next_token
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import Missing
from hydraflyte.backend.engine.phases import TaskPhase
from hydraflyte.backend.store import listing
from hydraflyte.backend.store.listing import NodeRow, TaskExecutionRow
from hydraflyte.backend.store.registry import EntityKind
from hydraflyte.backend.store.rows import ARRAY_TASK_TYPE
from hydraflyte.backend.store.selection import Selection
from hydraflyte.identifiers import ExecutionId


class NodeService:
    """Handlers of the node execution and task execution RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._blobs = parts.blobs
        self._http_base_url = parts.http_base_url
        self._items = ArrayItems(parts.http_base_url)
        self._why_waiting = parts.why_waiting

    async def get(self, request: NodeExecutionGetRequest) -> NodeExecution:
        """GetNodeExecution."""
        execution, node_id = checks.node_id(request.id)
        row = await self._database.read(lambda connection: _find_node(connection, execution, node_id))
        return convert_nodes.node_execution(row)

    async def list(self, request: NodeExecutionListRequest) -> NodeExecutionList:
        """ListNodeExecutions: the top level, or what is below ``unique_parent_id``."""
        execution = checks.execution_id(request.workflow_execution_id)
        selection = listing.of_execution(list_selection(Entity.NODE_EXECUTION, request), execution)
        parent = request.unique_parent_id
        if parent:
            await self._database.read(lambda connection: _find_node(connection, execution, parent))
            selection = selection.having("node_executions.parent_node_id = ?", parent)
        else:
            selection = selection.having("node_executions.parent_node_id IS NULL")
        rows = await self._database.read(lambda connection: listing.list_nodes(connection, selection))
        return NodeExecutionList(
            node_executions=[convert_nodes.node_execution(row, cut_error=True) for row in rows],
            token=_token(selection, len(rows)),
        )

    async def list_for_task(self, request: NodeExecutionForTaskListRequest) -> NodeExecutionList:
        """ListNodeExecutionsForTask: what legacy dynamic tasks had below them; nothing here does."""
        list_selection(Entity.NODE_EXECUTION, request)
        execution, node_id, attempt = _task_execution_id(request.task_execution_id)
        await self._database.read(lambda connection: _find_task(connection, execution, node_id, attempt))
        return NodeExecutionList()

    async def data(self, request: NodeExecutionGetDataRequest) -> NodeExecutionGetDataResponse:
        """GetNodeExecutionData: inputs and outputs, inline, and the ``flyte://`` addresses of both and the deck."""
        execution, node_id = checks.node_id(request.id)
        return await self._database.read(lambda connection: self._read_node_data(connection, execution, node_id))

    async def dynamic_workflow(self, request: GetDynamicNodeWorkflowRequest) -> DynamicNodeWorkflowResponse:
        """GetDynamicNodeWorkflow: the compiled workflow that a dynamic task produced."""
        execution, node_id = checks.node_id(request.id)
        row = await self._database.read(lambda connection: _find_node(connection, execution, node_id))
        if not row.dynamic_uri:
            raise Missing(f"node {node_id} of execution {execution} is not dynamic")
        closure = self._blobs.read_message(row.dynamic_uri, CompiledWorkflowClosure)
        return DynamicNodeWorkflowResponse(compiled_workflow=closure)

    async def get_task(self, request: TaskExecutionGetRequest) -> TaskExecution:
        """GetTaskExecution."""
        execution, node_id, attempt = _task_execution_id(request.id)
        row, items = await self._database.read(
            lambda connection: self._with_items(connection, _find_task(connection, execution, node_id, attempt))
        )
        task = self._shown(row)
        task.closure.metadata.MergeFromString(items)
        return task

    async def list_tasks(self, request: TaskExecutionListRequest) -> TaskExecutionList:
        """ListTaskExecutions: the attempts of one node."""
        execution, node_id = checks.node_id(request.node_execution_id)
        selection = listing.of_execution(list_selection(Entity.TASK_EXECUTION, request), execution)
        selection = selection.having("task_executions.node_id = ?", node_id)
        rows = await self._database.read(
            lambda connection: [
                self._with_items(connection, row) for row in listing.list_task_executions(connection, selection)
            ]
        )
        answer = TaskExecutionList(
            task_executions=[self._shown(row) for row, _ in rows],
            token=_token(selection, len(rows)),
        )
        for task, (_, items) in zip(answer.task_executions, rows, strict=True):
            task.closure.metadata.MergeFromString(items)  # in its place: thousands of items are not copied again
        return answer

    async def task_data(self, request: TaskExecutionGetDataRequest) -> TaskExecutionGetDataResponse:
        """GetTaskExecutionData: as GetNodeExecutionData, of one attempt."""
        execution, node_id, attempt = _task_execution_id(request.id)
        return await self._database.read(
            lambda connection: self._read_task_data(_find_task(connection, execution, node_id, attempt))
        )

    def _shown(self, row: TaskExecutionRow) -> TaskExecution:
        """Return the task execution, without the items of an array."""
        waits = self._why_waiting(row.waiting_attempt) if row.phase == TaskPhase.QUEUED.name else None
        return convert_nodes.task_execution(row, self._http_base_url(), waits=waits)

    def _with_items(self, connection: sqlite3.Connection, row: TaskExecutionRow) -> tuple[TaskExecutionRow, bytes]:
        """Return the row, and the items if it stands for an array."""
        is_array = row.task_type == ARRAY_TASK_TYPE
        return row, self._items.metadata_of(connection, row) if is_array else b""

    def _read_node_data(
        self, connection: sqlite3.Connection, execution: ExecutionId, node_id: str
    ) -> NodeExecutionGetDataResponse:
        row = _find_node(connection, execution, node_id)
        response = NodeExecutionGetDataResponse(flyte_urls=convert_nodes.flyte_urls(row))
        if row.input_uri:
            response.full_inputs.CopyFrom(self._blobs.read_literals(row.input_uri))
        if row.output_uri:
            response.full_outputs.CopyFrom(self._blobs.read_literals(row.output_uri))
        if row.dynamic_uri:
            closure = self._blobs.read_message(row.dynamic_uri, CompiledWorkflowClosure)
            response.dynamic_workflow.id.CopyFrom(closure.primary.template.id)
            response.dynamic_workflow.compiled_workflow.CopyFrom(closure)
            response.dynamic_workflow.dynamic_job_spec_uri = convert_nodes.futures_uri(row.dynamic_uri)
        return response

    def _read_task_data(self, row: TaskExecutionRow) -> TaskExecutionGetDataResponse:
        response = TaskExecutionGetDataResponse(flyte_urls=convert_nodes.flyte_urls(row))
        if row.input_uri:
            response.full_inputs.CopyFrom(self._blobs.read_literals(row.input_uri))
        if row.output_uri:
            response.full_outputs.CopyFrom(self._blobs.read_literals(row.output_uri))
        return response


def _task_execution_id(identifier: TaskExecutionIdentifier) -> tuple[ExecutionId, str, int]:
    """Return the execution, the node and the attempt; the task's own id must be whole but does not select."""
    checks.implied_entity_id(identifier.task_id, EntityKind.TASK)
    execution, node_id = checks.node_id(identifier.node_execution_id)
    return execution, node_id, identifier.retry_attempt


def _find_node(connection: sqlite3.Connection, execution: ExecutionId, node_id: str) -> NodeRow:
    row = listing.find_node(connection, execution, node_id)
    if row is None:
        raise Missing(f"missing entity of type node execution with identifier {execution}/{node_id}")
    return row


def _find_task(connection: sqlite3.Connection, execution: ExecutionId, node_id: str, attempt: int) -> TaskExecutionRow:
    row = listing.find_task_execution(connection, execution, node_id, attempt)
    if row is None:
        raise Missing(f"missing entity of type task execution with identifier {execution}/{node_id}/{attempt}")
    return row


def _token(selection: Selection, count: int) -> str:
    return next_token(selection.limit, selection.offset, count)
