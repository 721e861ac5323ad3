"""Settings of tasks in a package: what a launch registers as a derived version, a package has as its defaults.

One rule: the entities keep their names and their holes, so that a delivery registers them as one version. What changes
in them is decided in ``derived`` alone. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf.message import Message

from hydraflyte.launcher.artifacts.templates import identifiers_in
from hydraflyte.launcher.derived import TASK_SETTINGS, derive
from hydraflyte.launcher.register import SerializedEntity
from hydraflyte.launcher.task_settings import TaskSettings, settings_text


def with_task_settings(
    entities: Sequence[SerializedEntity], settings: Mapping[str, TaskSettings]
) -> tuple[SerializedEntity, ...]:
    """Return the entities with the settings in them.

    Args:
        entities: with holes; the main launch plan is the last.
        settings: by the full names of the tasks.

    Raises:
        ConfigError: a task is no node of the workflow.
    """
    if not settings:
        return tuple(entities)
    shelf = _Shelf(entities={_key(each.identifier): each.spec for each in entities})
    mark = derive(shelf, entities[-1].identifier, settings).version
    changed = [replace(each, spec=shelf.settled(each.spec, mark)) for each in entities]
    main = changed[-1].spec
    assert isinstance(main, launch_plan_pb2.LaunchPlanSpec), "serialize() puts the main launch plan last"
    main.annotations.values[TASK_SETTINGS] = settings_text(settings)
    return tuple(changed)


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """A backend that has the entities of a package alone; those it lacks are registered elsewhere, and not changed."""

    entities: Mapping[bytes, Message]
    _tasks: dict[str, tasks_pb2.TaskTemplate] = field(default_factory=dict)
    _workflows: dict[str, core_workflow_pb2.WorkflowTemplate] = field(default_factory=dict)

    def fetch(self, identifier: identifier_pb2.Identifier) -> Message | None:
        spec = self.entities.get(_key(identifier))
        if identifier.resource_type == identifier_pb2.LAUNCH_PLAN:
            if spec is None and not identifier.project:
                return None  # the derived one, which is to be made
            own = spec if isinstance(spec, launch_plan_pb2.LaunchPlanSpec) else None
            return launch_plan_pb2.LaunchPlan(id=identifier, spec=own)
        workflow = workflow_pb2.Workflow(id=identifier)
        if isinstance(spec, workflow_pb2.WorkflowSpec):
            closure = workflow.closure.compiled_workflow
            closure.primary.template.CopyFrom(spec.template)
            for sub_workflow in spec.sub_workflows:
                closure.sub_workflows.add().template.CopyFrom(sub_workflow)
            for task in self.entities.values():
                if isinstance(task, task_pb2.TaskSpec):
                    closure.tasks.add().template.CopyFrom(task.template)
        return workflow

    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> None:
        if isinstance(spec, task_pb2.TaskSpec):
            self._tasks[identifier.name] = spec.template
        elif isinstance(spec, workflow_pb2.WorkflowSpec):
            for template in (*spec.sub_workflows, spec.template):
                self._workflows[template.id.name] = template

    def settled(self, spec: Message, mark: str) -> Message:
        """Return a copy of an entity with the settings.

        Args:
            mark: the version of what has been derived, which becomes a hole again.
        """
        settled = type(spec)()
        settled.CopyFrom(spec)
        if isinstance(settled, task_pb2.TaskSpec) and settled.template.id.name in self._tasks:
            settled.template.CopyFrom(self._tasks[settled.template.id.name])
        elif isinstance(settled, workflow_pb2.WorkflowSpec):
            for template in (*settled.sub_workflows, settled.template):
                if template.id.name in self._workflows:
                    template.CopyFrom(self._workflows[template.id.name])
        for identifier in identifiers_in(settled):
            if identifier.version == mark:
                identifier.version = ""
        return settled


def _key(identifier: identifier_pb2.Identifier) -> bytes:
    return identifier.SerializeToString(deterministic=True)
