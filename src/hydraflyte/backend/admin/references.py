"""What a workflow refers to: the tasks and launch plans that must be fetched before it can be compiled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate

from hydraflyte.backend.store.registry import EntityId, EntityKind


def referenced(templates: Iterable[WorkflowTemplate]) -> tuple[EntityId, ...]:
    """Return every task and launch plan that a node refers to, each once, in the order met."""
    found: dict[EntityId, None] = {}
    for template in templates:
        for node in template.nodes:
            found |= dict.fromkeys(_references(node))
        if template.HasField("failure_node"):
            found |= dict.fromkeys(_references(template.failure_node))
    return tuple(found)


def _references(node: Node) -> Iterator[EntityId]:
    match node.WhichOneof("target"):
        case "task_node":
            yield EntityId.of(EntityKind.TASK, node.task_node.reference_id)
        case "workflow_node" if node.workflow_node.WhichOneof("reference") == "launchplan_ref":
            yield EntityId.of(EntityKind.LAUNCH_PLAN, node.workflow_node.launchplan_ref)
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
