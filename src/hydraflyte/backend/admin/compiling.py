"""From stored entities to the compiler: the only place of this layer that knows how both name things.

Reading and compiling are apart, because compiling may take a while and needs no database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflowClosure
from flyteidl.core.interface_pb2 import ParameterMap, VariableMap
from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.compiler.interfaces import LaunchPlanInterface, Registered
from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.store import registry
from hydraflyte.backend.store.registry import EntityId, EntityKind


def fetch(connection: sqlite3.Connection, needed: Iterable[EntityId]) -> Registered:
    """Return the stored tasks and launch plans among ``needed``; what is missing is the compiler's to complain of."""
    tasks: dict[str, CompiledTask] = {}
    plans: dict[str, LaunchPlanInterface] = {}
    for entity in needed:
        key = entity_key(entity.to_message())
        if entity.kind is EntityKind.TASK:
            task = registry.find_task(connection, entity)
            if task is not None:
                tasks[key] = CompiledTask.FromString(task.closure)
        else:
            plan = registry.find_launch_plan(connection, entity)
            if plan is not None:
                plans[key] = LaunchPlanInterface(
                    identifier=entity.to_message(),
                    expected_inputs=ParameterMap.FromString(plan.expected_inputs),
                    expected_outputs=VariableMap.FromString(plan.expected_outputs),
                )
    return Registered(tasks=tasks, launch_plans=plans)


def compile_closure(
    template: WorkflowTemplate, sub_workflows: Sequence[WorkflowTemplate], found: Registered
) -> CompiledWorkflowClosure:
    """Return the compiled workflow.

    Raises:
        CompilationError: with every problem found.
    """
    return compile_workflow(template, sub_workflows, found.tasks, found.launch_plans)
