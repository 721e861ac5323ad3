"""A registered workflow with other settings for some of its tasks: a version derived from it (docs/decisions/0121).

Flyte v1 has no settings of tasks in an execution, so they are registered: workflows and launch plans anew, with node
overrides; the tasks themselves are shared, but for settings that a node cannot carry. Works on what the backend says is
registered, never on the code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, security_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf.message import Message

from hydraflyte.errors import BackendRefusedError, ConfigError, RegistrationError
from hydraflyte.launcher.task_settings import TaskSettings, settings_text

DERIVED_FROM = "hydraflyte.org/derived-from"
"""Annotation of a derived launch plan: the version that it is derived from."""
TASK_SETTINGS = "hydraflyte.org/task-settings"
"""Annotation of a derived launch plan and of its executions: what differs."""
_LONGEST_BASE = 110
_SYSTEM_NODES = ("start-node", "end-node")
_RESOURCES = {
    "cpu": tasks_pb2.Resources.CPU,
    "mem": tasks_pb2.Resources.MEMORY,
    "gpu": tasks_pb2.Resources.GPU,
    "ephemeral_storage": tasks_pb2.Resources.EPHEMERAL_STORAGE,
}


class Registry(Protocol):
    """Where entities are registered: a ``FlyteClient``, or a package in the making."""

    def fetch(self, identifier: identifier_pb2.Identifier) -> Message | None: ...
    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> object: ...


def is_derived(launch_plan: launch_plan_pb2.LaunchPlan) -> bool:
    """Tell whether a launch plan is one of those that are made here."""
    return DERIVED_FROM in launch_plan.spec.annotations.values


def task_names_of(client: Registry, launch_plan: launch_plan_pb2.LaunchPlan) -> tuple[str, ...]:
    """Return the full names of the tasks that a registered launch plan runs, those of launch plans inside included."""
    names: set[str] = set()
    waiting, seen = [launch_plan], set()
    while waiting:
        plan = waiting.pop()
        seen.add(plan.id.SerializeToString(deterministic=True))
        closure = _closure(client, plan.spec.workflow_id)
        names.update(task.template.id.name for task in closure.tasks)
        for template in _templates(closure):
            for reference in _launch_plans_in(template):
                if reference.SerializeToString(deterministic=True) not in seen:
                    waiting.append(_launch_plan(client, reference))
    return tuple(sorted(names))


def derive(
    client: Registry, base: identifier_pb2.Identifier, settings: Mapping[str, TaskSettings]
) -> identifier_pb2.Identifier:
    """Return the launch plan of the version that is derived from ``base`` by the settings; registers what is missing.

    Args:
        settings: by the full names of the tasks.

    Raises:
        ConfigError: a task is no node of the workflow.
        RegistrationError: the backend refuses what is registered.
    """
    text = settings_text(settings)
    version = f"{base.version[:_LONGEST_BASE]}-set-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    wanted = _with_version(base, version)
    if client.fetch(wanted) is not None:
        return wanted
    derivation = _Derivation(client=client, version=version, settings=settings, text=text)
    try:
        derived = derivation.launch_plan(_launch_plan(client, base), always=True)
    except BackendRefusedError as error:
        raise RegistrationError(
            f"The settings of tasks ({text}) are not accepted: {error.message}", hint=error.hint
        ) from error
    unused = [name for name in settings if name not in derivation.used]
    if unused:
        raise ConfigError(
            f"{', '.join(unused)}: no node of the workflow runs it, so its settings cannot be set from outside.",
            hint="a dynamic or eager task decides about the tasks it calls when it runs: use with_overrides there, "
            "or set the keys of the dynamic task itself.",
        )
    return derived


@dataclass(slots=True, kw_only=True)
class _Derivation:
    """One derived version in the making.

    Attributes:
        used: names of the tasks that a node was found for.
    """

    client: Registry
    version: str
    settings: Mapping[str, TaskSettings]
    text: str
    used: set[str] = field(default_factory=set)
    _done: dict[bytes, identifier_pb2.Identifier] = field(default_factory=dict)

    def launch_plan(self, plan: launch_plan_pb2.LaunchPlan, *, always: bool = False) -> identifier_pb2.Identifier:
        """Return the launch plan to use: derived if its workflow is touched, or else the same."""
        known = self._done.get(_key(plan.id))
        if known is not None:
            return known
        workflow = self._workflow(plan.spec.workflow_id, always=always)
        if workflow == plan.spec.workflow_id:
            self._done[_key(plan.id)] = plan.id
            return plan.id
        spec = launch_plan_pb2.LaunchPlanSpec()
        spec.CopyFrom(plan.spec)
        spec.workflow_id.CopyFrom(workflow)
        spec.annotations.values.update({DERIVED_FROM: plan.id.version, TASK_SETTINGS: self.text})
        derived = _with_version(plan.id, self.version)
        self.client.create(derived, spec)
        self._done[_key(plan.id)] = derived
        return derived

    def _workflow(self, identifier: identifier_pb2.Identifier, *, always: bool) -> identifier_pb2.Identifier:
        closure = _closure(self.client, identifier)
        parts = _Parts(
            tasks={_key(task.template.id): task.template for task in closure.tasks},
            workflows={_key(template.id): template for template in _templates(closure)},
        )
        template, is_touched = self._template(closure.primary.template, parts)
        if not (is_touched or always):
            return identifier
        if always and not self.settings.keys() <= self.used:
            return identifier  # nothing is registered for settings that cannot be met; the caller says so
        subs = [
            parts.derived.get(key, workflow) for key, workflow in parts.workflows.items() if key != _key(identifier)
        ]
        template.id.version = self.version
        spec = workflow_pb2.WorkflowSpec(template=template, sub_workflows=subs)
        self.client.create(template.id, spec)
        return template.id

    def _template(
        self, original: core_workflow_pb2.WorkflowTemplate, parts: _Parts
    ) -> tuple[core_workflow_pb2.WorkflowTemplate, bool]:
        """Return a copy as it can be registered, and whether any of its nodes has changed."""
        template = core_workflow_pb2.WorkflowTemplate()
        template.CopyFrom(original)
        del template.nodes[:]
        is_touched = False
        for node in original.nodes:
            if node.id in _SYSTEM_NODES:  # the compiler has added them
                continue
            copy = template.nodes.add()
            copy.CopyFrom(node)
            is_touched |= self._node(copy, parts)
        if original.HasField("failure_node"):
            is_touched |= self._node(template.failure_node, parts)
        return template, is_touched

    def _node(self, node: core_workflow_pb2.Node, parts: _Parts) -> bool:
        """Change a node in place; returns whether anything has changed."""
        upstream = [name for name in node.upstream_node_ids if name not in _SYSTEM_NODES]
        del node.upstream_node_ids[:]
        node.upstream_node_ids.extend(upstream)
        match node.WhichOneof("target"):
            case "task_node":
                return self._task_node(node, parts)
            case "workflow_node" if node.workflow_node.HasField("launchplan_ref"):
                return _replace(node.workflow_node.launchplan_ref, self._inner_launch_plan(node))
            case "workflow_node":
                return _replace(node.workflow_node.sub_workflow_ref, self._sub_workflow(node, parts))
            case "branch_node":
                touched = [self._node(arm, parts) for arm in _arms(node.branch_node)]
                return any(touched)
            case "array_node":
                return self._node(node.array_node.node, parts)
            case _:
                return False

    def _inner_launch_plan(self, node: core_workflow_pb2.Node) -> identifier_pb2.Identifier:
        return self.launch_plan(_launch_plan(self.client, node.workflow_node.launchplan_ref))

    def _sub_workflow(self, node: core_workflow_pb2.Node, parts: _Parts) -> identifier_pb2.Identifier:
        reference = node.workflow_node.sub_workflow_ref
        key = _key(reference)
        if key not in parts.visited:
            parts.visited.add(key)
            template, is_touched = self._template(parts.workflows[key], parts)
            if is_touched:
                template.id.version = self.version
            parts.derived[key] = template
        return parts.derived[key].id

    def _task_node(self, node: core_workflow_pb2.Node, parts: _Parts) -> bool:
        task = parts.tasks.get(_key(node.task_node.reference_id))
        wanted = self.settings.get(node.task_node.reference_id.name)
        if task is None or wanted is None:
            return False
        self.used.add(task.id.name)
        if _needs_another_task(wanted):
            _replace(node.task_node.reference_id, self._task(task, wanted))
        _override(node, task, wanted)
        return True

    def _task(self, task: tasks_pb2.TaskTemplate, wanted: TaskSettings) -> identifier_pb2.Identifier:
        """Register the task with what no node can carry."""
        template = tasks_pb2.TaskTemplate()
        template.CopyFrom(task)
        template.id.version = self.version
        if _key(template.id) in self._done:
            return template.id
        _set_cache(template, wanted)
        if wanted.retries == 0:
            template.metadata.retries.retries = 0
        for secret in wanted.secrets:
            group, _, key = secret.rpartition("/")
            template.security_context.secrets.append(security_pb2.Secret(group=group, key=key))
        if wanted.env:
            _set_environment(template, wanted.env)
        self.client.create(template.id, task_pb2.TaskSpec(template=template))
        self._done[_key(template.id)] = template.id
        return template.id


@dataclass(slots=True, kw_only=True)
class _Parts:
    """What one workflow's closure holds, by identifier."""

    tasks: Mapping[bytes, tasks_pb2.TaskTemplate]
    workflows: Mapping[bytes, core_workflow_pb2.WorkflowTemplate]
    derived: dict[bytes, core_workflow_pb2.WorkflowTemplate] = field(default_factory=dict)
    visited: set[bytes] = field(default_factory=set)


