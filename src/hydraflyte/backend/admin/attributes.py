"""Matchable attributes: stored and returned; WORKFLOW_EXECUTION_CONFIG is also applied (section 5.4)."""

from __future__ import annotations

import sqlite3

from flyteidl.admin.matchable_resource_pb2 import (
    ListMatchableAttributesRequest,
    ListMatchableAttributesResponse,
    MatchableAttributesConfiguration,
    MatchableResource,
    MatchingAttributes,
    WorkflowExecutionConfig,
)
from flyteidl.admin.project_attributes_pb2 import (
    ProjectAttributes,
    ProjectAttributesDeleteRequest,
    ProjectAttributesDeleteResponse,
    ProjectAttributesGetRequest,
    ProjectAttributesGetResponse,
    ProjectAttributesUpdateRequest,
    ProjectAttributesUpdateResponse,
)
from flyteidl.admin.project_domain_attributes_pb2 import (
    ProjectDomainAttributes,
    ProjectDomainAttributesDeleteRequest,
    ProjectDomainAttributesDeleteResponse,
    ProjectDomainAttributesGetRequest,
    ProjectDomainAttributesGetResponse,
    ProjectDomainAttributesUpdateRequest,
    ProjectDomainAttributesUpdateResponse,
)
from flyteidl.admin.workflow_attributes_pb2 import (
    WorkflowAttributes,
    WorkflowAttributesDeleteRequest,
    WorkflowAttributesDeleteResponse,
    WorkflowAttributesGetRequest,
    WorkflowAttributesGetResponse,
    WorkflowAttributesUpdateRequest,
    WorkflowAttributesUpdateResponse,
)

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.admin.settings import DEFAULT_MAX_PARALLELISM
from hydraflyte.backend.store import names
from hydraflyte.backend.store.names import AttributesRow

_KINDS: dict[str | None, int] = {
    "task_resource_attributes": MatchableResource.TASK_RESOURCE,
    "cluster_resource_attributes": MatchableResource.CLUSTER_RESOURCE,
    "execution_queue_attributes": MatchableResource.EXECUTION_QUEUE,
    "execution_cluster_label": MatchableResource.EXECUTION_CLUSTER_LABEL,
    "quality_of_service": MatchableResource.QUALITY_OF_SERVICE_SPECIFICATION,
    "plugin_overrides": MatchableResource.PLUGIN_OVERRIDE,
    "workflow_execution_config": MatchableResource.WORKFLOW_EXECUTION_CONFIG,
    "cluster_assignment": MatchableResource.CLUSTER_ASSIGNMENT,
}


