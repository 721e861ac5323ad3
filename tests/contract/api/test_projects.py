"""Projects, domains and matchable attributes."""

import grpc
import pytest
from flyteidl.admin.matchable_resource_pb2 import ListMatchableAttributesRequest, MatchableResource
from flyteidl.admin.project_attributes_pb2 import ProjectAttributesGetRequest, ProjectAttributesUpdateRequest
from flyteidl.admin.project_domain_attributes_pb2 import (
    ProjectDomainAttributesDeleteRequest,
    ProjectDomainAttributesGetRequest,
    ProjectDomainAttributesUpdateRequest,
)
from flyteidl.admin.project_pb2 import (
    GetDomainRequest,
    Project,
    ProjectGetRequest,
    ProjectListRequest,
    ProjectRegisterRequest,
)
from flyteidl.admin.workflow_attributes_pb2 import (
    WorkflowAttributesDeleteRequest,
    WorkflowAttributesGetRequest,
    WorkflowAttributesUpdateRequest,
)


def identifiers(admin, **request):
    return [project.id for project in admin.ListProjects(ProjectListRequest(**request)).projects]


def test_three_projects_and_three_domains_are_there_from_the_start(admin):
    assert identifiers(admin) == ["flyteexamples", "flytesnacks", "flytetester"]
    domains = [domain.id for domain in admin.GetDomains(GetDomainRequest()).domains]
    assert domains == ["development", "staging", "production"]
    project = admin.GetProject(ProjectGetRequest(id="flytesnacks"))
    assert [domain.id for domain in project.domains] == domains


def test_a_project_is_registered_once(admin, refused):
    request = ProjectRegisterRequest(project=Project(id="vision", name="Vision", labels={"values": {"team": "a"}}))

    admin.RegisterProject(request)

    assert admin.GetProject(ProjectGetRequest(id="vision")).labels.values["team"] == "a"
    assert refused(admin.RegisterProject, request)[0] == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    "project",
    [
        Project(id="Upper", name="n"),
        Project(id="-dash", name="n"),
        Project(id="a" * 64, name="n"),
        Project(id="nameless"),
        Project(id="long", name="n" * 65),
        Project(id="told", name="n", description="d" * 301),
        Project(id="labelled", name="n", labels={"values": {"a b": "c"}}),
        Project(id="domains", name="n", domains=[{"id": "development"}]),
    ],
    ids=lambda project: project.id[:10],
)
def test_projects_that_flyte_would_refuse_are_refused(admin, refused, project):
    code, message = refused(admin.RegisterProject, ProjectRegisterRequest(project=project))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message


def test_an_archived_project_is_listed_only_when_the_state_is_named(admin):
    admin.UpdateProject(Project(id="flytetester", state=Project.ARCHIVED))

    assert identifiers(admin) == ["flyteexamples", "flytesnacks"]
    assert identifiers(admin, filters="eq(state,1)") == ["flytetester"]
    admin.UpdateProject(Project(id="flytetester", description="back"))
    project = admin.GetProject(ProjectGetRequest(id="flytetester"))
    assert (project.state, project.name, project.description) == (Project.ACTIVE, "flytetester", "back")


def test_projects_come_in_pages(admin):
    page = admin.ListProjects(ProjectListRequest(limit=2))

    assert ([project.id for project in page.projects], page.token) == (["flyteexamples", "flytesnacks"], "2")
    assert identifiers(admin, limit=2, token="2") == ["flytetester"]


def put_cluster_label(admin, value, **place):
    matching = {"execution_cluster_label": {"value": value}}
    if "workflow" in place:
        admin.UpdateWorkflowAttributes(
            WorkflowAttributesUpdateRequest(attributes={**place, "matching_attributes": matching})
        )
    elif "domain" in place:
        admin.UpdateProjectDomainAttributes(
            ProjectDomainAttributesUpdateRequest(attributes={**place, "matching_attributes": matching})
        )
    else:
        admin.UpdateProjectAttributes(
            ProjectAttributesUpdateRequest(attributes={**place, "matching_attributes": matching})
        )


def test_the_most_specific_attributes_win(admin):
    place = {"project": "flytesnacks", "domain": "development", "workflow": "main"}
    asked = WorkflowAttributesGetRequest(**place, resource_type=MatchableResource.EXECUTION_CLUSTER_LABEL)

    def label():
        return admin.GetWorkflowAttributes(asked).attributes.matching_attributes.execution_cluster_label.value

    put_cluster_label(admin, "of-project", project="flytesnacks")
    assert label() == "of-project"
    put_cluster_label(admin, "of-domain", project="flytesnacks", domain="development")
    assert label() == "of-domain"
    put_cluster_label(admin, "of-workflow", **place)
    assert label() == "of-workflow"
    admin.DeleteWorkflowAttributes(
        WorkflowAttributesDeleteRequest(**place, resource_type=MatchableResource.EXECUTION_CLUSTER_LABEL)
    )
    assert label() == "of-domain"


def test_attributes_that_are_not_there_are_not_found(admin, refused):
    place = {"project": "flytesnacks", "domain": "development", "resource_type": MatchableResource.PLUGIN_OVERRIDE}

    for rpc, request in (
        (admin.GetProjectDomainAttributes, ProjectDomainAttributesGetRequest(**place)),
        (admin.DeleteProjectDomainAttributes, ProjectDomainAttributesDeleteRequest(**place)),
    ):
        assert refused(rpc, request)[0] == grpc.StatusCode.NOT_FOUND


def test_a_project_s_execution_config_has_defaults(admin):
    config = MatchableResource.WORKFLOW_EXECUTION_CONFIG
    request = ProjectAttributesGetRequest(project="flytesnacks", resource_type=config)

    found = admin.GetProjectAttributes(request).attributes.matching_attributes.workflow_execution_config

    assert found.max_parallelism == 25


def test_all_attributes_of_a_kind_are_listed(admin):
    put_cluster_label(admin, "a", project="flytesnacks")
    put_cluster_label(admin, "b", project="flytetester", domain="staging")

    listed = admin.ListMatchableAttributes(
        ListMatchableAttributesRequest(resource_type=MatchableResource.EXECUTION_CLUSTER_LABEL)
    )

    assert [(each.project, each.domain) for each in listed.configurations] == [
        ("flytesnacks", ""),
        ("flytetester", "staging"),
    ]
