"""What tasks, workflows and launch plans have in common: the same-version rule, lists of versions and of names."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from flyteidl.admin.common_pb2 import (
    NamedEntityIdentifier,
    NamedEntityIdentifierList,
    NamedEntityIdentifierListRequest,
    ResourceListRequest,
)
from flyteidl.admin.description_entity_pb2 import DescriptionEntity
from google.protobuf.message import Message

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.digests import differences
from hydraflyte.backend.admin.filters import list_selection, next_token
from hydraflyte.backend.admin.refusals import AlreadyThere, InvalidRequest, Refusal
from hydraflyte.backend.store import registry
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.names import DescriptionRow, put_description
from hydraflyte.backend.store.registry import EntityId, EntityKind
from hydraflyte.backend.store.selection import Selection

Row = TypeVar("Row")

_ENTITIES = {
    EntityKind.TASK: Entity.TASK,
    EntityKind.WORKFLOW: Entity.WORKFLOW,
    EntityKind.LAUNCH_PLAN: Entity.LAUNCH_PLAN,
}


def described(entity: EntityId, description: DescriptionEntity, now: datetime) -> DescriptionRow | None:
    """Return the description as it is stored with a new version, or None if nothing is said."""
    if description.ByteSize() == 0:
        return None
    kept = DescriptionEntity()
    kept.CopyFrom(description)
    kept.id.CopyFrom(entity.to_message())
    return DescriptionRow(
        id=entity,
        short_description=description.short_description,
        description=kept.SerializeToString(deterministic=True),
        created_at=now,
    )


def store(
    connection: sqlite3.Connection,
    entity: EntityId,
    insert: Callable[[sqlite3.Connection], Row | None],
    description: DescriptionRow | None = None,
) -> Row | None:
    """Store a new version and its description. Returns None, or the version that was stored before.

    Raises:
        InvalidRequest: the project or the domain takes no new entities.
    """
    checks.check_writable(connection, entity.project, entity.domain)
    stored = insert(connection)
    if stored is None and description is not None:
        put_description(connection, description)
    return stored


def exists(entity: EntityId, is_same: bool, stored: Message, offered: Message) -> Refusal:
    """Return the refusal of a version that is there: harmless if it has the same content, else with a diff."""
    if is_same:
        return AlreadyThere(f"{entity} exists already, with the same content")
    return InvalidRequest(
        f"{entity} exists already with different content (stored -> offered):\n{differences(stored, offered)}\n"
        "Register the changed content under another version."
    )


def list_versions(kind: EntityKind, request: ResourceListRequest) -> Selection:
    """Return the selection of a request for the versions in a project and domain, or of one name there.

    Raises:
        InvalidRequest: project or domain is missing.
    """
    project, domain, name = checks.place(request.id)
    selection = list_selection(_ENTITIES[kind], request)
    selection = _in_place(selection, kind, project, domain)
    return selection.having(f"{kind.value}.name = ?", name) if name else selection


async def list_ids(
    database: Database, kind: EntityKind, request: NamedEntityIdentifierListRequest
) -> NamedEntityIdentifierList:
    """Answer a request for the names in a project and domain."""
    project, domain = checks.required(request.project, "project"), checks.required(request.domain, "domain")
    selection = list_selection(_ENTITIES[kind], request, default_order=f"{kind.value}.name")
    selection = _in_place(selection, kind, project, domain)
    rows = await database.read(lambda connection: registry.list_names(connection, kind, selection))
    return NamedEntityIdentifierList(
        entities=[NamedEntityIdentifier(project=project, domain=domain, name=name) for _, _, name in rows],
        token=token(selection, len(rows)),
    )


def token(selection: Selection, count: int) -> str:
    """Return the token of the page after one that has ``count`` rows."""
    return next_token(selection.limit, selection.offset, count)


def _in_place(selection: Selection, kind: EntityKind, project: str, domain: str) -> Selection:
    return selection.having(f"{kind.value}.project = ? AND {kind.value}.domain = ?", project, domain)
