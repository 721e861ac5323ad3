"""What a dynamic task produced (``futures.pb``) -> the compiled closure of a workflow of its own.

Follows flytepropeller (pkg/controller/nodes/dynamic/{handler,utils}.go). The one rule: everything that its nodes
refer to comes with it; nothing is looked up in the registry.
"""

from __future__ import annotations

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.interface_pb2 import TypedInterface, VariableMap
from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.levels import produced_id
from hydraflyte.identifiers import AttemptId


def compile_dynamic(spec: DynamicJobSpec, attempt: AttemptId, outputs: VariableMap) -> CompiledWorkflowClosure:
    """Return the workflow that ``attempt`` produced; it takes nothing, and gives what its task gives.

    Args:
        outputs: of the dynamic task.

    Raises:
        CompilationError: with every problem found; a reference to a launch plan is one, as none is fetched.
    """
    template = WorkflowTemplate(
        id=produced_id(attempt),
        interface=TypedInterface(outputs=outputs),
        nodes=spec.nodes,
        outputs=spec.outputs,
    )
    tasks = {entity_key(task.id): task for task in spec.tasks}
    return compile_workflow(template, list(spec.subworkflows), tasks)
