"""The name that each entity is registered under, and how a task's process finds it; both set on the entity.

flytekit derives them when the decorator runs, from `__main__`, the current directory and every `__init__.py` upwards,
so that they often name nothing importable. Here they become what flytekit itself derives when the module is imported
from the code bundle (docs/decisions/0041). Assigns to instances of the user's entities, never to flytekit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flytekit.configuration import SerializationSettings
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import Task, TaskResolverMixin
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.legacy_map_task import MapPythonTask
from flytekit.core.python_auto_container import PythonAutoContainerTask, default_task_resolver
from flytekit.core.workflow import PythonFunctionWorkflow

from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.code.modules import ModulePlace, module_globals
from hydraflyte.launcher.code.proof import TaskLoad

_DEFAULT_RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
"""Spelled out: flytekit derives it from files, and gets it wrong below a `site-packages/__init__.py` (flyte#6180)."""


class ImportableResolver(TaskResolverMixin):  # type: ignore[misc]  # flytekit has no types
    """flytekit's default resolver, with the arguments decided once and for all.

    Tasks are serialised with the stock resolver's name, so an image needs nothing of hydraflyte.
    """

    def __init__(self, *, location: str, loader_args: tuple[str, ...], original: TaskResolverMixin) -> None:
        self._location = location
        self._loader_args = loader_args
        self.original = original

    @property
    def location(self) -> str:
        return self._location

    def name(self) -> str:
        return str(self.original.name())

    def load_task(self, loader_args: list[str]) -> Task:
        return self.original.load_task(loader_args=loader_args)

    def loader_args(self, settings: SerializationSettings, t: Task) -> list[str]:
        return list(self._loader_args)

    def get_all_tasks(self) -> list[Task]:
        return list(self.original.get_all_tasks())


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Gives entities their importable names.

    Attributes:
        main: the place of the module that holds the task function.
        main_globals: that module's globals; in this process it may be called ``__main__``.
    """

    main: ModulePlace
    main_globals: Mapping[str, Any]

    def apply(self, entities: Sequence[object]) -> tuple[TaskLoad, ...]:
        """Set the names of ``entities`` (each after what it uses); return how their tasks are loaded.

        Raises:
            DiscoveryError: a task is not bound to a name of its module.
        """
        for entity in entities:
            if isinstance(entity, PythonFunctionWorkflow):
                entity._name = f"{self.module_of(entity.function)}.{_function_name(entity.function)}"
        loads: list[TaskLoad] = []
        for entity in entities:
            if isinstance(entity, (ArrayNodeMapTask, MapPythonTask)):
                inner = entity._run_task if isinstance(entity, MapPythonTask) else entity.python_function_task
                loads.extend(self._name_task(inner))
                self._name_map_task(entity, inner)
            elif isinstance(entity, PythonAutoContainerTask):
                loads.extend(self._name_task(entity))
        for entity in entities:
            if isinstance(entity, LaunchPlan):
                _name_default_launch_plan(entity)
        return tuple(dict.fromkeys(loads))

    def module_of(self, function: object) -> str:
        """Return the importable name of the module that ``function`` says it is from."""
        name = str(getattr(function, "__module__", ""))
        return self.main.name if name == "__main__" else name

    def _name_task(self, task: Any) -> list[TaskLoad]:
        """Set name and resolver of one task; return how it is loaded, nothing if its resolver is the user's own."""
        original = task.task_resolver
        if isinstance(original, ImportableResolver):
            original = original.original
        created_in = self._created_in(task)
        function = getattr(task, "task_function", None)
        if function is not None:
            name = f"{self.module_of(function)}.{_function_name(function)}"
            name = name if created_in in name else f"{created_in}.{name}"
            if isinstance(original, PythonFunctionWorkflow):
                name = f"{original.name}.{type(task).__module__}.{name}"
            task._name = name
            task._instantiated_in = created_in  # flytekit's name property puts it in front unless it is part of it
        if original is default_task_resolver:
            module, variable = self._variable(task, function, created_in)
            location, arguments = _DEFAULT_RESOLVER, ("task-module", module, "task-name", variable)
        elif isinstance(original, PythonFunctionWorkflow):
            module, variable = self._variable(original, original.function, self.module_of(original.function))
            location, arguments = f"{module}.{variable}", tuple(original.loader_args(None, task))
        else:
            return []
        task.set_resolver(ImportableResolver(location=location, loader_args=arguments, original=original))
        return [TaskLoad(task_name=task.name, resolver=location, loader_args=arguments)]

    def _name_map_task(self, task: Any, inner: Any) -> None:
        """Replace the module in ``<module>.map_<function>_<hash>…``."""
        function = getattr(inner, "task_function", None)
        if function is None:
            return
        tail = task.name[task.name.rindex(f".map_{_function_name(function)}_") :]
        task._name = f"{self.module_of(function)}{tail}"
        if isinstance(task, ArrayNodeMapTask):
            task.sub_node_metadata._name = task._name

    def _created_in(self, task: Any) -> str:
        """Return the module at whose top level the task was made, under its importable name."""
        recorded = task.instantiated_in
        file = task._module_file
        if file is None or os.path.realpath(file) == os.path.realpath(self.main.file):
            return self.main.name  # flytekit records a name made of the path from the current directory, or nothing
        return str(recorded)

    def _globals_of(self, module: str) -> list[Mapping[str, Any]]:
        """Return the globals of a module; two for a main module that another module has imported again."""
        imported = module_globals(module)
        return [self.main_globals, imported] if module == self.main.name else [imported]

    def _variable(self, entity: object, function: object, created_in: str) -> tuple[str, str]:
        """Return the module and the name in it that hold ``entity``."""
        candidates = [created_in] if function is None else [self.module_of(function), created_in]
        for module in candidates:
            preferred = _function_name(function) if function is not None else ""
            for namespace in self._globals_of(module):
                if namespace.get(preferred) is entity:
                    return module, preferred
                for variable, value in namespace.items():
                    if value is entity:
                        return module, variable
        name = getattr(entity, "name", repr(entity))
        raise DiscoveryError(
            f"The task {name} is not bound to a name at the top level of {' or '.join(dict.fromkeys(candidates))}, "
            "so no task process could find it.",
            hint="Define it with @task at the top level of a module, under the function's own name.",
        )


def _function_name(function: object) -> str:
    return str(getattr(function, "__name__", "")).rpartition(".")[2]


def _name_default_launch_plan(launch_plan: Any) -> None:
    """Let a workflow's default launch plan follow the workflow's name, also for those who ask flytekit for it."""
    is_default = (
        LaunchPlan.CACHE.get(launch_plan.name) is launch_plan
        and launch_plan.name.rpartition(".")[2] == launch_plan.workflow.name.rpartition(".")[2]
    )
    if is_default and launch_plan.name != launch_plan.workflow.name:
        launch_plan._name = launch_plan.workflow.name
        LaunchPlan.CACHE[launch_plan.name] = launch_plan
