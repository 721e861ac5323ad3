"""A task template -> its compiled form, checked as far as the template alone allows.

The one rule: what a cluster would refuse for its own limits (resources) is not refused here.
"""

from __future__ import annotations

from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.backend.compiler.problems import Code, Problems
from hydraflyte.backend.engine.graph import entity_key

_ID_PARTS = ("project", "domain", "name", "version")


def compile_task(template: TaskTemplate) -> CompiledTask:
    """Return the compiled task; ``template`` is not changed.

    Raises:
        CompilationError: with every problem found.
    """
    problems = Problems()
    about = template.id.name or "task"
    check_identifier(template.id, ResourceType.TASK, about, problems)
    if not template.type:
        problems.add(Code.VALUE_REQUIRED, about, "type is missing")
    for name in ("metadata", "interface"):
        if not template.HasField(name):
            problems.add(Code.VALUE_REQUIRED, about, f"{name} is missing")
    _check_target(template, about, problems)
    problems.raise_if_any(f"task {entity_key(template.id)}")
    compiled = CompiledTask()
    compiled.template.CopyFrom(template)
    return compiled


def check_identifier(identifier: Identifier, expected: int, about: str, problems: Problems) -> None:
    """Note a part that is missing from ``identifier``, or a wrong resource type."""
    if identifier.resource_type != expected:
        is_known = identifier.resource_type in ResourceType.values()
        given = ResourceType.Name(identifier.resource_type) if is_known else str(identifier.resource_type)
        text = f"resource_type is {given}, not {ResourceType.Name(expected)}"
        problems.add(Code.INVALID_VALUE, about, text)
    for part in _ID_PARTS:
        if not getattr(identifier, part):
            problems.add(Code.VALUE_REQUIRED, about, f"id.{part} is missing")


def _check_target(template: TaskTemplate, about: str, problems: Problems) -> None:
    target = template.WhichOneof("target")
    if target == "k8s_pod" and not template.k8s_pod.HasField("pod_spec"):
        problems.add(Code.VALUE_REQUIRED, about, "k8s_pod.pod_spec is missing")
    if target != "container":
        return
    container = template.container
    if not container.image:
        problems.add(Code.VALUE_REQUIRED, about, "container.image is missing")
    has_data = bool(template.interface.inputs.variables or template.interface.outputs.variables)
    if has_data and not container.command and not container.args:
        problems.add(Code.VALUE_REQUIRED, about, "container.command or container.args is missing")
