"""From Hydra's task function to what is launched: the main workflow, all its entities, and where their code lies.

One rule: what a task's process imports inside the unpacked bundle is what is registered; the name, the loader's
arguments and the source root come from one decision. The user's script is never executed a second time here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.python_function_task import EagerAsyncPythonFunctionTask
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import PythonFunctionWorkflow, WorkflowBase

from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.code.calls import closure_of, line_that_calls, objects_used_by, plain_function
from hydraflyte.launcher.code.files import is_too_broad
from hydraflyte.launcher.code.modules import (
    ModulePlace,
    is_installed,
    place_of,
    place_of_namespace,
    top_level,
    user_modules,
)
from hydraflyte.launcher.code.proof import TaskLoad
from hydraflyte.launcher.entities import Entity, entities_of, follower_of, used_by, without_duplicates
from hydraflyte.launcher.naming import Naming


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
    _refuse_call_at_import(function, main)
    workflow = _main_workflow(function, main, workflow_name)
    entities = entities_of(workflow)
    loads = Naming(main=main, main_globals=function.__globals__).apply(entities)
    entities = without_duplicates(entities)
    modules = _loaded_modules(main, loads)
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
    """Return the function the user wrote: behind ``functools.wraps``, and behind wrappers that hide what they wrap."""
    try:
        function = plain_function(task_function)
    except TypeError as error:
        raise DiscoveryError(
            f"The task function {task_function!r} is not a Python function.",
            hint="Decorate a plain function with @hydra.main.",
        ) from error
    while "<locals>" in function.__qualname__:
        wrapped = [value for value in closure_of(function).values() if type(value) is FunctionType]
        elsewhere = [value for value in wrapped if value.__module__ != function.__module__]
        if len(elsewhere) != 1:
            break
        function = plain_function(elsewhere[0])
    return function


def _refuse_call_at_import(function: FunctionType, main: ModulePlace) -> None:
    """Raise if importing the module would run the program: every task's process imports it."""
    names = {name for name, value in function.__globals__.items() if _is_or_wraps(value, function)}
    line = line_that_calls(main.file, names)
    if line is not None:
        raise DiscoveryError(
            f"{main.file}:{line} runs the program whenever the module is imported, as every task's process does.",
            hint="Put that line under `if __name__ == '__main__':`.",
        )


def _is_or_wraps(value: Any, function: FunctionType) -> bool:
    while type(value) is FunctionType:
        if value is function:
            return True
        value = value.__dict__.get("__wrapped__")
    return False


def _main_workflow(function: FunctionType, main: ModulePlace, workflow_name: str | None) -> WorkflowBase:
    namespace = function.__globals__
    used = list(objects_used_by(function, follows=lambda other: other.__globals__ is namespace))
    if not _workflows([*namespace.values(), *used]) and not _eager_tasks(used):
        used = list(objects_used_by(function, follows=follower_of(function)))
    if workflow_name is not None:
        return _named_workflow(workflow_name, namespace, _workflows([*namespace.values(), *used]), main)
    referred = _workflows(used)
    if len(referred) == 1:
        return referred[0]
    eager = _eager_tasks(used)
    if len(eager) == 1 and not referred:
        return _as_workflow(eager[0], Naming(main=main, main_globals=namespace))
    candidates = referred or _workflows(namespace.values())
    outermost = [workflow for workflow in candidates if not _is_contained(workflow, candidates)]
    if len(outermost) == 1:
        return outermost[0]
    if not outermost:
        raise DiscoveryError(
            f"{main.file} defines and imports no Flyte workflow, and the task function calls none.",
            hint="Define one with @workflow, or import it into this module; @hydraflyte.uses(workflow) right above the "
            "task function names one that is found only at run time.",
        )
    names = sorted(_variable(workflow, namespace) for workflow in outermost)
    listed = ", ".join(f"'{name}'" for name in names[:-1]) + f" and '{names[-1]}'"
    raise DiscoveryError(
        f"{main.file.name} has {len(names)} workflows that no other workflow uses, {listed}: "
        "cannot tell which to launch.",
        hint=f"Set hydra.launcher.workflow.name={names[0]}, or call the one that is meant in the task function.",
    )


def _eager_tasks(values: Iterable[object]) -> list[EagerAsyncPythonFunctionTask]:
    found = {id(value): value for value in values if issubclass(type(value), EagerAsyncPythonFunctionTask)}
    return list(found.values())


def _as_workflow(task: EagerAsyncPythonFunctionTask, naming: Naming) -> WorkflowBase:
    """Return the workflow that flytekit registers for an eager task, under the task's importable name."""
    naming.apply([task])
    return task.get_as_workflow()


def _workflows(values: Iterable[Any]) -> list[WorkflowBase]:
    """Return the workflows among ``values``, those of launch plans included, each once, in order."""
    found: dict[int, WorkflowBase] = {}
    for value in values:
        kind = type(value)  # not isinstance: it asks proxies and lazy modules for their __class__, which loads them
        if issubclass(kind, (WorkflowBase, LaunchPlan)) and not issubclass(kind, ReferenceEntity):
            workflow = value.workflow if issubclass(kind, LaunchPlan) else value
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


def _loaded_modules(main: ModulePlace, loads: Sequence[TaskLoad]) -> tuple[str, ...]:
    """Return the modules that loading the tasks imports; the main module at least, to be proven importable."""
    names = {main.name}
    for load in loads:
        in_module = load.loader_args[0] == "task-module"
        names.add(load.loader_args[1] if in_module else load.resolver.rpartition(".")[0])
    return tuple(sorted(name for name in names if name))


def _places(modules: Iterable[str], main: ModulePlace) -> list[ModulePlace]:
    places = [place_of(name) for name in modules if name != main.name]
    return [place for place in places if place is not None and not is_installed(place.file)]


def _extra_modules(places: Sequence[ModulePlace], main: ModulePlace) -> dict[str, Path]:
    extra: dict[str, Path] = {}
    for place in places:
        if place.root != main.root or place.mapped is not None:
            name, path = top_level(place)
            extra[name] = path
    return extra


def _chosen_files(places: Sequence[ModulePlace], main: ModulePlace) -> tuple[Path, ...] | None:
    if not is_too_broad(main.root):
        return None
    return tuple(sorted({top_level(place)[1] for place in places if place.root == main.root}))
