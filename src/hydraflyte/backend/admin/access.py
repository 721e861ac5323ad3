"""Who may call: the owner through the Unix socket, and whoever shows the token over TCP.

The one rule: a call that is not let in does nothing but answer UNAUTHENTICATED. Health and AuthMetadataService
answer everybody, because clients ask them before they have a token.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc.aio import ServerInterceptor, ServicerContext

OPEN_SERVICES = frozenset({"grpc.health.v1.Health", "flyteidl.service.AuthMetadataService"})
REFUSAL = "this backend asks for its token; use the client config whose path `hydraflyte config` prints"

# Requests, answers and handlers are of whatever service is called: gRPC has no narrower type for them.
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]]


class TokenCheck(ServerInterceptor):
    """Lets calls in by socket or by token.

    Args:
        token: what has to be shown over TCP as ``authorization: Bearer <token>``.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler, behind a check of where the call comes from unless the call proves itself."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.lstrip("/").partition("/")[0]
        if handler is None or service in OPEN_SERVICES or self._shows_token(handler_call_details):
            return handler
        return _owner_only(handler)

    def _shows_token(self, details: grpc.HandlerCallDetails) -> bool:
        shown = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        return any(hmac.compare_digest(_bytes(value), self._expected) for value in shown)


def is_owner(peer: str) -> bool:
    """Tell whether a peer, in gRPC's spelling, came through the Unix socket, which only the owner can open."""
    return peer.startswith("unix:")


def _owner_only(handler: Any) -> Any:
    if handler.response_streaming:
        return _stream_handler(handler)
    unary = handler.unary_unary

    async def guarded(request: Any, context: ServicerContext[Any, Any]) -> Any:
        await _require_owner(context)
        return await unary(request, context)

    return grpc.unary_unary_rpc_method_handler(guarded, handler.request_deserializer, handler.response_serializer)


def _stream_handler(handler: Any) -> Any:
    streamed = handler.stream_stream or handler.unary_stream

    async def guarded(request: Any, context: ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        await _require_owner(context)
        async for answer in streamed(request, context):
            yield answer

    make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    return make(guarded, handler.request_deserializer, handler.response_serializer)


async def _require_owner(context: ServicerContext[Any, Any]) -> None:
    if not is_owner(context.peer()):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSAL)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
