"""Projects and domains (section 1.4 of Flyte's semantics)."""

from __future__ import annotations

import re
from dataclasses import replace

from flyteidl.admin.project_pb2 import (
    GetDomainRequest,
    GetDomainsResponse,
    Project,
    ProjectGetRequest,
    ProjectListRequest,
    ProjectRegisterRequest,
    ProjectRegisterResponse,
    Projects,
    ProjectUpdateResponse,
)

from hydraflyte.backend.admin import convert
from hydraflyte.backend.admin.checks import required
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection, next_token, parse_filters
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import AlreadyThere, InvalidRequest, Missing
from hydraflyte.backend.store import names
from hydraflyte.backend.store.names import ProjectRow

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # DNS-1123
_KUBERNETES_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_MAX_ID_LENGTH = 63
_MAX_NAME_LENGTH = 64
_MAX_DESCRIPTION_LENGTH = 300
_MAX_LABELS = 16


class ProjectService:
    """Handlers of the project RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock

    async def register(self, request: ProjectRegisterRequest) -> ProjectRegisterResponse:
        """RegisterProject."""
        project = request.project
        _check_id(project.id)
        if project.domains:
            raise InvalidRequest("domains must be empty: every project has the same ones")
        row = _with_request(ProjectRow(identifier=project.id, name="", description="", labels=b"", state=0), project)
        row = replace(row, name=required(row.name, "name"))
        now = self._clock.now()
        if not await self._database.write(lambda connection: names.insert_project(connection, row, now)):
            raise AlreadyThere(f"project {project.id!r} exists already")
        return ProjectRegisterResponse()

    async def update(self, request: Project) -> ProjectUpdateResponse:
        """UpdateProject: replaces name, description and labels that are set, and the state."""
        stored = await self._find(request.id)
        row = _with_request(stored, request)
        now = self._clock.now()
        await self._database.write(lambda connection: names.update_project(connection, row, now))
        return ProjectUpdateResponse()

    async def get(self, request: ProjectGetRequest) -> Project:
        """GetProject."""
        return convert.project(await self._find(request.id))

    async def list(self, request: ProjectListRequest) -> Projects:
        """ListProjects: archived ones only when a filter names the state; limit 0 means all."""
        selection = list_selection(Entity.PROJECT, request, default_order="projects.identifier")
        filters = parse_filters(Entity.PROJECT, request.filters)
        if not any(each.field == "state" for each in filters):
            selection = selection.having("projects.state != ?", Project.ARCHIVED)
        rows = await self._database.read(lambda connection: names.list_projects(connection, selection))
        return Projects(
            projects=[convert.project(row) for row in rows],
            token=next_token(request.limit, selection.offset, len(rows)),
        )

    async def domains(self, request: GetDomainRequest) -> GetDomainsResponse:
        """GetDomains."""
        return GetDomainsResponse(domains=convert.domains())

    async def _find(self, identifier: str) -> ProjectRow:
        required(identifier, "id")
        row = await self._database.read(lambda connection: names.find_project(connection, identifier))
        if row is None:
            raise Missing(f"missing project {identifier!r}")
        return row


def _check_id(identifier: str) -> None:
    required(identifier, "project id")
    if len(identifier) > _MAX_ID_LENGTH or not _LABEL.fullmatch(identifier):
        raise InvalidRequest(
            f"project id {identifier!r} must consist of lower-case letters, digits and '-', begin and end with a"
            f" letter or digit, and have at most {_MAX_ID_LENGTH} characters"
        )


def _with_request(row: ProjectRow, project: Project) -> ProjectRow:
    """Return the row with the fields that the request sets, checked."""
    if len(project.name) > _MAX_NAME_LENGTH:
        raise InvalidRequest(f"name is longer than {_MAX_NAME_LENGTH} characters")
    if len(project.description) > _MAX_DESCRIPTION_LENGTH:
        raise InvalidRequest(f"description is longer than {_MAX_DESCRIPTION_LENGTH} characters")
    if project.state not in Project.ProjectState.values():
        raise InvalidRequest(f"state {project.state} is unknown")
    _check_labels(project)
    return replace(
        row,
        name=project.name or row.name,
        description=project.description or row.description,
        labels=project.labels.SerializeToString(deterministic=True) if project.HasField("labels") else row.labels,
        state=project.state,
    )


def _check_labels(project: Project) -> None:
    labels = project.labels.values
    if len(labels) > _MAX_LABELS:
        raise InvalidRequest(f"a project may have at most {_MAX_LABELS} labels, not {len(labels)}")
    for key, value in labels.items():
        name = key.rpartition("/")[2]
        if not name or any(len(text) > 63 or not _KUBERNETES_LABEL.fullmatch(text) for text in (name, value)):
            raise InvalidRequest(f"label {key!r}={value!r} is not a valid Kubernetes label")
