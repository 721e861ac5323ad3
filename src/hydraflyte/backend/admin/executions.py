"""Executions: create, relaunch, get, list, terminate, archive, data (sections 1.8 to 1.10 of Flyte's semantics)."""

from __future__ import annotations

import sqlite3

from flyteidl.admin.common_pb2 import ResourceListRequest
from flyteidl.admin.event_pb2 import EventErrorAlreadyInTerminalState, EventFailureReason
from flyteidl.admin.execution_pb2 import (
    Execution,
    ExecutionCreateRequest,
    ExecutionCreateResponse,
    ExecutionList,
    ExecutionMetadata,
    ExecutionRecoverRequest,
    ExecutionRelaunchRequest,
    ExecutionSpec,
    ExecutionState,
    ExecutionTerminateRequest,
    ExecutionTerminateResponse,
    ExecutionUpdateRequest,
    ExecutionUpdateResponse,
    WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetDataResponse,
    WorkflowExecutionGetRequest,
)
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte import labels
from hydraflyte.backend.admin import checks, convert
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection, next_token, parse_filters
from hydraflyte.backend.admin.launching import Launcher, Order
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, TooLate, missing_execution
from hydraflyte.backend.ports import ExecutionEndedError
from hydraflyte.backend.store import listing
from hydraflyte.backend.store.listing import ExecutionRow
from hydraflyte.identifiers import ExecutionId


