"""Single-task executions: the workflow and the launch plan that Flyte makes up around one task. Pure.

flyteadmin's util/single_task_execution.go; what clients can see of it is in section 1.8 of Flyte's semantics.
"""

from __future__ import annotations

import re

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.literals_pb2 import Binding, BindingData, RetryStrategy
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import OutputReference
from flyteidl.core.workflow_pb2 import Node, NodeMetadata, TaskNode, WorkflowMetadata, WorkflowTemplate

from hydraflyte.backend.store.registry import EntityId, EntityKind

GENERATED_PREFIX = ".flytegen."
"""Names that begin so are hidden from unfiltered lists of named entities."""

_DEFAULT_RETRIES = 3
_MAX_NODE_ID_LENGTH = 63


def generated_id(task: EntityId, kind: EntityKind) -> EntityId:
    """Return the id of the workflow or launch plan made up for this version of the task."""
    return EntityId(
        kind=kind,
        project=task.project,
        domain=task.domain,
        name=f"{GENERATED_PREFIX}{task.name}",
        version=task.version,
    )


def generated_workflow(task: EntityId, template: TaskTemplate) -> WorkflowTemplate:
    """Return a workflow of one node that hands its inputs to the task and its outputs on."""
    node_id = single_node_id(task.name)
    return WorkflowTemplate(
        id=generated_id(task, EntityKind.WORKFLOW).to_message(),
        metadata=WorkflowMetadata(),
        interface=template.interface,
        nodes=[
            Node(
                id=node_id,
                metadata=_node_metadata(task, template),
                inputs=[_binding(name, node_id="") for name in sorted(template.interface.inputs.variables)],
                task_node=TaskNode(reference_id=task.to_message()),
            )
        ],
        outputs=[_binding(name, node_id=node_id) for name in sorted(template.interface.outputs.variables)],
    )


def generated_launch_plan(task: EntityId) -> LaunchPlanSpec:
    """Return the launch plan of the workflow: no defaults, so every input is required."""
    return LaunchPlanSpec(workflow_id=generated_id(task, EntityKind.WORKFLOW).to_message())


def single_node_id(task_name: str) -> str:
    """Return the task's name reduced to letters, digits and ``-``, its last 63 characters.

    >>> single_node_id("my_module.train")
    'mymoduletrain'
    """
    return re.sub(r"[^A-Za-z0-9-]", "", task_name)[-_MAX_NODE_ID_LENGTH:] or "task"


def _node_metadata(task: EntityId, template: TaskTemplate) -> NodeMetadata:
    given = template.metadata
    metadata = NodeMetadata(
        name=single_node_id(task.name),
        retries=given.retries if given.HasField("retries") else RetryStrategy(retries=_DEFAULT_RETRIES),
    )
    if given.HasField("timeout"):
        metadata.timeout.CopyFrom(given.timeout)
    if given.WhichOneof("interruptible_value") is not None:
        metadata.interruptible = given.interruptible
    return metadata


def _binding(name: str, *, node_id: str) -> Binding:
    return Binding(var=name, binding=BindingData(promise=OutputReference(node_id=node_id, var=name)))
