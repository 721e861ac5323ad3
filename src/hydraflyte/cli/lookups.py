"""What the verbs about executions ask the backend for: an execution by its name, its nodes, their attempts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from flyteidl.admin.execution_pb2 import Execution
    from flyteidl.admin.node_execution_pb2 import NodeExecution
    from flyteidl.admin.task_execution_pb2 import TaskExecution
    from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

TIMEOUT_S = 30.0


def identifier_of(options: argparse.Namespace) -> WorkflowExecutionIdentifier:
    """Return the id of the execution that the command line names."""
    from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

    return WorkflowExecutionIdentifier(project=options.project, domain=options.domain, name=options.name)


def get_execution(
    admin: AdminServiceStub, identifier: WorkflowExecutionIdentifier, *, timeout_s: float | None = None
) -> Execution:
    """Return the execution as it is now.

    Args:
        timeout_s: None for the embedded backend: it holds the answer to a second question that has a deadline.
    """
    from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest

    found: Execution = admin.GetExecution(WorkflowExecutionGetRequest(id=identifier), timeout=timeout_s)
    return found


def phase_of(execution: Execution) -> str:
    """Return the phase by its name. One that nothing has begun to run yet is queued."""
    from flyteidl.core.execution_pb2 import WorkflowExecution

    phase = execution.closure.phase
    return WorkflowExecution.Phase.Name(phase if phase != WorkflowExecution.UNDEFINED else WorkflowExecution.QUEUED)


def nodes_of(admin: AdminServiceStub, execution: Execution, parent: str = "") -> Iterator[NodeExecution]:
    """Yield the node executions, each followed by its children; start and end nodes left out."""
    from flyteidl.admin.node_execution_pb2 import NodeExecutionListRequest

    request = NodeExecutionListRequest(workflow_execution_id=execution.id, limit=10_000, unique_parent_id=parent)
    for node in admin.ListNodeExecutions(request, timeout=TIMEOUT_S).node_executions:
        if node.metadata.spec_node_id in ("start-node", "end-node"):
            continue
        yield node
        if node.metadata.is_parent_node:
            yield from nodes_of(admin, execution, node.id.node_id)


def tasks_of(admin: AdminServiceStub, node: NodeExecution) -> list[TaskExecution]:
    """Return the attempts of a node."""
    from flyteidl.admin.task_execution_pb2 import TaskExecutionListRequest

    request = TaskExecutionListRequest(node_execution_id=node.id, limit=1_000)
    return list(admin.ListTaskExecutions(request, timeout=TIMEOUT_S).task_executions)
