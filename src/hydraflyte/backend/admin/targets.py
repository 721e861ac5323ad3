"""What an execution runs: a launch plan with its workflow, or the workflow made up around a single task."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from flyteidl.admin.common_pb2 import SYSTEM_GENERATED
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflowClosure
from flyteidl.core.interface_pb2 import ParameterMap

from hydraflyte.backend.admin import compiling, entities
from hydraflyte.backend.admin.launch_plans import launch_plan_row
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import Missing
from hydraflyte.backend.admin.single_task import generated_id, generated_launch_plan, generated_workflow
from hydraflyte.backend.admin.workflows import workflow_row
from hydraflyte.backend.store import names, registry
from hydraflyte.backend.store.names import NamedEntityRow
from hydraflyte.backend.store.registry import EntityId, EntityKind, WorkflowRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A launch plan, ready to be executed."""

    spec: LaunchPlanSpec
    expected_inputs: ParameterMap
    workflow: EntityId
    closure: CompiledWorkflowClosure


def find_target(connection: sqlite3.Connection, entity: EntityId) -> Target | None:
    """Return what the launch plan, or the task, makes an execution run.

    None means that the task is there but its workflow has not been made up yet.

    Raises:
        Missing: there is no such launch plan or task.
    """
    is_task = entity.kind is EntityKind.TASK
    plan_id = generated_id(entity, EntityKind.LAUNCH_PLAN) if is_task else entity
    plan = registry.find_launch_plan(connection, plan_id)
    if plan is None and is_task and registry.find_task(connection, entity) is not None:
        return None
    if plan is None:
        raise Missing(f"missing entity of type {entity.kind.name} with identifier {entity}")
    workflow = registry.find_workflow_by_row(connection, plan.workflow_row_id)
    assert workflow is not None, "launch_plans.workflow_id is a foreign key"
    return Target(
        spec=LaunchPlanSpec.FromString(plan.spec),
        expected_inputs=ParameterMap.FromString(plan.expected_inputs),
        workflow=workflow.id,
        closure=CompiledWorkflowClosure.FromString(workflow.closure),
    )


async def make_up_workflow(parts: ControlPlaneParts, task: EntityId) -> None:
    """Store the workflow and the launch plan that run this task alone; nothing happens if they are there."""
    needed = (task,)
    found = await parts.database.read(lambda connection: compiling.fetch(connection, needed))
    stored = await parts.database.read(lambda connection: registry.find_task(connection, task))
    if stored is None:
        raise Missing(f"missing entity of type TASK with identifier {task}")
    template = generated_workflow(task, CompiledTask.FromString(stored.closure).template)
    closure = compiling.compile_closure(template, (), found)
    now = parts.clock.now()
    row = workflow_row(generated_id(task, EntityKind.WORKFLOW), closure, now=now)
    await parts.database.write(lambda connection: _store_both(connection, task, row, now))


def _store_both(connection: sqlite3.Connection, task: EntityId, row: WorkflowRow, now: datetime) -> None:
    entities.store(connection, row.id, lambda inner: registry.insert_workflow(inner, row))
    workflow = registry.find_workflow(connection, row.id)
    assert workflow is not None, "it was stored in this transaction, or before"
    plan_id = generated_id(task, EntityKind.LAUNCH_PLAN)
    plan = launch_plan_row(plan_id, generated_launch_plan(task), workflow, now=now)
    entities.store(connection, plan_id, lambda inner: registry.insert_launch_plan(inner, plan))
    for entity in (row.id, plan_id):
        marked = NamedEntityRow(
            resource_type=entity.kind.resource_type,
            project=entity.project,
            domain=entity.domain,
            name=entity.name,
            description="",
            state=SYSTEM_GENERATED,
        )
        names.update_named_entity(connection, marked, now)