def _needs_another_task(wanted: TaskSettings) -> bool:
    cache = (wanted.cache, wanted.cache_version, wanted.cache_serialize)
    return bool(wanted.env or wanted.secrets or wanted.retries == 0 or any(value is not None for value in cache))


def _override(node: core_workflow_pb2.Node, task: tasks_pb2.TaskTemplate, wanted: TaskSettings) -> None:
    """Set on the node what Flyte takes from nodes; resources not spoken of stay those of the node, or of the task."""
    overrides = node.task_node.overrides
    requests, limits = wanted.wanted_resources()
    if requests or limits:
        before = overrides.resources if overrides.HasField("resources") else task.container.resources
        resources = tasks_pb2.Resources()
        resources.CopyFrom(before)
        _set_resources(resources.requests, requests)
        _set_resources(resources.limits, limits)
        overrides.resources.CopyFrom(resources)
    if wanted.image is not None:
        overrides.container_image = wanted.image
    if wanted.retries:
        node.metadata.retries.retries = wanted.retries
    elif wanted.retries == 0:
        node.metadata.ClearField("retries")
    timeout = wanted.timeout_value()
    if timeout is not None:
        node.metadata.timeout.FromTimedelta(timeout)
    if wanted.interruptible is not None:
        node.metadata.interruptible = wanted.interruptible


