"""What a workflow refers to, and must be fetched before it can be compiled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate

from hydraflyte.backend.store.registry import EntityId, EntityKind


def referenced(templates: Iterable[WorkflowTemplate]) -> tuple[EntityId, ...]:
    """Return every task and launch plan that a node refers to, each once, in the order met."""
    found = dict.fromkeys(entity for template in templates for entity in _references_in(template))
    return tuple(entity for entity in found if entity.kind is not EntityKind.WORKFLOW)


def sub_workflows_of(template: WorkflowTemplate) -> tuple[EntityId, ...]:
    """Return every workflow that a node of ``template`` runs as a sub-workflow, each once, in the order met."""
    found = dict.fromkeys(_references_in(template))
    return tuple(entity for entity in found if entity.kind is EntityKind.WORKFLOW)


def _references_in(template: WorkflowTemplate) -> Iterator[EntityId]:
    for node in template.nodes:
        yield from _references(node)
    if template.HasField("failure_node"):
        yield from _references(template.failure_node)


def _references(node: Node) -> Iterator[EntityId]:
    match node.WhichOneof("target"):
        case "task_node":
            yield EntityId.of(EntityKind.TASK, node.task_node.reference_id)
        case "workflow_node" if node.workflow_node.WhichOneof("reference") == "launchplan_ref":
            yield EntityId.of(EntityKind.LAUNCH_PLAN, node.workflow_node.launchplan_ref)
        case "workflow_node" if node.workflow_node.WhichOneof("reference") == "sub_workflow_ref":
            yield EntityId.of(EntityKind.WORKFLOW, node.workflow_node.sub_workflow_ref)
        case "branch_node":
            for arm in _arms(node):
                yield from _references(arm)
        case "array_node":
            yield from _references(node.array_node.node)


def _arms(node: Node) -> Iterator[Node]:
    if_else = node.branch_node.if_else
    yield if_else.case.then_node
    for other in if_else.other:
        yield other.then_node
    if if_else.WhichOneof("default") == "else_node":
        yield if_else.else_node