class ExecutionService:
    """Handlers of the execution RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._parts = parts
        self._database = parts.database
        self._blobs = parts.blobs
        self._launcher = Launcher(parts)

    async def create(self, request: ExecutionCreateRequest) -> ExecutionCreateResponse:
        """CreateExecution."""
        if not request.HasField("spec"):
            raise InvalidRequest("missing spec")
        inputs = request.inputs if request.HasField("inputs") else request.spec.inputs
        order = Order(
            project=request.project, domain=request.domain, name=request.name, spec=request.spec, inputs=inputs
        )
        return ExecutionCreateResponse(id=convert.execution_identifier(await self._launcher.launch(order)))

    async def relaunch(
        self, request: ExecutionRelaunchRequest, changed: LiteralMap | None = None
    ) -> ExecutionCreateResponse:
        """RelaunchExecution: the same spec and user inputs again but those ``changed``, under another name."""
        source = await self._find(checks.execution_id(request.id))
        spec = again(source, ExecutionMetadata.RELAUNCH)
        spec.overwrite_cache = request.overwrite_cache
        if changed is not None and changed.literals:
            _mark_as_no_job(spec)
        return await self._run_again(source, request.name, spec, changed)

    async def recover(self, request: ExecutionRecoverRequest) -> ExecutionCreateResponse:
        """RecoverExecution: as a relaunch, but what ended well in the original is taken over, not run."""
        source = await self._find(checks.execution_id(request.id))
        spec = again(source, ExecutionMetadata.RECOVERED)
        if request.HasField("metadata"):
            spec.metadata.ClearField("parent_node_execution")
            if request.metadata.HasField("parent_node_execution"):
                spec.metadata.parent_node_execution.CopyFrom(request.metadata.parent_node_execution)
        return await self._run_again(source, request.name, spec)

    async def _run_again(
        self, source: ExecutionRow, name: str, spec: ExecutionSpec, changed: LiteralMap | None = None
    ) -> ExecutionCreateResponse:
        inputs = await self._database.read(lambda _: self._blobs.read_literals(source.user_inputs_uri))
        for key, value in (changed or LiteralMap()).literals.items():
            inputs.literals[key].CopyFrom(value)
        order = Order(project=source.id.project, domain=source.id.domain, name=name, spec=spec, inputs=inputs)
        return ExecutionCreateResponse(id=convert.execution_identifier(await self._launcher.launch(order)))

    async def get(self, request: WorkflowExecutionGetRequest) -> Execution:
        """GetExecution."""
        return convert.execution(await self._find(checks.execution_id(request.id)))

    async def list(self, request: ResourceListRequest) -> ExecutionList:
        """ListExecutions: archived ones only when a filter names the state."""
        project, domain, name = checks.place(request.id)
        selection = list_selection(Entity.EXECUTION, request)
        selection = selection.having(
            "executions.execution_project = ? AND executions.execution_domain = ?", project, domain
        )
        if name:
            selection = selection.having("executions.execution_name = ?", name)
        filters = parse_filters(Entity.EXECUTION, request.filters)
        if not any(each.entity is Entity.EXECUTION and each.field == "state" for each in filters):
            selection = selection.having("executions.state = ?", ExecutionState.EXECUTION_ACTIVE)
        rows = await self._database.read(lambda connection: listing.list_executions(connection, selection))
        return ExecutionList(
            executions=[convert.execution(row, shown_as="listed") for row in rows],
            token=next_token(selection.limit, selection.offset, len(rows)),
        )

    async def terminate(self, request: ExecutionTerminateRequest) -> ExecutionTerminateResponse:
        """TerminateExecution: ABORTING at once, ABORTED when everything has stopped."""
        execution = checks.execution_id(request.id)
        try:
            await self._parts.control.terminate(execution, cause=request.cause, principal=self._parts.principal)
        except ExecutionEndedError:
            row = await self._find(execution)
            state = EventErrorAlreadyInTerminalState(current_phase=row.phase)
            raise TooLate(
                f"execution {execution} has ended already ({row.phase})",
                detail=EventFailureReason(already_in_terminal_state=state),
            ) from None
        return ExecutionTerminateResponse()

    async def update(self, request: ExecutionUpdateRequest) -> ExecutionUpdateResponse:
        """UpdateExecution: archive or reactivate."""
        execution = checks.execution_id(request.id)
        if request.state not in ExecutionState.values():
            raise InvalidRequest(f"state {request.state} is unknown")
        now = self._parts.clock.now()
        if not await self._database.write(
            lambda connection: listing.set_execution_state(connection, execution, request.state, now)
        ):
            raise missing_execution(execution)
        return ExecutionUpdateResponse()

    async def data(self, request: WorkflowExecutionGetDataRequest) -> WorkflowExecutionGetDataResponse:
        """GetExecutionData: inputs and outputs, inline; empty ones where there are none (yet)."""
        execution = checks.execution_id(request.id)
        return await self._database.read(lambda connection: self._read_data(connection, execution))

    def _read_data(self, connection: sqlite3.Connection, execution: ExecutionId) -> WorkflowExecutionGetDataResponse:
        row = listing.find_execution(connection, execution)
        if row is None:
            raise missing_execution(execution)
        response = WorkflowExecutionGetDataResponse(full_inputs=self._blobs.read_literals(row.inputs_uri))
        if row.outputs_uri:
            response.full_outputs.CopyFrom(self._blobs.read_literals(row.outputs_uri))
        return response

    async def _find(self, execution: ExecutionId) -> ExecutionRow:
        row = await self._database.read(lambda connection: listing.find_execution(connection, execution))
        if row is None:
            raise missing_execution(execution)
        return row


def again(source: ExecutionRow, mode: ExecutionMetadata.ExecutionMode) -> ExecutionSpec:
    """Return the spec of an execution that runs ``source`` again: its own, with ``source`` as its reference."""
    spec = ExecutionSpec.FromString(source.spec)
    spec.metadata.mode = mode
    spec.metadata.reference_execution.CopyFrom(convert.execution_identifier(source.id))
    return spec


def _mark_as_no_job(spec: ExecutionSpec) -> None:
    """Take away what says that this is a job of a sweep: with other inputs the job's overrides hold no more."""
    for marks in (spec.labels.values, spec.annotations.values):
        for mark in (labels.SWEEP, labels.JOB, labels.ROUND, labels.OVERRIDES, labels.INPUTS, labels.FOLDER):
            if mark in marks:
                del marks[mark]
