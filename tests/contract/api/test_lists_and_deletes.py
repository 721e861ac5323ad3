"""RPCs that no client in these tests uses on its own: lists of names, descriptions, deleted attributes, refusals."""

import grpc
import pytest
from flyteidl.admin.common_pb2 import NamedEntityIdentifier, NamedEntityIdentifierListRequest, ResourceListRequest
from flyteidl.admin.description_entity_pb2 import DescriptionEntityListRequest
from flyteidl.admin.event_pb2 import NodeExecutionEventRequest, TaskExecutionEventRequest, WorkflowExecutionEventRequest
from flyteidl.admin.node_execution_pb2 import NodeExecutionForTaskListRequest
from flyteidl.admin.project_attributes_pb2 import ProjectAttributesDeleteRequest, ProjectAttributesUpdateRequest
from flyteidl.admin.project_domain_attributes_pb2 import (
    ProjectDomainAttributesDeleteRequest,
    ProjectDomainAttributesGetRequest,
    ProjectDomainAttributesUpdateRequest,
)
from flyteidl.cacheservice import cacheservice_pb2, cacheservice_pb2_grpc
from flyteidl.core.identifier_pb2 import ResourceType
from google.protobuf.message_factory import GetMessageClass

PLACE = {"project": "flytesnacks", "domain": "development"}
EXECUTION_CONFIG = 6
SETTING = {"workflow_execution_config": {"max_parallelism": 3}}


def test_names_are_listed_once_however_many_versions_they_have(admin, register):
    for version in ("v1", "v2"):
        register.everything(version)
    request = NamedEntityIdentifierListRequest(**PLACE, limit=10)

    for rpc in (admin.ListWorkflowIds, admin.ListLaunchPlanIds):
        assert [each.name for each in rpc(request).entities] == ["main"]


def test_nothing_is_below_an_attempt(admin, finished):
    execution = finished("whole")
    task = {**PLACE, "resource_type": ResourceType.TASK, "name": "double", "version": "v1"}
    attempt = {"task_id": task, "node_execution_id": {"node_id": "n0", "execution_id": execution}}

    answer = admin.ListNodeExecutionsForTask(NodeExecutionForTaskListRequest(task_execution_id=attempt, limit=5))

    assert list(answer.node_executions) == []


def test_descriptions_of_a_name_are_listed(admin, register):
    request = register.task_request()
    request.spec.description.short_description = "doubles"
    admin.CreateTask(request)

    listed = admin.ListDescriptionEntities(
        DescriptionEntityListRequest(resource_type=ResourceType.TASK, id={**PLACE, "name": "double"}, limit=5)
    )

    assert [each.short_description for each in listed.descriptionEntities] == ["doubles"]


def test_attributes_of_a_domain_hold_until_they_are_deleted(admin, register, refused):
    plan = register.everything()
    admin.UpdateProjectDomainAttributes(
        ProjectDomainAttributesUpdateRequest(attributes={**PLACE, "matching_attributes": SETTING})
    )
    of_kind = {**PLACE, "resource_type": EXECUTION_CONFIG}

    register.execution(plan, "with")
    admin.DeleteProjectDomainAttributes(ProjectDomainAttributesDeleteRequest(**of_kind))
    register.execution(plan, "without")

    assert parallelism(admin) == {"with": 3, "without": 25}
    code, _ = refused(admin.GetProjectDomainAttributes, ProjectDomainAttributesGetRequest(**of_kind))
    assert code == grpc.StatusCode.NOT_FOUND


def test_attributes_of_a_project_hold_until_they_are_deleted(admin, register):
    plan = register.everything()
    admin.UpdateProjectAttributes(
        ProjectAttributesUpdateRequest(attributes={"project": "flytesnacks", "matching_attributes": SETTING})
    )

    register.execution(plan, "with")
    admin.DeleteProjectAttributes(ProjectAttributesDeleteRequest(project="flytesnacks", resource_type=EXECUTION_CONFIG))
    register.execution(plan, "without")

    assert parallelism(admin) == {"with": 3, "without": 25}


def parallelism(admin):
    place = NamedEntityIdentifier(**PLACE)
    listed = admin.ListExecutions(ResourceListRequest(id=place, limit=5)).executions
    return {each.id.name: each.spec.max_parallelism for each in listed}


@pytest.mark.parametrize(
    ("rpc", "request_type"),
    [
        ("CreateWorkflowEvent", WorkflowExecutionEventRequest),
        ("CreateNodeEvent", NodeExecutionEventRequest),
        ("CreateTaskEvent", TaskExecutionEventRequest),
    ],
)
def test_events_are_not_taken_from_outside(admin, refused, rpc, request_type):
    code, message = refused(getattr(admin, rpc), request_type())

    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "this backend has its engine inside" in message


@pytest.mark.parametrize("method", ["Put", "GetOrExtendReservation", "ReleaseReservation"])
def test_the_cache_is_filled_by_running_tasks_alone(plane, refused, method):
    stub = cacheservice_pb2_grpc.CacheServiceStub(plane.channel())

    code, message = refused(getattr(stub, method), empty_request(method))

    assert (code, message) == (grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served by hydraflyte.")


def empty_request(method):
    service = cacheservice_pb2.DESCRIPTOR.services_by_name["CacheService"]
    return GetMessageClass(service.methods_by_name[method].input_type)()
