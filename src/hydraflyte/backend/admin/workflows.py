"""Workflows: compile, create by the same-version rule, get, list (sections 1.5 and 2 of Flyte's semantics)."""

from __future__ import annotations

from datetime import datetime

from flyteidl.admin.common_pb2 import (
    NamedEntityIdentifierList,
    NamedEntityIdentifierListRequest,
    ObjectGetRequest,
    ResourceListRequest,
)
from flyteidl.admin.workflow_pb2 import (
    CreateWorkflowFailureReason,
    Workflow,
    WorkflowCreateRequest,
    WorkflowCreateResponse,
    WorkflowErrorExistsDifferentStructure,
    WorkflowErrorExistsIdenticalStructure,
    WorkflowList,
    WorkflowSpec,
)
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.admin import checks, compiling, convert, entities
from hydraflyte.backend.admin.digests import digest
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.references import referenced
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.admin.sub_workflows import with_registered
from hydraflyte.backend.store import registry
from hydraflyte.backend.store.registry import EntityId, EntityKind, WorkflowRow


class WorkflowService:
    """Handlers of the workflow RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock

    async def create(self, request: WorkflowCreateRequest) -> WorkflowCreateResponse:
        """CreateWorkflow."""
        entity = checks.entity_id(request.id, EntityKind.WORKFLOW)
        template = _checked_template(entity, request.spec)
        sub_workflows = await self._database.read(
            lambda connection: with_registered(connection, template, request.spec.sub_workflows)
        )
        needed = referenced([template, *sub_workflows])
        found = await self._database.read(lambda connection: compiling.fetch(connection, needed))
        closure = compiling.compile_closure(template, sub_workflows, found)
        row = self._row(entity, request.spec, closure)
        stored = await self._database.read(lambda connection: registry.find_workflow(connection, entity))
        if stored is None:
            description = entities.described(entity, request.spec.description, row.created_at)
            stored = await self._database.write(
                lambda connection: entities.store(
                    connection, entity, lambda inner: registry.insert_workflow(inner, row), description
                )
            )
        if stored is not None:
            is_same = stored.digest == row.digest
            refusal = entities.exists(entity, is_same, CompiledWorkflowClosure.FromString(stored.closure), closure)
            refusal.detail = _reason(entity, is_same)
            raise refusal
        return WorkflowCreateResponse()

    async def get(self, request: ObjectGetRequest) -> Workflow:
        """GetWorkflow: the whole compiled closure."""
        entity = checks.implied_entity_id(request.id, EntityKind.WORKFLOW)
        row = await self._database.read(lambda connection: registry.find_workflow(connection, entity))
        if row is None:
            raise Missing(f"missing entity of type WORKFLOW with identifier {entity}")
        return convert.workflow(row)

    async def list(self, request: ResourceListRequest) -> WorkflowList:
        """ListWorkflows: interfaces only, no nodes."""
        selection = entities.list_versions(EntityKind.WORKFLOW, request)
        rows = await self._database.read(lambda connection: registry.list_workflows(connection, selection))
        return WorkflowList(
            workflows=[convert.workflow_head(row) for row in rows], token=entities.token(selection, len(rows))
        )

    async def list_ids(self, request: NamedEntityIdentifierListRequest) -> NamedEntityIdentifierList:
        """ListWorkflowIds."""
        return await entities.list_ids(self._database, EntityKind.WORKFLOW, request)

    def _row(self, entity: EntityId, spec: WorkflowSpec, closure: CompiledWorkflowClosure) -> WorkflowRow:
        return workflow_row(
            entity, closure, now=self._clock.now(), short_description=spec.description.short_description
        )


def workflow_row(
    entity: EntityId, closure: CompiledWorkflowClosure, *, now: datetime, short_description: str = ""
) -> WorkflowRow:
    """Return the row of a new workflow."""
    return WorkflowRow(
        row_id=0,
        id=entity,
        short_description=short_description,
        digest=digest(closure),
        interface=closure.primary.template.interface.SerializeToString(deterministic=True),
        closure=closure.SerializeToString(deterministic=True),
        created_at=now,
    )


def _checked_template(entity: EntityId, spec: WorkflowSpec) -> WorkflowTemplate:
    """Return the template with the id of the request."""
    if not spec.HasField("template"):
        raise InvalidRequest("missing spec.template")
    template = WorkflowTemplate()
    template.CopyFrom(spec.template)
    template.id.CopyFrom(entity.to_message())
    return template


def _reason(entity: EntityId, is_same: bool) -> CreateWorkflowFailureReason:
    if is_same:
        identical = WorkflowErrorExistsIdenticalStructure(id=entity.to_message())
        return CreateWorkflowFailureReason(exists_identical_structure=identical)
    different = WorkflowErrorExistsDifferentStructure(id=entity.to_message())
    return CreateWorkflowFailureReason(exists_different_structure=different)
