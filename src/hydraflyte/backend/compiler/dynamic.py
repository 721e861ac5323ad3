"""What a dynamic task produced (``futures.pb``) -> the compiled closure of a workflow of its own.

Follows flytepropeller (pkg/controller/nodes/dynamic/{handler,utils}.go). The one rule: what comes with it is used as
it came; only what it does not bring (launch plans, and tasks of others) must be registered.
"""

from __future__ import annotations

from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.interface_pb2 import TypedInterface, VariableMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.compiler.interfaces import NOTHING, Registered
from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.levels import produced_id
from hydraflyte.identifiers import AttemptId


def produced_template(spec: DynamicJobSpec, attempt: AttemptId, outputs: VariableMap) -> WorkflowTemplate:
    """Return the workflow that ``attempt`` produced; it takes nothing, and gives what its task gives (``outputs``)."""
    return WorkflowTemplate(
        id=produced_id(attempt),
        interface=TypedInterface(outputs=outputs),
        nodes=spec.nodes,
        outputs=spec.outputs,
    )


def compile_dynamic(
    spec: DynamicJobSpec, attempt: AttemptId, outputs: VariableMap, registered: Registered = NOTHING
) -> CompiledWorkflowClosure:
    """Return the workflow that ``attempt`` produced, compiled.

    Args:
        outputs: of the dynamic task.
        registered: what the nodes refer to and did not bring along.

    Raises:
        CompilationError: with every problem found.
    """
    template = produced_template(spec, attempt, outputs)
    tasks: dict[str, CompiledTask | TaskTemplate] = {**registered.tasks}
    tasks.update({entity_key(task.id): task for task in spec.tasks})
    return compile_workflow(template, list(spec.subworkflows), tasks, registered.launch_plans)
