"""Checks that many requests share: identifiers, names, and that a project and a domain may be written to.

Each returns the value in our own types or raises InvalidRequest with the field's name.
"""

from __future__ import annotations

import sqlite3

from flyteidl.admin.common_pb2 import NamedEntityIdentifier
from flyteidl.admin.project_pb2 import InactiveProject, Project
from flyteidl.core.identifier_pb2 import (
    Identifier,
    NodeExecutionIdentifier,
    ResourceType,
    WorkflowExecutionIdentifier,
)

from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.backend.store.names import find_project
from hydraflyte.backend.store.registry import EntityId, EntityKind
from hydraflyte.identifiers import ExecutionId

DOMAINS = ("development", "staging", "production")
"""Every project has these domains, as in Flyte's default configuration."""

MAX_NAME_LENGTH = 255
"""Length of flyteadmin's columns; longer names would not be accepted by a real control plane."""


def required(text: str, field: str) -> str:
    """Return the text.

    Raises:
        InvalidRequest: it is empty, longer than a name may be, or contains control characters.
    """
    if not text:
        raise InvalidRequest(f"missing {field}")
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidRequest(f"{field} is longer than {MAX_NAME_LENGTH} characters")
    if any(ord(character) < 32 for character in text):
        raise InvalidRequest(f"{field} {text!r} contains control characters")
    return text


def entity_id(identifier: Identifier, kind: EntityKind, *, strict: bool = True) -> EntityId:
    """Return the id of one version.

    Args:
        strict: whether the message's resource type must be that of ``kind``.

    Raises:
        InvalidRequest: a part is missing, or the resource type is another one.
    """
    if strict and identifier.resource_type != kind.resource_type:
        given = ResourceType.Name(identifier.resource_type) if identifier.resource_type in _TYPES else "unknown"
        raise InvalidRequest(f"unexpected resource type {given}: the id of a {kind.noun} is expected")
    for field in ("project", "domain", "name", "version"):
        required(getattr(identifier, field), field)
    return EntityId.of(kind, identifier)


def implied_entity_id(identifier: Identifier, kind: EntityKind) -> EntityId:
    """Return the id of one version where the method says what it is of: then the resource type may be left out.

    Over HTTP it always is (flyteadmin's rpc/adminservice fills it in for the same methods).

    Raises:
        InvalidRequest: a part is missing, or the resource type is another one.
    """
    is_left_out = identifier.resource_type == ResourceType.UNSPECIFIED
    return entity_id(identifier, kind, strict=not is_left_out)


_TYPES = frozenset(ResourceType.values())


def place(identifier: NamedEntityIdentifier, *, with_name: bool = False) -> tuple[str, str, str]:
    """Return (project, domain, name) of a list request; the name may be empty unless ``with_name``.

    Raises:
        InvalidRequest: a part that must be there is missing.
    """
    name = required(identifier.name, "name") if with_name else identifier.name
    return required(identifier.project, "project"), required(identifier.domain, "domain"), name


def execution_id(identifier: WorkflowExecutionIdentifier) -> ExecutionId:
    """Return the execution's id.

    Raises:
        InvalidRequest: a part is missing.
    """
    return ExecutionId(
        project=required(identifier.project, "project"),
        domain=required(identifier.domain, "domain"),
        name=required(identifier.name, "name"),
    )


def node_id(identifier: NodeExecutionIdentifier) -> tuple[ExecutionId, str]:
    """Return the execution's id and the unique node id.

    Raises:
        InvalidRequest: a part is missing.
    """
    return execution_id(identifier.execution_id), required(identifier.node_id, "node_id")


def check_writable(connection: sqlite3.Connection, project: str, domain: str) -> None:
    """Check that something may be created in this project and domain.

    Raises:
        InvalidRequest: the project is unknown or archived, or the domain is unknown.
    """
    row = find_project(connection, project)
    if row is None:
        raise InvalidRequest(f"project {project!r} is not registered; register it first (flytectl create project)")
    if row.state != Project.ACTIVE:
        raise InvalidRequest(f"project {project!r} is not active", detail=InactiveProject(id=project))
    check_domain(domain)


def check_domain(domain: str) -> None:
    """Check that the domain exists.

    Raises:
        InvalidRequest: it does not.
    """
    if domain not in DOMAINS:
        raise InvalidRequest(f"domain {domain!r} is unknown; there are {', '.join(DOMAINS)}")
