"""The gRPC server: which handler answers which RPC, and the wrapper around all of them.

The one rule: whatever a handler raises becomes a status by ``status``'s table, or INTERNAL with a line in the
log; nothing becomes UNKNOWN. No handler's logic stands here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest
from flyteidl.service import (
    admin_pb2,
    admin_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    dataproxy_pb2,
    dataproxy_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    signal_pb2,
    signal_pb2_grpc,
)
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc.aio import Server, ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.access import TokenCheck
from hydraflyte.backend.admin.attributes import AttributeService
from hydraflyte.backend.admin.dataproxy import DataProxyService
from hydraflyte.backend.admin.executions import ExecutionService
from hydraflyte.backend.admin.held_reads import HeldReads
from hydraflyte.backend.admin.identity import IdentityService
from hydraflyte.backend.admin.launch_plans import LaunchPlanService
from hydraflyte.backend.admin.metrics import MetricsService
from hydraflyte.backend.admin.named_entities import NamedEntityService
from hydraflyte.backend.admin.nodes import NodeService
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.projects import ProjectService
from hydraflyte.backend.admin.refusals import NotServed
from hydraflyte.backend.admin.signals import SignalService
from hydraflyte.backend.admin.status import internal_status, status_of
from hydraflyte.backend.admin.tasks import TaskService
from hydraflyte.backend.admin.version import get_version
from hydraflyte.backend.admin.workflows import WorkflowService

log = logging.getLogger(__name__)

Context = ServicerContext[Any, Any]  # the requests and answers of every RPC pass through here
Handler = Callable[[Any], Awaitable[Message]]  # each takes its own request message
Behaviour = Callable[[Any, Context], Awaitable[Message]]

_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    # flytekit pings every 30 s even without calls; by default a server takes that for abuse and hangs up.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Otherwise two backends could listen on one port, and calls would reach either.
    ("grpc.so_reuseport", 0),
)
_HEALTH_NAMES = ("", "flyteadmin")
_HEALTH_SERVICE = "grpc.health.v1.Health"
_ADMIN: ServiceDescriptor = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
_DATA_PROXY: ServiceDescriptor = dataproxy_pb2.DESCRIPTOR.services_by_name["DataProxyService"]
_SIGNAL: ServiceDescriptor = signal_pb2.DESCRIPTOR.services_by_name["SignalService"]
_AUTH: ServiceDescriptor = auth_pb2.DESCRIPTOR.services_by_name["AuthMetadataService"]
_IDENTITY: ServiceDescriptor = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
_SERVICES = (_ADMIN, _DATA_PROXY, _SIGNAL, _AUTH, _IDENTITY)
_ENGINE_ONLY = ("CreateWorkflowEvent", "CreateNodeEvent", "CreateTaskEvent")


def build_server(parts: ControlPlaneParts) -> Server:
    """Return the server with every service of the control plane, not started and without an address.

    Must be called in a running asyncio loop, the one that drives ``parts.control``.
    """
    interceptors = [TokenCheck(parts.token)] if parts.token is not None else []
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    identity = IdentityService(parts)
    auth_handlers: Mapping[str, Handler] = {
        "GetOAuth2Metadata": identity.oauth2_metadata,
        "GetPublicClientConfig": identity.public_client_config,
    }
    # In flyteidl's order of services; the generated functions carry no types.
    admin_pb2_grpc.add_AdminServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(_ADMIN, _admin_handlers(parts), _held_get_execution(parts)), server
    )
    dataproxy_pb2_grpc.add_DataProxyServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(_DATA_PROXY, _data_handlers(parts)), server
    )
    signal_pb2_grpc.add_SignalServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(_SIGNAL, _signal_handlers(parts)), server
    )
    auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(_AUTH, auth_handlers), server
    )
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(_IDENTITY, {"UserInfo": identity.user_info}), server
    )
    _add_health_and_reflection(server)
    return server


class _Servicer:
    """A method for each RPC of the service: its handler, wrapped, or the sentence that it is not served."""

    def __init__(
        self,
        service: ServiceDescriptor,
        handlers: Mapping[str, Handler],
        before: Mapping[str, Callable[[Any, Context], Awaitable[None]]] | None = None,
    ) -> None:
        for method in service.methods:
            handler = handlers.get(method.name, _not_served(method.name))
            behaviour = _wrapped(method.full_name, handler, (before or {}).get(method.name))
            setattr(self, method.name, behaviour)


def _wrapped(
    method: str, handler: Handler, before: Callable[[Any, Context], Awaitable[None]] | None = None
) -> Behaviour:
    async def answer(request: Any, context: Context) -> Message:
        try:
            if before is not None:
                await before(request, context)
            return await handler(request)
        except Exception as error:  # process border: every failure of a handler is told to the client
            status = status_of(error)
            if status is None:
                log.exception("%s of %s failed", method, _subject(request))
                status = internal_status(error)
        await context.abort(status.code, status.message, status.trailers)
        raise AssertionError("abort always raises")

    return answer


def _not_served(name: str) -> Handler:
    async def refuse(request: Any) -> Message:
        if name in _ENGINE_ONLY:
            raise NotServed(f"{name} is for Flyte's own engine; this backend has its engine inside.")
        raise NotServed(f"{name} is not served by hydraflyte.")

    return refuse


def _held_get_execution(parts: ControlPlaneParts) -> Mapping[str, Callable[[Any, Context], Awaitable[None]]]:
    if not parts.hold_reads:
        return {}
    held = HeldReads(parts.control)

    async def wait(request: WorkflowExecutionGetRequest, context: Context) -> None:
        execution = checks.execution_id(request.id)
        await held.wait(execution, peer=context.peer(), time_remaining_s=context.time_remaining())

    return {"GetExecution": wait}


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


def _signal_handlers(parts: ControlPlaneParts) -> Mapping[str, Handler]:
    signals = SignalService(parts)
    return {
        "GetOrCreateSignal": signals.get_or_create,
        "ListSignals": signals.list,
        "SetSignal": signals.set,
    }


class _Health(health.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    """Says SERVING from the start, under the names that clients of Flyte ask for."""

    def __init__(self) -> None:
        super().__init__()
        # The public way to set these is a coroutine, for servers that run already.
        self._server_status |= dict.fromkeys(_HEALTH_NAMES, health_pb2.HealthCheckResponse.SERVING)


def _add_health_and_reflection(server: Server) -> None:
    health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
    names = (*(service.full_name for service in _SERVICES), _HEALTH_SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


def _subject(request: Any) -> str:  # any request message
    """What the request is about, for the log: its id, on one line."""
    identifier = getattr(request, "id", None)
    return " ".join(str(identifier).split())[:300] if identifier else "?"
