"""The gRPC server: every handler of ``handlers`` behind its RPC, and the wrapper around all of them.

The one rule: a handler is only ever called through ``answering``. No handler's logic stands here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest
from flyteidl.cacheservice import cacheservice_pb2_grpc
from flyteidl.service import admin_pb2_grpc, auth_pb2_grpc, dataproxy_pb2_grpc, identity_pb2_grpc, signal_pb2_grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc.aio import Server, ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.access import TokenCheck
from hydraflyte.backend.admin.answering import CallFailed, answer
from hydraflyte.backend.admin.handlers import (
    ADMIN,
    AUTH,
    CACHE,
    DATA_PROXY,
    IDENTITY,
    SERVICES,
    SIGNAL,
    Handler,
    build_handlers,
)
from hydraflyte.backend.admin.held_reads import HeldReads
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.connections import PATIENCE_S, most_connections

Context = ServicerContext[Any, Any]  # the requests and answers of every RPC pass through here
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


def build_server(parts: ControlPlaneParts) -> Server:
    """Return the server with every service of the control plane, not started and without an address.

    Must be called in a running asyncio loop, the one that drives ``parts.control``.
    """
    interceptors = [TokenCheck(parts.token)] if parts.token is not None else []
    limits = (
        ("grpc.max_allowed_incoming_connections", most_connections()),  # of each address: the socket has its own
        ("grpc.server_handshake_timeout_ms", PATIENCE_S * 1000),
    )
    server = grpc.aio.server(interceptors=interceptors, options=(*_OPTIONS, *limits))
    handlers = build_handlers(parts)
    # In flyteidl's order of services; the generated functions carry no types.
    admin_pb2_grpc.add_AdminServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(ADMIN, handlers, _held_get_execution(parts)), server
    )
    dataproxy_pb2_grpc.add_DataProxyServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(DATA_PROXY, handlers), server
    )
    signal_pb2_grpc.add_SignalServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(SIGNAL, handlers), server
    )
    auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(AUTH, handlers), server
    )
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(IDENTITY, handlers), server
    )
    cacheservice_pb2_grpc.add_CacheServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Servicer(CACHE, handlers), server
    )
    _add_health_and_reflection(server)
    return server


class _Servicer:
    """A method for each RPC of the service: its handler, wrapped."""

    def __init__(
        self,
        service: ServiceDescriptor,
        handlers: Mapping[str, Handler],
        before: Mapping[str, Callable[[Any, Context], Awaitable[None]]] | None = None,
    ) -> None:
        for method in service.methods:
            behaviour = _wrapped(method.full_name, handlers[method.full_name], (before or {}).get(method.name))
            setattr(self, method.name, behaviour)


def _wrapped(
    method: str, handler: Handler, before: Callable[[Any, Context], Awaitable[None]] | None = None
) -> Behaviour:
    async def behaviour(request: Any, context: Context) -> Message:
        async def handle() -> Message:
            if before is not None:
                await before(request, context)
            return await handler(request)

        try:
            return await answer(method, handle, request)
        except CallFailed as failed:
            status = failed.status
        await context.abort(status.code, status.message, status.trailers)
        raise AssertionError("abort always raises")

    return behaviour


def _held_get_execution(parts: ControlPlaneParts) -> Mapping[str, Callable[[Any, Context], Awaitable[None]]]:
    if not parts.hold_reads:
        return {}
    held = HeldReads(parts.control)

    async def wait(request: WorkflowExecutionGetRequest, context: Context) -> None:
        execution = checks.execution_id(request.id)
        await held.wait(execution, peer=context.peer(), time_remaining_s=context.time_remaining())

    return {"GetExecution": wait}


class _Health(health.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    """Says SERVING from the start, under the names that clients of Flyte ask for."""

    def __init__(self) -> None:
        super().__init__()
        # The public way to set these is a coroutine, for servers that run already.
        self._server_status |= dict.fromkeys(_HEALTH_NAMES, health_pb2.HealthCheckResponse.SERVING)


def _add_health_and_reflection(server: Server) -> None:
    health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
    names = (*(service.full_name for service in SERVICES), _HEALTH_SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
