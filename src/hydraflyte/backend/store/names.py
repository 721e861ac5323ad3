"""What is kept about names rather than versions: projects, named entities, descriptions, matchable attributes.

Functions take a connection, so that callers group them into one read or one transaction. Knows nothing of
requests or answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hydraflyte.backend.store.registry import EntityId, EntityKind
from hydraflyte.backend.store.selection import Selection, SqlValue
from hydraflyte.backend.store.timestamps import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """A project. ``labels`` is a serialised ``flyteidl.admin.Labels``; ``state`` its ProjectState."""

    identifier: str
    name: str
    description: str
    labels: bytes
    state: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEntityRow:
    """A name under which versions exist, and what people said about it."""

    resource_type: int
    project: str
    domain: str
    name: str
    description: str
    state: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesRow:
    """Matchable attributes of a project (empty domain), a domain (empty workflow) or a workflow."""

    project: str
    domain: str
    workflow: str
    resource_type: int
    attributes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionRow:
    """A stored DescriptionEntity, serialised, and the version it belongs to."""

    id: EntityId
    short_description: str
    description: bytes
    created_at: datetime


def find_project(connection: sqlite3.Connection, identifier: str) -> ProjectRow | None:
    """Return the project, or None."""
    row = connection.execute("SELECT * FROM projects WHERE identifier = ?", (identifier,)).fetchone()
    return None if row is None else _project(row)


def list_projects(connection: sqlite3.Connection, selection: Selection) -> list[ProjectRow]:
    """Return the selected projects."""
    statement = selection.statement("SELECT projects.* FROM projects")
    return [_project(row) for row in connection.execute(statement, selection.parameters)]


def insert_project(connection: sqlite3.Connection, project: ProjectRow, now: datetime) -> bool:
    """Store a new project. Returns False, changing nothing, if its identifier is taken."""
    at = to_text(now)
    cursor = connection.execute(
        "INSERT OR IGNORE INTO projects (identifier, name, description, labels, state, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (project.identifier, project.name, project.description, project.labels, project.state, at, at),
    )
    return cursor.rowcount == 1


def update_project(connection: sqlite3.Connection, project: ProjectRow, now: datetime) -> None:
    """Replace everything but the identifier."""
    connection.execute(
        "UPDATE projects SET name = ?, description = ?, labels = ?, state = ?, updated_at = ? WHERE identifier = ?",
        (project.name, project.description, project.labels, project.state, to_text(now), project.identifier),
    )


def list_named_entities(connection: sqlite3.Connection, selection: Selection) -> list[NamedEntityRow]:
    """Return the selected names."""
    statement = selection.statement("SELECT named_entities.* FROM named_entities")
    return [_named_entity(row) for row in connection.execute(statement, selection.parameters)]


def find_named_entity(
    connection: sqlite3.Connection, resource_type: int, project: str, domain: str, name: str
) -> NamedEntityRow | None:
    """Return what is known about the name, or None if no version of it exists."""
    row = connection.execute(
        "SELECT * FROM named_entities WHERE resource_type = ? AND project = ? AND domain = ? AND name = ?",
        (resource_type, project, domain, name),
    ).fetchone()
    return None if row is None else _named_entity(row)


def update_named_entity(connection: sqlite3.Connection, entity: NamedEntityRow, now: datetime) -> bool:
    """Replace description and state. Returns False if no version of the name exists."""
    cursor = connection.execute(
        "UPDATE named_entities SET description = ?, state = ?, updated_at = ?"
        " WHERE resource_type = ? AND project = ? AND domain = ? AND name = ?",
        (
            entity.description,
            entity.state,
            to_text(now),
            entity.resource_type,
            entity.project,
            entity.domain,
            entity.name,
        ),
    )
    return cursor.rowcount == 1


def put_description(connection: sqlite3.Connection, row: DescriptionRow) -> None:
    """Store the description of a version; the first one stays."""
    at = to_text(row.created_at)
    connection.execute(
        "INSERT OR IGNORE INTO description_entities (resource_type, project, domain, name, version,"
        " short_description, description, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*_keys(row.id), row.short_description, row.description, at, at),
    )


def find_description(connection: sqlite3.Connection, entity: EntityId) -> DescriptionRow | None:
    """Return the description of this version, or None."""
    row = connection.execute(
        "SELECT * FROM description_entities"
        " WHERE resource_type = ? AND project = ? AND domain = ? AND name = ? AND version = ?",
        _keys(entity),
    ).fetchone()
    return None if row is None else _description(row)


def list_descriptions(connection: sqlite3.Connection, selection: Selection) -> list[DescriptionRow]:
    """Return the selected descriptions."""
    statement = selection.statement("SELECT description_entities.* FROM description_entities")
    return [_description(row) for row in connection.execute(statement, selection.parameters)]


def put_attributes(connection: sqlite3.Connection, row: AttributesRow, now: datetime) -> None:
    """Store attributes in place of those of the same level and kind."""
    at = to_text(now)
    connection.execute(
        "INSERT INTO matchable_attributes (project, domain, workflow, resource_type, attributes, created_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, domain, workflow, launch_plan, resource_type)"
        " DO UPDATE SET attributes = excluded.attributes, updated_at = excluded.updated_at",
        (row.project, row.domain, row.workflow, row.resource_type, row.attributes, at, at),
    )


def delete_attributes(connection: sqlite3.Connection, row: AttributesRow) -> bool:
    """Remove the attributes of this level and kind. Returns False if there were none."""
    cursor = connection.execute(
        "DELETE FROM matchable_attributes WHERE project = ? AND domain = ? AND workflow = ? AND resource_type = ?",
        (row.project, row.domain, row.workflow, row.resource_type),
    )
    return cursor.rowcount == 1


def matching_attributes(connection: sqlite3.Connection, asked: AttributesRow) -> list[AttributesRow]:
    """Return what applies to the place that ``asked`` names, the most specific first."""
    rows = connection.execute(
        "SELECT * FROM matchable_attributes WHERE resource_type = ? AND project = ? AND domain IN ('', ?)"
        " AND workflow IN ('', ?) ORDER BY workflow != '' DESC, domain != '' DESC",
        (asked.resource_type, asked.project, asked.domain, asked.workflow),
    )
    return [_attributes(row) for row in rows]


def list_attributes(connection: sqlite3.Connection, resource_type: int) -> list[AttributesRow]:
    """Return the attributes of this kind, of every project."""
    rows = connection.execute(
        "SELECT * FROM matchable_attributes WHERE resource_type = ? ORDER BY project, domain, workflow",
        (resource_type,),
    )
    return [_attributes(row) for row in rows]


def _keys(entity: EntityId) -> tuple[SqlValue, ...]:
    return (entity.kind.resource_type, entity.project, entity.domain, entity.name, entity.version)


def _project(row: sqlite3.Row) -> ProjectRow:
    return ProjectRow(**_pick(row, "identifier", "name", "description", "labels", "state"))


def _named_entity(row: sqlite3.Row) -> NamedEntityRow:
    return NamedEntityRow(**_pick(row, "resource_type", "project", "domain", "name", "description", "state"))


def _attributes(row: sqlite3.Row) -> AttributesRow:
    return AttributesRow(**_pick(row, "project", "domain", "workflow", "resource_type", "attributes"))


def _description(row: sqlite3.Row) -> DescriptionRow:
    kind = next(kind for kind in EntityKind if kind.resource_type == row["resource_type"])
    entity = EntityId(kind=kind, project=row["project"], domain=row["domain"], name=row["name"], version=row["version"])
    return DescriptionRow(
        id=entity,
        short_description=row["short_description"],
        description=row["description"],
        created_at=from_text(row["created_at"]),
    )


def _pick(
    row: sqlite3.Row, *names: str
) -> Mapping[str, Any]:  # whatever SQLite holds; the columns are NOT NULL and typed
    return {name: row[name] for name in names}
