"""Rows of node executions and task executions become flyteidl's messages. No reads.

What clients derive from these fields, flytekit's node mapping first of all, is in section 1.11 of Flyte's
semantics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyteidl.admin.common_pb2 import FlyteURLs
from flyteidl.admin.node_execution_pb2 import (
    NodeExecution,
    NodeExecutionClosure,
    NodeExecutionMetaData,
    TaskNodeMetadata,
    WorkflowNodeMetadata,
)
from flyteidl.admin.task_execution_pb2 import Reason, TaskExecution, TaskExecutionClosure
from flyteidl.core.catalog_pb2 import CatalogArtifactTag, CatalogMetadata
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.core.identifier_pb2 import (
    DATASET,
    TASK,
    Identifier,
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
)
from flyteidl.event.event_pb2 import ExternalResourceInfo, TaskExecutionMetadata

from hydraflyte.backend.admin.convert import duration, error, execution_identifier, timestamp
from hydraflyte.backend.engine.layout import FUTURES_FILE
from hydraflyte.backend.engine.nodeids import generated_name
from hydraflyte.backend.engine.state import CacheStatus, NodeKind
from hydraflyte.backend.store.listing import ItemRow, NodeRow, TaskExecutionRow, Times
from hydraflyte.backend.store.rows import ARRAY_TASK_TYPE
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

_PLUGIN = "container"
_ARRAY_PLUGIN = "k8s-array"


def node_execution(row: NodeRow, *, cut_error: bool = False) -> NodeExecution:
    """Return the node execution."""
    kind = NodeKind(row.kind)
    closure = NodeExecutionClosure(
        phase=row.phase, deck_uri=row.deck_uri, dynamic_job_spec_uri=futures_uri(row.dynamic_uri)
    )
    _set_times(closure, row.times)
    if row.error is not None:
        closure.error.CopyFrom(error(row.error, cut=cut_error))
    elif row.output_uri:
        closure.output_uri = row.output_uri
    if row.child is not None:
        child = WorkflowNodeMetadata(executionId=execution_identifier(row.child))
        closure.workflow_node_metadata.CopyFrom(child)
    elif kind in (NodeKind.TASK, NodeKind.MAP_TASK):
        closure.task_node_metadata.CopyFrom(_task_node_metadata(row))
    return NodeExecution(
        id=NodeExecutionIdentifier(node_id=row.node_id, execution_id=execution_identifier(row.execution)),
        input_uri=row.input_uri,
        closure=closure,
        metadata=NodeExecutionMetaData(
            spec_node_id=row.spec_node_id,
            retry_group="" if row.retry_group is None else str(row.retry_group),
            is_parent_node=kind is NodeKind.SUB_WORKFLOW or row.has_children,
            is_dynamic=bool(row.dynamic_uri),
            is_array=kind is NodeKind.ARRAY,
            is_eager=row.is_eager,
        ),
    )


def task_execution(row: TaskExecutionRow, http_base_url: str, *, waits: str | None = None) -> TaskExecution:
    """Return the task execution, without the items of an array; log links become absolute URLs.

    Args:
        waits: what it waits for, of an attempt that the machine has no room for now.
    """
    attempt = AttemptId(execution=row.execution, node=NodeId(row.node_id), attempt=row.retry_attempt)
    closure = TaskExecutionClosure(
        phase=row.phase if waits is None else "WAITING_FOR_RESOURCES",
        logs=_logs(row.logs, http_base_url),
        task_type=row.task_type,
        metadata=TaskExecutionMetadata(
            generated_name=generated_name(attempt),
            plugin_identifier=_ARRAY_PLUGIN if row.task_type == ARRAY_TASK_TYPE else _PLUGIN,
            instance_class=TaskExecutionMetadata.INTERRUPTIBLE
            if row.is_interruptible
            else TaskExecutionMetadata.DEFAULT,
        ),
    )
    _set_times(closure, row.times)
    if row.error is not None:
        closure.error.CopyFrom(error(row.error))
    elif row.output_uri:
        closure.output_uri = row.output_uri
    closure.reasons.extend(_reasons(row, waits))
    closure.reason = closure.reasons[-1].message
    return TaskExecution(id=task_execution_identifier(row), input_uri=row.input_uri, closure=closure)


def _reasons(row: TaskExecutionRow, waits: str | None) -> Iterator[Reason]:
    """Yield what is to be said of each phase that the attempt went through, and when it came to that."""
    yield Reason(occurred_at=timestamp(row.times.created_at), message="task submitted to the executor")
    if waits is not None:
        yield Reason(occurred_at=timestamp(row.times.created_at), message=waits)
    if row.times.started_at is not None:
        yield Reason(occurred_at=timestamp(row.times.started_at), message="its process was started")
    if row.times.ended_at is not None:
        message = row.error.message if row.error is not None else "task completed successfully"
        yield Reason(occurred_at=timestamp(row.times.ended_at), message=message)


def _logs(links: Sequence[tuple[str, str]], http_base_url: str) -> list[TaskLog]:
    return [
        TaskLog(
            name=name,
            uri=f"{http_base_url}{uri}" if uri.startswith("/") else uri,
            message_format=TaskLog.UNKNOWN,
            ShowWhilePending=True,
        )
        for name, uri in links
    ]


def external_resource(execution: ExecutionId, item: ItemRow, http_base_url: str) -> ExternalResourceInfo:
    """Return the item as the task execution of its array shows it; log links become absolute URLs."""
    attempt = AttemptId(execution=execution, node=NodeId(item.node_id), attempt=item.retry_attempt)
    info = ExternalResourceInfo(
        external_id=generated_name(attempt),
        index=item.index,
        retry_attempt=item.retry_attempt,
        phase=item.phase,
        cache_status=CacheStatus(item.cache_status).value,
        logs=_logs(item.logs, http_base_url),
    )
    if item.child is not None:
        info.workflow_node_metadata.execution_id.CopyFrom(execution_identifier(item.child))
    if item.catalog_key:  # flyteidl has no place for it; nodes have theirs in task_node_metadata
        info.custom_info.update({"catalog_key": item.catalog_key})
    return info


def task_execution_identifier(row: TaskExecutionRow) -> TaskExecutionIdentifier:
    """Return the id of the attempt."""
    task = Identifier(resource_type=TASK, project=row.project, domain=row.domain, name=row.name, version=row.version)
    node = NodeExecutionIdentifier(node_id=row.node_id, execution_id=execution_identifier(row.execution))
    return TaskExecutionIdentifier(task_id=task, node_execution_id=node, retry_attempt=row.retry_attempt)


def flyte_urls(row: NodeRow | TaskExecutionRow) -> FlyteURLs:
    """Return the ``flyte://`` addresses that DataProxyService.GetData understands."""
    execution = row.execution
    base = f"flyte://v1/{execution.project}/{execution.domain}/{execution.name}/{row.node_id}"
    if isinstance(row, TaskExecutionRow):
        base = f"{base}/{row.retry_attempt}"
    has_deck = row.has_deck if isinstance(row, TaskExecutionRow) else bool(row.deck_uri)
    return FlyteURLs(inputs=f"{base}/i", outputs=f"{base}/o", deck=f"{base}/d" if has_deck else "")


