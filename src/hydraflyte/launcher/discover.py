"""From Hydra's task function to what is launched: the main workflow, all its entities, and where their code lies.

One rule: what a task's process imports inside the unpacked bundle is what is registered; the name, the loader's
arguments and the source root come from one decision. The user's script is never executed a second time here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import PythonFunctionWorkflow, WorkflowBase

from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.calls import objects_used_by, plain_function
from hydraflyte.launcher.entities import Entity, entities_of, used_by
from hydraflyte.launcher.files import is_too_broad
from hydraflyte.launcher.modules import (
    ModulePlace,
    is_installed,
    place_of,
    place_of_namespace,
    top_level,
    user_modules,
)
from hydraflyte.launcher.naming import Naming
from hydraflyte.launcher.proof import TaskLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSource:
    """What is to be registered and launched, and the code behind it.

    Attributes:
        workflow: the main workflow.
        entities: all to register, tasks first, each after all it uses; their names are the importable ones.
        module_name: importable name of the module that holds the task function.
        file: that module's source.
        source_root: the directory whose content becomes the code bundle, and from which the modules import.
        search_roots: other directories that the user's own modules came from.
        modules: names that the tasks' loader will import, sorted.
        loads: how a task's process finds each task.
        extra_modules: top-level modules of the search roots -> their path; to be added to the bundle.
        chosen_files: what to take from a source root that holds much else; ``None`` means the whole tree.
    """

    workflow: WorkflowBase
    entities: tuple[Entity, ...]
    module_name: str
    file: Path
    source_root: Path
    search_roots: tuple[Path, ...]
    modules: tuple[str, ...]
    loads: tuple[TaskLoad, ...]
    extra_modules: Mapping[str, Path]
    chosen_files: tuple[Path, ...] | None


def discover(task_function: Callable[..., object], *, workflow_name: str | None = None) -> WorkflowSource:
    """Return the workflow that ``task_function`` stands for, with everything it needs.

    The main workflow is, in this order: the one named; the only one that the task function's code refers to; the only
    one of its module (or of those referred to) that no other contains.

    Args:
        task_function: what ``@hydra.main`` decorates; wrappers made with ``functools.wraps`` are looked through.
        workflow_name: ``hydra.launcher.workflow.name``: a variable of the module, or a registered name.

    Raises:
        DiscoveryError: no workflow or several, a workflow that does not compile, a task that cannot be found by a
            task process, or a module that cannot be imported elsewhere.
    """
    function = _python_function(task_function)
    main = place_of_namespace(function.__globals__)
    workflow = _main_workflow(function, main, workflow_name)
    entities = entities_of(workflow)
    naming = Naming(
        main=main,
        namespaces=_namespaces(function, main),
        runs_as_main=function.__globals__.get("__name__") == "__main__",
    )
    loads = naming.apply(entities)
    modules = _loaded_modules(main, entities, loads)
    places = user_modules([main, *_places(modules, main)])
    extra = _extra_modules(places, main)
    return WorkflowSource(
        workflow=workflow,
        entities=entities,
        module_name=main.name,
        file=main.file,
        source_root=main.root,
        search_roots=tuple(sorted({place.root for place in places if place.root != main.root})),
        modules=modules,
        loads=loads,
        extra_modules=MappingProxyType(extra),
        chosen_files=_chosen_files(places, main),
    )


def _python_function(task_function: Callable[..., object]) -> FunctionType:
    try:
        return plain_function(task_function)
    except TypeError as error:
        raise DiscoveryError(
            f"The task function {task_function!r} is not a Python function.",
            hint="Decorate a plain function with @hydra.main.",
        ) from error


def _main_workflow(function: FunctionType, main: ModulePlace, workflow_name: str | None) -> WorkflowBase:
    in_module = _workflows(function.__globals__.values())
    referred = _workflows(objects_used_by(function, follows=lambda other: other.__globals__ is function.__globals__))
    if workflow_name is not None:
        return _named_workflow(workflow_name, function.__globals__, [*in_module, *referred], main)
    if len(referred) == 1:
        return referred[0]
    candidates = referred or in_module
    outermost = [workflow for workflow in candidates if not _is_contained(workflow, candidates)]
    if len(outermost) == 1:
        return outermost[0]
    if not outermost:
        raise DiscoveryError(
            f"{main.file} defines and imports no Flyte workflow.",
            hint="Define one with @workflow, or import it into this module; hydra.launcher.workflow.name picks one.",
        )
    names = sorted(_variable(workflow, function.__globals__) for workflow in outermost)
    listed = ", ".join(f"'{name}'" for name in names[:-1]) + f" and '{names[-1]}'"
    raise DiscoveryError(
        f"{main.file.name} has {len(names)} workflows that no other workflow uses, {listed}: "
        "cannot tell which to launch.",
        hint=f"Set hydra.launcher.workflow.name={names[0]}, or call the one that is meant in the task function.",
    )


def _workflows(values: Iterable[object]) -> list[WorkflowBase]:
    """Return the workflows among ``values``, those of launch plans included, each once, in order."""
    found: dict[int, WorkflowBase] = {}
    for value in values:
        if isinstance(value, ReferenceEntity):
            continue
        workflow = value.workflow if isinstance(value, LaunchPlan) else value
        if isinstance(workflow, WorkflowBase):
            found[id(workflow)] = workflow
    return list(found.values())


def _is_contained(workflow: WorkflowBase, others: Sequence[WorkflowBase]) -> bool:
    return any(other is not workflow and _contains(other, workflow) for other in others)


def _contains(outer: WorkflowBase, inner: WorkflowBase) -> bool:
    waiting: list[object] = [outer]
    seen: set[int] = set()
    while waiting:
        entity = waiting.pop()
        if id(entity) in seen:
            continue
        seen.add(id(entity))
        if entity is inner:
            return True
        waiting.extend(used_by(entity))
    return False


def _named_workflow(
    name: str, namespace: Mapping[str, Any], candidates: Sequence[WorkflowBase], main: ModulePlace
) -> WorkflowBase:
    found = _workflows([namespace.get(name)])
    found = found or _workflows(workflow for workflow in candidates if name in _names(workflow, main))
    if len(found) == 1:
        return found[0]
    known = sorted({_variable(workflow, namespace) for workflow in _workflows(candidates)})
    raise DiscoveryError(
        f"hydra.launcher.workflow.name={name} names {len(found) or 'no'} workflow of {main.file.name}.",
        hint=f"Set it to one of: {', '.join(known)}." if known else "Define a workflow with @workflow there.",
    )


def _names(workflow: WorkflowBase, main: ModulePlace) -> set[str]:
    names = {workflow.name, workflow.name.rpartition(".")[2]}
    if isinstance(workflow, PythonFunctionWorkflow):
        module = workflow.function.__module__
        names.add(f"{main.name if module == '__main__' else module}.{workflow.function.__name__}")
    return names


def _variable(workflow: WorkflowBase, namespace: Mapping[str, Any]) -> str:
    for name, value in namespace.items():
        if value is workflow:
            return name
    return str(workflow.name)


def _namespaces(function: FunctionType, main: ModulePlace) -> dict[str, Mapping[str, Any]]:
    namespaces: dict[str, Mapping[str, Any]] = {
        name: vars(module) for name, module in list(sys.modules.items()) if hasattr(module, "__dict__")
    }
    namespaces[main.name] = function.__globals__
    return namespaces


def _loaded_modules(main: ModulePlace, entities: Sequence[Entity], loads: Sequence[TaskLoad]) -> tuple[str, ...]:
    """Return the modules that loading the tasks imports; the main module at least, to be proven importable."""
    names = {main.name}
    names.update(load.loader_args[1] for load in loads if load.loader_args[0] == "task-module")
    return tuple(sorted(names))


def _places(modules: Iterable[str], main: ModulePlace) -> list[ModulePlace]:
    places = [place_of(sys.modules[name]) for name in modules if name in sys.modules and name != main.name]
    return [place for place in places if place is not None and not is_installed(place.file)]


def _extra_modules(places: Sequence[ModulePlace], main: ModulePlace) -> dict[str, Path]:
    extra: dict[str, Path] = {}
    for place in places:
        if place.root != main.root:
            name, path = top_level(place)
            extra[name] = path
    return extra


def _chosen_files(places: Sequence[ModulePlace], main: ModulePlace) -> tuple[Path, ...] | None:
    if not is_too_broad(main.root):
        return None
    return tuple(sorted({top_level(place)[1] for place in places if place.root == main.root}))