class AttributeService:
    """Handlers of the attribute RPCs, at the three levels that have them."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock

    async def update_project(self, request: ProjectAttributesUpdateRequest) -> ProjectAttributesUpdateResponse:
        """UpdateProjectAttributes."""
        given = request.attributes
        await self._put(_row(given.project, matching=given.matching_attributes))
        return ProjectAttributesUpdateResponse()

    async def get_project(self, request: ProjectAttributesGetRequest) -> ProjectAttributesGetResponse:
        """GetProjectAttributes: the execution config never fails, defaults fill what is not stored."""
        asked = _row(request.project, resource_type=request.resource_type)
        if asked.resource_type == MatchableResource.WORKFLOW_EXECUTION_CONFIG:
            found = await self._config_over_defaults(asked)
        else:
            found = await self._find(asked)
        attributes = ProjectAttributes(project=request.project, matching_attributes=found)
        return ProjectAttributesGetResponse(attributes=attributes)

    async def delete_project(self, request: ProjectAttributesDeleteRequest) -> ProjectAttributesDeleteResponse:
        """DeleteProjectAttributes."""
        await self._delete(_row(request.project, resource_type=request.resource_type))
        return ProjectAttributesDeleteResponse()

    async def update_domain(
        self, request: ProjectDomainAttributesUpdateRequest
    ) -> ProjectDomainAttributesUpdateResponse:
        """UpdateProjectDomainAttributes."""
        given = request.attributes
        await self._put(_row(given.project, _domain(given.domain), matching=given.matching_attributes))
        return ProjectDomainAttributesUpdateResponse()

    async def get_domain(self, request: ProjectDomainAttributesGetRequest) -> ProjectDomainAttributesGetResponse:
        """GetProjectDomainAttributes."""
        found = await self._find(_row(request.project, _domain(request.domain), resource_type=request.resource_type))
        attributes = ProjectDomainAttributes(project=request.project, domain=request.domain, matching_attributes=found)
        return ProjectDomainAttributesGetResponse(attributes=attributes)

    async def delete_domain(
        self, request: ProjectDomainAttributesDeleteRequest
    ) -> ProjectDomainAttributesDeleteResponse:
        """DeleteProjectDomainAttributes."""
        await self._delete(_row(request.project, _domain(request.domain), resource_type=request.resource_type))
        return ProjectDomainAttributesDeleteResponse()

    async def update_workflow(self, request: WorkflowAttributesUpdateRequest) -> WorkflowAttributesUpdateResponse:
        """UpdateWorkflowAttributes."""
        given = request.attributes
        workflow = checks.required(given.workflow, "workflow")
        await self._put(_row(given.project, _domain(given.domain), workflow, matching=given.matching_attributes))
        return WorkflowAttributesUpdateResponse()

    async def get_workflow(self, request: WorkflowAttributesGetRequest) -> WorkflowAttributesGetResponse:
        """GetWorkflowAttributes."""
        workflow = checks.required(request.workflow, "workflow")
        found = await self._find(
            _row(request.project, _domain(request.domain), workflow, resource_type=request.resource_type)
        )
        attributes = WorkflowAttributes(
            project=request.project, domain=request.domain, workflow=workflow, matching_attributes=found
        )
        return WorkflowAttributesGetResponse(attributes=attributes)

    async def delete_workflow(self, request: WorkflowAttributesDeleteRequest) -> WorkflowAttributesDeleteResponse:
        """DeleteWorkflowAttributes."""
        workflow = checks.required(request.workflow, "workflow")
        await self._delete(
            _row(request.project, _domain(request.domain), workflow, resource_type=request.resource_type)
        )
        return WorkflowAttributesDeleteResponse()

    async def list(self, request: ListMatchableAttributesRequest) -> ListMatchableAttributesResponse:
        """ListMatchableAttributes: everything of one kind."""
        _check_kind(request.resource_type)
        rows = await self._database.read(lambda connection: names.list_attributes(connection, request.resource_type))
        return ListMatchableAttributesResponse(
            configurations=[
                MatchableAttributesConfiguration(
                    attributes=MatchingAttributes.FromString(row.attributes),
                    project=row.project,
                    domain=row.domain,
                    workflow=row.workflow,
                )
                for row in rows
            ]
        )

    async def _put(self, row: AttributesRow) -> None:
        now = self._clock.now()

        def put_checked(connection: sqlite3.Connection) -> None:
            if names.find_project(connection, row.project) is None:
                raise InvalidRequest(f"project {row.project!r} is not registered")
            names.put_attributes(connection, row, now)

        await self._database.write(put_checked)

    async def _find(self, asked: AttributesRow) -> MatchingAttributes:
        rows = await self._database.read(lambda connection: names.matching_attributes(connection, asked))
        if not rows:
            kind = MatchableResource.Name(asked.resource_type)
            place = "/".join(part for part in (asked.project, asked.domain, asked.workflow) if part)
            raise Missing(f"no attributes of type {kind} match {place}")
        return MatchingAttributes.FromString(rows[0].attributes)

    async def _config_over_defaults(self, asked: AttributesRow) -> MatchingAttributes:
        found = WorkflowExecutionConfig(max_parallelism=DEFAULT_MAX_PARALLELISM)
        rows = await self._database.read(lambda connection: names.matching_attributes(connection, asked))
        for row in rows:
            found.MergeFrom(MatchingAttributes.FromString(row.attributes).workflow_execution_config)
        return MatchingAttributes(workflow_execution_config=found)

    async def _delete(self, row: AttributesRow) -> None:
        if not await self._database.write(lambda connection: names.delete_attributes(connection, row)):
            raise Missing(f"there are no attributes of type {MatchableResource.Name(row.resource_type)} to delete")


def _row(
    project: str,
    domain: str = "",
    workflow: str = "",
    *,
    matching: MatchingAttributes | None = None,
    resource_type: int = MatchableResource.TASK_RESOURCE,
) -> AttributesRow:
    """Return the row that a request speaks about; the kind follows from the attributes, if there are any.

    Raises:
        InvalidRequest: the project is missing, or the kind is unknown.
    """
    checks.required(project, "project")
    if matching is not None:
        target = matching.WhichOneof("target")
        if target is None:
            raise InvalidRequest("missing matching_attributes")
        resource_type = _KINDS[target]
    _check_kind(resource_type)
    content = b"" if matching is None else matching.SerializeToString(deterministic=True)
    return AttributesRow(
        project=project, domain=domain, workflow=workflow, resource_type=resource_type, attributes=content
    )


def _domain(name: str) -> str:
    checks.check_domain(checks.required(name, "domain"))
    return name


def _check_kind(resource_type: int) -> None:
    if resource_type not in MatchableResource.values():
        raise InvalidRequest(f"resource_type {resource_type} is unknown")
