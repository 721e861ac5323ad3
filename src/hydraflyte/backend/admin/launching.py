"""From a request to a new execution: what is to run, with which inputs and settings (section 1.8).

The one rule: nothing is stored before everything is checked, so a refused request can be sent again, as
flytekit does three times, without leaving anything behind.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flyteidl.admin.common_pb2 import Labels
from flyteidl.admin.execution_pb2 import ExecutionMetadata, ExecutionSpec, SystemMetadata
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.matchable_resource_pb2 import (
    MatchableResource,
    MatchingAttributes,
    TaskResourceAttributes,
    WorkflowExecutionConfig,
)
from flyteidl.core.identifier_pb2 import ResourceType
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.notifications import check_notifications
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.plan_inputs import merged_inputs
from hydraflyte.backend.admin.refusals import AlreadyThere, InvalidRequest, missing_execution
from hydraflyte.backend.admin.settings import Settings, resolve
from hydraflyte.backend.admin.targets import Target, find_target, make_up_workflow
from hydraflyte.backend.engine.state import ExecutionPlan, RecoveredNode
from hydraflyte.backend.ports import ExecutionExistsError, NewExecution, TooManyOpenError
from hydraflyte.backend.store import listing, names
from hydraflyte.backend.store.names import AttributesRow
from hydraflyte.backend.store.recovering import find_recovered
from hydraflyte.backend.store.registry import EntityId, EntityKind
from hydraflyte.identifiers import ExecutionId, NodeId
from hydraflyte.labels import OVERRIDES

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_MAX_NAME_LENGTH = 63
_CLUSTER = "embedded"
_EAGER_LABEL = "eager-exec"  # flytekit's EAGER_TAG_KEY: the name of the execution that the eager task belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A wish for an execution, as a request states it. An empty name asks for a generated one."""

    project: str
    domain: str
    name: str
    spec: ExecutionSpec
    inputs: LiteralMap


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What the store says about an order."""

    target: Target
    project_labels: Labels
    configs: tuple[WorkflowExecutionConfig, ...]
    task_resources: TaskResourceAttributes
    nesting: int


class Launcher:
    """Turns orders into executions."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._parts = parts

    async def launch(self, order: Order) -> ExecutionId:
        """Check the order and begin the execution; returns once it is durable.

        Raises:
            Refusal: the order does not fit what is stored, or the name is taken.
        """
        execution = self._name(order)
        entity = _launched_entity(order.spec)
        if order.spec.max_parallelism < 0:
            raise InvalidRequest("max_parallelism must not be negative")
        check_notifications(order.spec.notifications.notifications)
        context = await self._context(order, entity)
        target = context.target
        inputs = merged_inputs(target.expected_inputs, target.spec.fixed_inputs, order.inputs)
        settings = resolve(order.spec, target.spec, context.configs, context.task_resources)
        plan = await self._recovering(order, self._plan(execution, order, target, inputs, settings))
        new = NewExecution(
            plan=plan,
            spec=self._spec(order, context, settings),
            user_inputs=order.inputs,
            launch_plan=entity.to_message(),
            workflow=target.workflow.to_message(),
            tags=tuple(_tags(order.spec, settings)),
            most_open=target.spec.concurrency_policy.max,
        )
        try:
            # A client that gives up meanwhile must not leave an execution that is stored but not driven.
            await asyncio.shield(self._parts.control.create(new))
        except ExecutionExistsError:
            raise AlreadyThere(f"execution {execution} exists already") from None
        except TooManyOpenError as error:
            raise AlreadyThere(str(error)) from None
        return execution

    def _name(self, order: Order) -> ExecutionId:
        name = order.name or self._parts.new_name()
        if len(name) > _MAX_NAME_LENGTH or not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"execution name {name[:80]!r} must begin with a lower-case letter, consist of lower-case letters,"
                f" digits and '-', and have at most {_MAX_NAME_LENGTH} characters"
            )
        project, domain = checks.required(order.project, "project"), checks.required(order.domain, "domain")
        return ExecutionId(project=project, domain=domain, name=name)

    async def _context(self, order: Order, entity: EntityId) -> _Context:
        context = await self._parts.database.read(lambda connection: _read_context(connection, order, entity))
        if context is not None:
            return context
        await make_up_workflow(self._parts, entity)
        context = await self._parts.database.read(lambda connection: _read_context(connection, order, entity))
        assert context is not None, f"the workflow of {entity} was stored just now"
        return context

    def _plan(
        self, execution: ExecutionId, order: Order, target: Target, inputs: LiteralMap, settings: Settings
    ) -> ExecutionPlan:
        blobs = self._parts.blobs
        folder = f"{execution.project}-{execution.domain}-{execution.name}"
        return ExecutionPlan(
            execution_id=execution,
            workflow=target.closure,
            inputs=inputs,
            metadata_prefix=str(blobs.metadata_root / "propeller" / folder),
            raw_output_prefix=settings.raw_output_prefix or str(blobs.raw_root),
            max_parallelism=settings.max_parallelism,
            interruptible=settings.interruptible,
            overwrite_cache=settings.overwrite_cache,
            envs={pair.key: pair.value for pair in settings.envs.values},
            resource_defaults=settings.resource_defaults,
            resource_limits=settings.resource_limits,
            eager_parent=_eager_parent(order, settings),
        )

    async def _recovering(self, order: Order, plan: ExecutionPlan) -> ExecutionPlan:
        """Return the plan with what the execution takes over, if it is to recover another one."""
        metadata = order.spec.metadata
        if metadata.mode != ExecutionMetadata.RECOVERED or not metadata.HasField("reference_execution"):
            return plan
        original = checks.execution_id(metadata.reference_execution)

        def read(connection: sqlite3.Connection) -> Mapping[NodeId, RecoveredNode]:
            if listing.find_execution(connection, original) is None:
                raise missing_execution(original)
            return find_recovered(connection, self._parts.blobs, original)

        return replace(plan, recovers=original, recovered=await self._parts.database.read(read))

    def _spec(self, order: Order, context: _Context, settings: Settings) -> ExecutionSpec:
        """Return the spec as it is stored and shown: what was asked for, with what was resolved."""
        spec = ExecutionSpec()
        spec.CopyFrom(order.spec)
        spec.metadata.principal = self._parts.principal
        spec.metadata.nesting = context.nesting
        namespace = f"{order.project}-{order.domain}"
        spec.metadata.system_metadata.CopyFrom(SystemMetadata(execution_cluster=_CLUSTER, namespace=namespace))
        spec.security_context.CopyFrom(settings.security_context)
        spec.max_parallelism = settings.max_parallelism
        spec.overwrite_cache = settings.overwrite_cache
        spec.labels.CopyFrom(settings.labels)
        for key, value in context.project_labels.values.items():
            if key not in spec.labels.values:
                spec.labels.values[key] = value
        spec.annotations.CopyFrom(settings.annotations)
        spec.envs.CopyFrom(settings.envs)
        spec.raw_output_data_config.output_location_prefix = settings.raw_output_prefix
        if settings.interruptible is not None:
            spec.interruptible.value = settings.interruptible
        _resolve_notifications(spec, context.target.spec)
        return spec


