"""Which handler answers which RPC: one table for every door to the control plane, gRPC and HTTP alike.

The one rule: every method of every served service has a row, from flyteidl's descriptors; a method that nobody
handles says so instead of being absent. Knows neither gRPC servers nor HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flyteidl.cacheservice import cacheservice_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from hydraflyte.backend.admin.attributes import AttributeService
from hydraflyte.backend.admin.catalog import CatalogService
from hydraflyte.backend.admin.dataproxy import DataProxyService
from hydraflyte.backend.admin.executions import ExecutionService
from hydraflyte.backend.admin.identity import IdentityService
from hydraflyte.backend.admin.launch_plans import LaunchPlanService
from hydraflyte.backend.admin.metrics import MetricsService
from hydraflyte.backend.admin.named_entities import NamedEntityService
from hydraflyte.backend.admin.nodes import NodeService
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.projects import ProjectService
from hydraflyte.backend.admin.refusals import NotServed
from hydraflyte.backend.admin.signals import SignalService
from hydraflyte.backend.admin.tasks import TaskService
from hydraflyte.backend.admin.version import get_version
from hydraflyte.backend.admin.workflows import WorkflowService

Handler = Callable[[Any], Awaitable[Message]]  # each takes its own request message

ADMIN: ServiceDescriptor = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
DATA_PROXY: ServiceDescriptor = dataproxy_pb2.DESCRIPTOR.services_by_name["DataProxyService"]
SIGNAL: ServiceDescriptor = signal_pb2.DESCRIPTOR.services_by_name["SignalService"]
AUTH: ServiceDescriptor = auth_pb2.DESCRIPTOR.services_by_name["AuthMetadataService"]
IDENTITY: ServiceDescriptor = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
CACHE: ServiceDescriptor = cacheservice_pb2.DESCRIPTOR.services_by_name["CacheService"]
SERVICES = (ADMIN, DATA_PROXY, SIGNAL, AUTH, IDENTITY, CACHE)
"""What is served, in flyteidl's order."""

_ENGINE_ONLY = ("CreateWorkflowEvent", "CreateNodeEvent", "CreateTaskEvent")


def build_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    """Return the handler of every method of every service, by the method's full name."""
    by_service = (
        (ADMIN, _admin_handlers(parts)),
        (DATA_PROXY, _data_handlers(parts)),
        (SIGNAL, _signal_handlers(parts)),
        (AUTH, _auth_handlers(parts)),
        (IDENTITY, {"UserInfo": IdentityService(parts).user_info}),
        (CACHE, _cache_handlers(parts)),
    )
    return {
        method.full_name: handlers.get(method.name, _not_served(method.name))
        for service, handlers in by_service
        for method in service.methods
    }


def _admin_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    tasks, workflows, plans = TaskService(parts), WorkflowService(parts), LaunchPlanService(parts)
    executions, nodes, metrics = ExecutionService(parts), NodeService(parts), MetricsService(parts)
    projects, attributes, named = ProjectService(parts), AttributeService(parts), NamedEntityService(parts)
    return {
        "CreateTask": tasks.create,
        "GetTask": tasks.get,
        "ListTaskIds": tasks.list_ids,
        "ListTasks": tasks.list,
        "CreateWorkflow": workflows.create,
        "GetWorkflow": workflows.get,
        "ListWorkflowIds": workflows.list_ids,
        "ListWorkflows": workflows.list,
        "CreateLaunchPlan": plans.create,
        "GetLaunchPlan": plans.get,
        "GetActiveLaunchPlan": plans.get_active,
        "ListActiveLaunchPlans": plans.list_active,
        "ListLaunchPlanIds": plans.list_ids,
        "ListLaunchPlans": plans.list,
        "UpdateLaunchPlan": plans.update,
        "CreateExecution": executions.create,
        "RelaunchExecution": executions.relaunch,
        "RecoverExecution": executions.recover,
        "GetExecution": executions.get,
        "UpdateExecution": executions.update,
        "GetExecutionData": executions.data,
        "ListExecutions": executions.list,
        "TerminateExecution": executions.terminate,
        "GetExecutionMetrics": metrics.get,
        "GetNodeExecution": nodes.get,
        "GetDynamicNodeWorkflow": nodes.dynamic_workflow,
        "ListNodeExecutions": nodes.list,
        "ListNodeExecutionsForTask": nodes.list_for_task,
        "GetNodeExecutionData": nodes.data,
        "GetTaskExecution": nodes.get_task,
        "ListTaskExecutions": nodes.list_tasks,
        "GetTaskExecutionData": nodes.task_data,
        "RegisterProject": projects.register,
        "UpdateProject": projects.update,
        "GetProject": projects.get,
        "ListProjects": projects.list,
        "GetDomains": projects.domains,
        "UpdateProjectAttributes": attributes.update_project,
        "GetProjectAttributes": attributes.get_project,
        "DeleteProjectAttributes": attributes.delete_project,
        "UpdateProjectDomainAttributes": attributes.update_domain,
        "GetProjectDomainAttributes": attributes.get_domain,
        "DeleteProjectDomainAttributes": attributes.delete_domain,
        "UpdateWorkflowAttributes": attributes.update_workflow,
        "GetWorkflowAttributes": attributes.get_workflow,
        "DeleteWorkflowAttributes": attributes.delete_workflow,
        "ListMatchableAttributes": attributes.list,
        "ListNamedEntities": named.list,
        "GetNamedEntity": named.get,
        "UpdateNamedEntity": named.update,
        "GetDescriptionEntity": named.get_description,
        "ListDescriptionEntities": named.list_descriptions,
        "GetVersion": get_version,
    }


def _data_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    data = DataProxyService(parts)
    return {
        "CreateUploadLocation": data.create_upload_location,
        "CreateDownloadLocation": data.create_download_location,
        "CreateDownloadLink": data.create_download_link,
        "GetData": data.get_data,
    }


def _cache_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    catalog = CatalogService(parts)
    return {"Get": catalog.get, "Delete": catalog.delete}


def _signal_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    signals = SignalService(parts)
    return {
        "GetOrCreateSignal": signals.get_or_create,
        "ListSignals": signals.list,
        "SetSignal": signals.set,
    }


def _auth_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    identity = IdentityService(parts)
    return {
        "GetOAuth2Metadata": identity.oauth2_metadata,
        "GetPublicClientConfig": identity.public_client_config,
    }


def _not_served(name: str) -> Handler:
    async def refuse(request: Any) -> Message:
        if name in _ENGINE_ONLY:
            raise NotServed(f"{name} is for Flyte's own engine; this backend has its engine inside.")
        raise NotServed(f"{name} is not served by hydraflyte.")

    return refuse
