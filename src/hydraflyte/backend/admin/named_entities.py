"""Named entities and descriptions: what people say about a name or a version (section 1.7)."""

from __future__ import annotations

from flyteidl.admin.common_pb2 import (
    NamedEntity,
    NamedEntityGetRequest,
    NamedEntityList,
    NamedEntityListRequest,
    NamedEntityState,
    NamedEntityUpdateRequest,
    NamedEntityUpdateResponse,
    ObjectGetRequest,
)
from flyteidl.admin.description_entity_pb2 import (
    DescriptionEntity,
    DescriptionEntityList,
    DescriptionEntityListRequest,
)
from flyteidl.core.identifier_pb2 import ResourceType

from hydraflyte.backend.admin import checks, convert
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection, next_token
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.admin.single_task import GENERATED_PREFIX
from hydraflyte.backend.store import names
from hydraflyte.backend.store.names import NamedEntityRow
from hydraflyte.backend.store.registry import EntityId, EntityKind


class NamedEntityService:
    """Handlers of the named entity and description RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock

    async def get(self, request: NamedEntityGetRequest) -> NamedEntity:
        """GetNamedEntity."""
        kind = _kind(request.resource_type)
        project, domain, name = checks.place(request.id, with_name=True)
        row = await self._database.read(
            lambda connection: names.find_named_entity(connection, kind.resource_type, project, domain, name)
        )
        if row is None:
            raise Missing(f"missing named entity of type {kind.name} with id {project}:{domain}:{name}")
        return convert.named_entity(row)

    async def list(self, request: NamedEntityListRequest) -> NamedEntityList:
        """ListNamedEntities: names made up by the system only when a filter asks for something."""
        kind = _kind(request.resource_type)
        project, domain = checks.required(request.project, "project"), checks.required(request.domain, "domain")
        selection = list_selection(Entity.NAMED_ENTITY, request, default_order="named_entities.name")
        selection = selection.having(
            "named_entities.resource_type = ? AND named_entities.project = ? AND named_entities.domain = ?",
            kind.resource_type,
            project,
            domain,
        )
        if not request.filters:
            selection = selection.having("instr(named_entities.name, ?) != 1", GENERATED_PREFIX)
        rows = await self._database.read(lambda connection: names.list_named_entities(connection, selection))
        return NamedEntityList(
            entities=[convert.named_entity(row) for row in rows],
            token=next_token(selection.limit, selection.offset, len(rows)),
        )

    async def update(self, request: NamedEntityUpdateRequest) -> NamedEntityUpdateResponse:
        """UpdateNamedEntity: description and state."""
        kind = _kind(request.resource_type)
        project, domain, name = checks.place(request.id, with_name=True)
        if request.metadata.state not in NamedEntityState.values():
            raise InvalidRequest(f"state {request.metadata.state} is unknown")
        row = NamedEntityRow(
            resource_type=kind.resource_type,
            project=project,
            domain=domain,
            name=name,
            description=request.metadata.description,
            state=request.metadata.state,
        )
        now = self._clock.now()
        if not await self._database.write(lambda connection: names.update_named_entity(connection, row, now)):
            raise Missing(f"missing named entity of type {kind.name} with id {project}:{domain}:{name}")
        return NamedEntityUpdateResponse()

    async def get_description(self, request: ObjectGetRequest) -> DescriptionEntity:
        """GetDescriptionEntity: what was said when this version was registered."""
        kind = _kind(request.id.resource_type)
        entity: EntityId = checks.entity_id(request.id, kind)
        row = await self._database.read(lambda connection: names.find_description(connection, entity))
        if row is None:
            raise Missing(f"{entity} has no description")
        return DescriptionEntity.FromString(row.description)

    async def list_descriptions(self, request: DescriptionEntityListRequest) -> DescriptionEntityList:
        """ListDescriptionEntities: those of one name."""
        kind = _kind(request.resource_type)
        project, domain, name = checks.place(request.id, with_name=True)
        selection = list_selection(Entity.DESCRIPTION, request)
        selection = selection.having(
            "description_entities.resource_type = ? AND description_entities.project = ?"
            " AND description_entities.domain = ? AND description_entities.name = ?",
            kind.resource_type,
            project,
            domain,
            name,
        )
        rows = await self._database.read(lambda connection: names.list_descriptions(connection, selection))
        return DescriptionEntityList(
            descriptionEntities=[DescriptionEntity.FromString(row.description) for row in rows],
            token=next_token(selection.limit, selection.offset, len(rows)),
        )


def _kind(resource_type: int) -> EntityKind:
    for kind in EntityKind:
        if kind.resource_type == resource_type:
            return kind
    known = resource_type in ResourceType.values()
    text = ResourceType.Name(resource_type) if known else str(resource_type)
    raise InvalidRequest(f"resource type {text} has no names; tasks, workflows and launch plans do")