def _eager_parent(order: Order, settings: Settings) -> ExecutionId | None:
    """Return the execution whose eager task waits; nobody waits for what is run again, though it has the label."""
    name = settings.labels.values.get(_EAGER_LABEL, "")
    if not name or order.spec.metadata.HasField("reference_execution"):
        return None
    return ExecutionId(project=order.project, domain=order.domain, name=name)


def _launched_entity(spec: ExecutionSpec) -> EntityId:
    is_task = spec.launch_plan.resource_type == ResourceType.TASK
    return checks.entity_id(spec.launch_plan, EntityKind.TASK if is_task else EntityKind.LAUNCH_PLAN)


def _read_context(connection: sqlite3.Connection, order: Order, entity: EntityId) -> _Context | None:
    """Return what the order needs; None if the workflow around a single task is still to be made up."""
    checks.check_writable(connection, order.project, order.domain)
    target = find_target(connection, entity)
    if target is None:
        return None
    _check_concurrency(connection, entity, target.spec)
    project = names.find_project(connection, order.project)
    config = MatchableResource.WORKFLOW_EXECUTION_CONFIG
    return _Context(
        target=target,
        project_labels=Labels.FromString(project.labels) if project else Labels(),
        configs=tuple(
            each.workflow_execution_config for each in _attributes(connection, order, target.workflow.name, config)
        ),
        task_resources=_task_resources(connection, order, target.workflow.name),
        nesting=_nesting(connection, order.spec),
    )


def _task_resources(connection: sqlite3.Connection, order: Order, workflow: str) -> TaskResourceAttributes:
    """Return the most specific defaults and limits; flyteadmin merges no levels here."""
    found = _attributes(connection, order, workflow, MatchableResource.TASK_RESOURCE)
    return found[0].task_resource_attributes if found else TaskResourceAttributes()


def _attributes(connection: sqlite3.Connection, order: Order, workflow: str, kind: int) -> list[MatchingAttributes]:
    """Return what was set for this kind, the most specific first."""
    asked = AttributesRow(
        project=order.project, domain=order.domain, workflow=workflow, resource_type=kind, attributes=b""
    )
    rows = names.matching_attributes(connection, asked)
    return [MatchingAttributes.FromString(row.attributes) for row in rows]


def _check_concurrency(connection: sqlite3.Connection, entity: EntityId, spec: LaunchPlanSpec) -> None:
    most = spec.concurrency_policy.max
    if most <= 0:
        return
    running = listing.count_open_executions(connection, entity.project, entity.domain, entity.name)
    if running >= most:
        raise AlreadyThere(f"{entity} allows {most} executions at a time, and {running} have not ended")


def _nesting(connection: sqlite3.Connection, spec: ExecutionSpec) -> int:
    if not spec.metadata.HasField("parent_node_execution"):
        return spec.metadata.nesting
    parent = checks.execution_id(spec.metadata.parent_node_execution.execution_id)
    row = listing.find_execution(connection, parent)
    if row is None and spec.metadata.HasField("reference_execution"):  # run again after its parent was removed
        return spec.metadata.nesting
    if row is None:
        raise InvalidRequest(f"parent execution {parent} does not exist")
    return ExecutionSpec.FromString(row.spec).metadata.nesting + 1


def _resolve_notifications(spec: ExecutionSpec, launch_plan: LaunchPlanSpec) -> None:
    """A non-empty list in the request wins; else none if disabled; else the launch plan's."""
    if spec.notifications.notifications or spec.disable_all:
        return
    planned = launch_plan.entity_metadata.notifications
    if planned:
        spec.notifications.notifications.extend(planned)


def _tags(spec: ExecutionSpec, settings: Settings) -> Iterable[tuple[str, str]]:
    """Labels and tags; for single tasks too, or the clean-up of eager tasks never finds their children.

    A job's overrides too, to be searched by; they are an annotation, as they are no value that a label may have.
    """
    yield from sorted(settings.labels.values.items())
    yield from ((tag, "") for tag in spec.tags)
    overrides = settings.annotations.values.get(OVERRIDES, "")
    if overrides:
        yield OVERRIDES, overrides
