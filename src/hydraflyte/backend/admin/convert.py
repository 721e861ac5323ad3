"""Rows become flyteidl's messages: one function a message. No reads, no decisions of who may see what."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flyteidl.admin.common_pb2 import (
    Labels,
    NamedEntity,
    NamedEntityIdentifier,
    NamedEntityMetadata,
)
from flyteidl.admin.execution_pb2 import (
    AbortMetadata,
    Execution,
    ExecutionClosure,
    ExecutionSpec,
    ExecutionStateChangeDetails,
    LiteralMapBlob,
)
from flyteidl.admin.launch_plan_pb2 import LaunchPlan, LaunchPlanClosure, LaunchPlanSpec
from flyteidl.admin.project_pb2 import Domain, Project
from flyteidl.admin.task_pb2 import Task, TaskClosure
from flyteidl.admin.workflow_pb2 import Workflow, WorkflowClosure
from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier, WorkflowExecutionIdentifier
from flyteidl.core.interface_pb2 import ParameterMap, TypedInterface, VariableMap
from flyteidl.core.workflow_pb2 import WorkflowTemplate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hydraflyte.backend.admin.checks import DOMAINS
from hydraflyte.backend.store.listing import ErrorColumns, ExecutionRow
from hydraflyte.backend.store.names import NamedEntityRow, ProjectRow
from hydraflyte.backend.store.registry import LaunchPlanRow, TaskRow, WorkflowRow
from hydraflyte.identifiers import ExecutionId

_LISTED_ERROR_BYTES = 100


def timestamp(instant: datetime) -> Timestamp:
    """Return the instant as protobuf's message."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def duration(nanoseconds: int) -> Duration:
    """Return the duration as protobuf's message."""
    message = Duration()
    message.FromNanoseconds(nanoseconds)
    return message


def execution_identifier(execution: ExecutionId) -> WorkflowExecutionIdentifier:
    """Return the execution's id as flyteidl's message."""
    return WorkflowExecutionIdentifier(project=execution.project, domain=execution.domain, name=execution.name)


def domains() -> list[Domain]:
    """Return the domains that every project has."""
    return [Domain(id=name, name=name) for name in DOMAINS]


def project(row: ProjectRow) -> Project:
    """Return the project with its domains."""
    return Project(
        id=row.identifier,
        name=row.name,
        description=row.description,
        labels=Labels.FromString(row.labels),
        state=Project.ProjectState.Name(row.state),
        domains=domains(),
    )


def task(row: TaskRow) -> Task:
    """Return the task with its compiled closure."""
    return Task(
        id=row.id.to_message(),
        closure=TaskClosure(compiled_task=CompiledTask.FromString(row.closure), created_at=timestamp(row.created_at)),
        short_description=row.short_description,
    )


def workflow(row: WorkflowRow) -> Workflow:
    """Return the workflow with its whole compiled closure."""
    return Workflow(
        id=row.id.to_message(),
        closure=WorkflowClosure(
            compiled_workflow=CompiledWorkflowClosure.FromString(row.closure), created_at=timestamp(row.created_at)
        ),
        short_description=row.short_description,
    )


def workflow_head(row: WorkflowRow) -> Workflow:
    """Return the workflow as lists show it: its interface, no nodes (flyteadmin's transformers/workflow.go)."""
    template = WorkflowTemplate(interface=TypedInterface.FromString(row.interface))
    closure = CompiledWorkflowClosure(primary=CompiledWorkflow(template=template))
    return Workflow(
        id=row.id.to_message(),
        closure=WorkflowClosure(compiled_workflow=closure, created_at=timestamp(row.created_at)),
        short_description=row.short_description,
    )


def launch_plan(row: LaunchPlanRow) -> LaunchPlan:
    """Return the launch plan with its state."""
    return LaunchPlan(
        id=row.id.to_message(),
        spec=LaunchPlanSpec.FromString(row.spec),
        closure=LaunchPlanClosure(
            state=row.state,  # type: ignore[arg-type]  # flyteidl's stubs want the enum class, which has no instances
            expected_inputs=ParameterMap.FromString(row.expected_inputs),
            expected_outputs=VariableMap.FromString(row.expected_outputs),
            created_at=timestamp(row.created_at),
            updated_at=timestamp(row.updated_at),
        ),
    )


def named_entity(row: NamedEntityRow) -> NamedEntity:
    """Return the name with what people said about it."""
    return NamedEntity(
        resource_type=row.resource_type,  # type: ignore[arg-type]  # as in launch_plan
        id=NamedEntityIdentifier(project=row.project, domain=row.domain, name=row.name),
        metadata=NamedEntityMetadata(
            description=row.description,
            state=row.state,  # type: ignore[arg-type]  # as in launch_plan
        ),
    )


def error(columns: ErrorColumns, *, cut: bool = False) -> ExecutionError:
    """Return the error; lists cut its message to 100 bytes (flyteadmin's transformers/execution.go)."""
    message = columns.message
    if cut:
        message = message.encode()[:_LISTED_ERROR_BYTES].decode(errors="ignore")
    return ExecutionError(code=columns.code, message=message, error_uri=columns.uri, kind=columns.kind)


def execution(row: ExecutionRow, *, shown_as: Literal["whole", "listed"] = "whole") -> Execution:
    """Return the execution; in lists without inputs and with a short error."""
    listed = shown_as == "listed"
    spec = ExecutionSpec.FromString(row.spec)
    if listed:
        spec.ClearField("inputs")
    closure = ExecutionClosure(
        phase=row.phase,
        created_at=timestamp(row.times.created_at),
        updated_at=timestamp(row.times.updated_at),
        duration=duration(row.times.duration_ns),
        workflow_id=Identifier.FromString(row.workflow),
        notifications=spec.notifications.notifications,
        state_change_details=ExecutionStateChangeDetails(
            state=row.state,  # type: ignore[arg-type]  # as in launch_plan
            occurred_at=timestamp(row.state_changed_at),
            principal=spec.metadata.principal,
        ),
    )
    if row.times.started_at is not None:
        closure.started_at.CopyFrom(timestamp(row.times.started_at))
    _set_result(closure, row, cut=listed)
    return Execution(id=execution_identifier(row.id), spec=spec, closure=closure)


def _set_result(closure: ExecutionClosure, row: ExecutionRow, *, cut: bool) -> None:
    phase = WorkflowExecution.Phase.Value(row.phase)
    if phase in (WorkflowExecution.ABORTED, WorkflowExecution.ABORTING):
        closure.abort_metadata.CopyFrom(AbortMetadata(cause=row.abort_cause, principal=row.abort_principal))
    elif row.error is not None:
        closure.error.CopyFrom(error(row.error, cut=cut))
    elif row.outputs_uri:
        closure.outputs.CopyFrom(LiteralMapBlob(uri=row.outputs_uri))