def _set_resources(entries: object, wanted: Mapping[str, str]) -> None:
    kept = [entry for entry in entries if entry.name not in {_RESOURCES[name] for name in wanted}]  # type: ignore[attr-defined]  # protobuf's repeated container
    added = [tasks_pb2.Resources.ResourceEntry(name=_RESOURCES[name], value=value) for name, value in wanted.items()]
    del entries[:]  # type: ignore[attr-defined]  # likewise
    entries.extend([*kept, *added])  # type: ignore[attr-defined]  # likewise


def _set_cache(template: tasks_pb2.TaskTemplate, wanted: TaskSettings) -> None:
    metadata = template.metadata
    if wanted.cache is not None:
        metadata.discoverable = wanted.cache
    if wanted.cache_version is not None:
        metadata.discovery_version = wanted.cache_version
    if wanted.cache_serialize is not None:
        metadata.cache_serializable = wanted.cache_serialize
    if metadata.discoverable and not metadata.discovery_version:
        raise ConfigError(
            f"The task {template.id.name} is to be cached, and has no cache version.",
            hint="set flyte.tasks.<task>.cache_version too, or in its decorator.",
        )


def _set_environment(template: tasks_pb2.TaskTemplate, env: Mapping[str, str]) -> None:
    if not template.HasField("container"):
        raise ConfigError(
            f"The task {template.id.name} runs in no container of its own, so it has no environment to set.",
            hint="leave out flyte.tasks.<task>.env; a pod's variables are part of its pod template.",
        )
    kept = [pair for pair in template.container.env if pair.key not in env]
    del template.container.env[:]
    template.container.env.extend(kept)
    for key, value in env.items():
        template.container.env.add(key=key, value=value)


def _arms(branch: core_workflow_pb2.BranchNode) -> Iterator[core_workflow_pb2.Node]:
    yield branch.if_else.case.then_node
    for case in branch.if_else.other:
        yield case.then_node
    if branch.if_else.HasField("else_node"):
        yield branch.if_else.else_node


def _launch_plans_in(template: core_workflow_pb2.WorkflowTemplate) -> Iterator[identifier_pb2.Identifier]:
    waiting = [*template.nodes, template.failure_node]
    while waiting:
        node = waiting.pop()
        match node.WhichOneof("target"):
            case "workflow_node" if node.workflow_node.HasField("launchplan_ref"):
                yield node.workflow_node.launchplan_ref
            case "branch_node":
                waiting.extend(_arms(node.branch_node))
            case "array_node":
                waiting.append(node.array_node.node)


def _templates(closure: compiler_pb2.CompiledWorkflowClosure) -> list[core_workflow_pb2.WorkflowTemplate]:
    return [closure.primary.template, *(sub.template for sub in closure.sub_workflows)]


def _closure(client: Registry, identifier: identifier_pb2.Identifier) -> compiler_pb2.CompiledWorkflowClosure:
    found = client.fetch(identifier)
    assert isinstance(found, workflow_pb2.Workflow), "a launch plan is registered after its workflow"
    return found.closure.compiled_workflow


def _launch_plan(client: Registry, identifier: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan:
    found = client.fetch(identifier)
    assert isinstance(found, launch_plan_pb2.LaunchPlan), "a workflow is registered after the launch plans in it"
    return found


def _with_version(identifier: identifier_pb2.Identifier, version: str) -> identifier_pb2.Identifier:
    other = identifier_pb2.Identifier()
    other.CopyFrom(identifier)
    other.version = version
    return other


def _replace(reference: identifier_pb2.Identifier, by: identifier_pb2.Identifier) -> bool:
    """Let a reference point elsewhere; returns whether it did not before."""
    if reference == by:
        return False
    other = identifier_pb2.Identifier()
    other.CopyFrom(by)
    reference.CopyFrom(other)
    return True


def _key(identifier: identifier_pb2.Identifier) -> bytes:
    return identifier.SerializeToString(deterministic=True)
