"""Everything that a workflow needs to be registered with: its tasks, sub-workflows and launch plans, in order.

One rule: an entity comes after all it uses. Reference entities and entities fetched from a backend exist there already
and are left out. What dynamic and eager tasks use is read from their code. Registers nothing, imports no user module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import TypeAlias, Union, cast

from flytekit.core.array_node import ArrayNode
from flytekit.core.base_task import PythonTask
from flytekit.core.condition import BranchNode
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.node import Node
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase

from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.code.calls import objects_used_by, plain_function
from hydraflyte.launcher.code.modules import is_installed
from hydraflyte.launcher.naming import ImportableResolver

Entity: TypeAlias = Union[PythonTask, WorkflowBase, LaunchPlan]  # noqa: UP007 - `|` fails on untyped classes in mypy


def entities_of(workflow: WorkflowBase) -> tuple[Entity, ...]:
    """Return the entities to register for ``workflow``, itself included: tasks first, each after all it uses.

    A dynamic task comes with the tasks, although what it may call comes later: a task refers to nothing when it is
    registered.

    Raises:
        DiscoveryError: a workflow does not compile.
    """
    ordered: dict[int, Entity] = {}
    _visit(workflow, ordered, set())
    tasks = [entity for entity in ordered.values() if isinstance(entity, PythonTask)]
    others = [entity for entity in ordered.values() if not isinstance(entity, PythonTask)]
    return (*tasks, *others)


def without_duplicates(entities: Sequence[Entity]) -> tuple[Entity, ...]:
    """Return ``entities`` without those that say the same under the same name; map tasks made twice, for example.

    Raises:
        DiscoveryError: two of them have one name and differ, so that only one could be registered.
    """
    kept: dict[tuple[str, str], Entity] = {}
    for entity in entities:
        kind = "task" if isinstance(entity, PythonTask) else type(entity).__name__
        other = kept.setdefault((kind, entity.name), entity)
        if other is not entity and isinstance(entity, PythonTask) and _how_it_runs(entity) != _how_it_runs(other):
            raise DiscoveryError(
                f"Two different tasks have the name {entity.name}.",
                hint="Flyte knows a task by its name: give each its own function, and a map task the same settings.",
            )
    return tuple(kept.values())


def _how_it_runs(task: PythonTask) -> object:
    inner = getattr(task, "python_function_task", None)
    if inner is not None:
        return _how_it_runs(inner), task.metadata
    resolver = getattr(task, "task_resolver", None)
    return (resolver.loader_args(None, task) if isinstance(resolver, ImportableResolver) else id(task)), task.metadata


def used_by(entity: object) -> Iterator[object]:
    """Yield the entities that ``entity`` uses directly; reference entities and fetched ones included.

    Raises:
        DiscoveryError: it is a workflow that does not compile.
    """
    if isinstance(entity, ReferenceEntity):
        return
    if isinstance(entity, WorkflowBase):
        for node in _compiled_nodes(entity):
            yield from _entities_in(node)
        if entity.on_failure is not None:
            yield entity.on_failure
    elif isinstance(entity, LaunchPlan):
        yield entity.workflow
    elif isinstance(entity, PythonFunctionTask):
        yield from entity.node_dependency_hints or ()
        if entity.execution_mode != PythonFunctionTask.ExecutionBehavior.DEFAULT:
            yield from _entities_in_code(entity)


def is_entity(value: object) -> bool:
    """Tell whether ``value`` is something that can be registered."""
    kind = type(value)  # not isinstance: it asks proxies and lazy modules for their __class__, which loads them
    return issubclass(kind, (PythonTask, WorkflowBase, LaunchPlan)) and not issubclass(kind, ReferenceEntity)


def _visit(entity: object, ordered: dict[int, Entity], open_ids: set[int]) -> None:
    if not is_entity(entity) or id(entity) in ordered or id(entity) in open_ids:
        return  # open: a dynamic task that calls itself, or the workflow that it is part of
    open_ids.add(id(entity))
    for used in used_by(entity):
        _visit(used, ordered, open_ids)
    ordered[id(entity)] = entity


def _compiled_nodes(workflow: WorkflowBase) -> list[Node]:
    try:
        nodes = list(workflow.nodes)
        failure_node = workflow.failure_node
    except Exception as error:  # compiling calls the user's function, so anything can come out of it
        raise DiscoveryError(
            f"The workflow {workflow.name} does not compile: {type(error).__name__}: {error}",
            hint="Calling the workflow in plain Python shows the same error with its traceback.",
        ) from error
    return nodes if failure_node is None else [*nodes, failure_node]


def _entities_in(node: Node | None) -> Iterator[object]:
    """Yield the entities that a node runs; none for gates, and for arms of a conditional that only fail."""
    if node is None:
        return
    entity = node.flyte_entity
    if isinstance(entity, BranchNode):
        block = entity._ifelse_block  # flytekit's own translator reads it, there is no other way in
        yield from _entities_in(block.case.then_node)
        for case in block.other or ():
            yield from _entities_in(case.then_node)
        yield from _entities_in(block.else_node)
    elif isinstance(entity, ArrayNode):
        yield entity.target
    elif entity is not None:
        yield entity


def _entities_in_code(task: PythonFunctionTask) -> Iterator[object]:
    for value in objects_used_by(task.task_function, follows=follower_of(plain_function(task.task_function))):
        if issubclass(type(value), ArrayNode):
            yield cast(ArrayNode, value).target
        elif is_entity(value):
            yield value


def follower_of(start: FunctionType) -> Callable[[FunctionType], bool]:
    """Return whether a function that is used, directly or not, by ``start`` is read in turn.

    Those of the user's own files are, wherever these lie, and those of the package that ``start`` is from.
    """
    home = _top_package(start)

    def is_followed(function: FunctionType) -> bool:
        return _top_package(function) == home or not is_installed(Path(function.__code__.co_filename))

    return is_followed


def _top_package(function: FunctionType) -> str:
    return str(function.__module__).partition(".")[0]
