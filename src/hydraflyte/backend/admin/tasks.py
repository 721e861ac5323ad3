"""Tasks: create by the same-version rule, get, list (section 1.5 of Flyte's semantics)."""

from __future__ import annotations

from flyteidl.admin.common_pb2 import (
    NamedEntityIdentifierList,
    NamedEntityIdentifierListRequest,
    ObjectGetRequest,
    ResourceListRequest,
)
from flyteidl.admin.task_pb2 import Task, TaskCreateRequest, TaskCreateResponse, TaskList, TaskSpec
from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.backend.admin import checks, convert, entities
from hydraflyte.backend.admin.digests import digest
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.quantities import check_resources
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.compiler.tasks import compile_task
from hydraflyte.backend.store import registry
from hydraflyte.backend.store.registry import EntityId, EntityKind, TaskRow


class TaskService:
    """Handlers of the task RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock

    async def create(self, request: TaskCreateRequest) -> TaskCreateResponse:
        """CreateTask."""
        entity = checks.entity_id(request.id, EntityKind.TASK)
        compiled = compile_task(_checked_template(entity, request.spec))
        now = self._clock.now()
        row = TaskRow(
            row_id=0,
            id=entity,
            type=compiled.template.type,
            short_description=request.spec.description.short_description,
            digest=digest(compiled),
            closure=compiled.SerializeToString(deterministic=True),
            created_at=now,
        )
        stored = await self._database.read(lambda connection: registry.find_task(connection, entity))
        if stored is None:
            description = entities.described(entity, request.spec.description, now)
            stored = await self._database.write(
                lambda connection: entities.store(
                    connection, entity, lambda inner: registry.insert_task(inner, row), description
                )
            )
        if stored is not None:
            kept = CompiledTask.FromString(stored.closure)
            raise entities.exists(entity, stored.digest == row.digest, kept, compiled)
        return TaskCreateResponse()

    async def get(self, request: ObjectGetRequest) -> Task:
        """GetTask: a missing or other resource type is tolerated."""
        entity = checks.entity_id(request.id, EntityKind.TASK, strict=False)
        row = await self._database.read(lambda connection: registry.find_task(connection, entity))
        if row is None:
            raise Missing(f"missing entity of type TASK with identifier {entity}")
        return convert.task(row)

    async def list(self, request: ResourceListRequest) -> TaskList:
        """ListTasks."""
        selection = entities.list_versions(EntityKind.TASK, request)
        rows = await self._database.read(lambda connection: registry.list_tasks(connection, selection))
        return TaskList(tasks=[convert.task(row) for row in rows], token=entities.token(selection, len(rows)))

    async def list_ids(self, request: NamedEntityIdentifierListRequest) -> NamedEntityIdentifierList:
        """ListTaskIds."""
        return await entities.list_ids(self._database, EntityKind.TASK, request)


def _checked_template(entity: EntityId, spec: TaskSpec) -> TaskTemplate:
    """Return the template with the id of the request, as flyteadmin's task_validator.go would let it pass."""
    template = TaskTemplate()
    template.CopyFrom(spec.template)
    template.id.CopyFrom(entity.to_message())
    checks.required(template.type, "spec.template.type")
    if not template.HasField("metadata"):
        raise InvalidRequest("missing spec.template.metadata")
    if template.metadata.HasField("runtime") and not template.metadata.runtime.version:
        raise InvalidRequest("missing spec.template.metadata.runtime.version")
    if not template.HasField("interface"):
        raise InvalidRequest("missing spec.template.interface")
    if template.WhichOneof("target") == "container":
        _check_container(template)
    if template.WhichOneof("target") == "k8s_pod" and not template.k8s_pod.HasField("pod_spec"):
        raise InvalidRequest("missing spec.template.k8s_pod.pod_spec")
    return template


def _check_container(template: TaskTemplate) -> None:
    container = template.container
    if not container.image:
        raise InvalidRequest("missing spec.template.container.image")
    has_data = template.interface.inputs.variables or template.interface.outputs.variables
    if has_data and not (container.command or container.args):
        raise InvalidRequest("spec.template.container needs a command or args: the task has inputs or outputs")
    check_resources(container.resources)