def futures_uri(dynamic_uri: str) -> str:
    """Return where the specification lies that the compiled workflow at ``dynamic_uri`` was made of."""
    return f"{dynamic_uri.rpartition('/')[0]}/{FUTURES_FILE}" if dynamic_uri else ""


def _task_node_metadata(row: NodeRow) -> TaskNodeMetadata:
    metadata = TaskNodeMetadata(cache_status=CacheStatus(row.cache_status).value)
    if row.artifact_id:
        metadata.catalog_key.CopyFrom(_catalog_key(row))
    return metadata


def _catalog_key(row: NodeRow) -> CatalogMetadata:
    key = CatalogMetadata(
        dataset_id=_dataset_id(row.cache_dataset),
        artifact_tag=CatalogArtifactTag(artifact_id=row.artifact_id, name=row.cache_tag),
    )
    if row.artifact_source is not None:
        name, node_id, attempt = row.artifact_source
        project, domain, execution = name.split("/", 2)
        source = ExecutionId(project=project, domain=domain, name=execution)
        node = NodeExecutionIdentifier(node_id=node_id, execution_id=execution_identifier(source))
        key.source_task_execution.CopyFrom(TaskExecutionIdentifier(node_execution_id=node, retry_attempt=attempt))
    return key


def _dataset_id(dataset: str) -> Identifier:
    """The engine's key of a dataset is ``project:domain:name:version`` (engine.cachekeys)."""
    project, domain, name, version = (dataset.split(":", 3) + [""] * 3)[:4]
    return Identifier(resource_type=DATASET, project=project, domain=domain, name=name, version=version)


def _set_times(closure: NodeExecutionClosure | TaskExecutionClosure, times: Times) -> None:
    closure.created_at.CopyFrom(timestamp(times.created_at))
    closure.updated_at.CopyFrom(timestamp(times.updated_at))
    closure.duration.CopyFrom(duration(times.duration_ns))
    if times.started_at is not None:
        closure.started_at.CopyFrom(timestamp(times.started_at))
