"""From an exception to the gRPC status a client sees: one table, and the trailers that fit it.

The one rule: nothing ever becomes UNKNOWN, for flytekit answers UNKNOWN with a browser sign-in (flytekit 1.16
clients/grpc_utils/auth_interceptor.py). What is not in the table is INTERNAL, and is logged by the caller.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # generated, without stubs

from hydraflyte.backend.admin.filters import FilterError
from hydraflyte.backend.admin.refusals import (
    AlreadyThere,
    InvalidRequest,
    Missing,
    NotAllowed,
    NotServed,
    Refusal,
    TooLate,
)
from hydraflyte.backend.ports import ExecutionEndedError, ExecutionExistsError, ExecutionNotFoundError
from hydraflyte.errors import CompilationError

_MAX_MESSAGE_BYTES = 6_000
"""As sent, percent-encoded. Clients of gRPC accept 8 KiB of trailers unless they ask for more."""

_MAX_MESSAGE_BYTES_WITH_DETAIL = 2_000
"""The rich status repeats the message, in base64."""

STATUS_CODES: Mapping[type[Exception], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    FilterError: grpc.StatusCode.INVALID_ARGUMENT,
    CompilationError: grpc.StatusCode.INVALID_ARGUMENT,
    Missing: grpc.StatusCode.NOT_FOUND,
    ExecutionNotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyThere: grpc.StatusCode.ALREADY_EXISTS,
    ExecutionExistsError: grpc.StatusCode.ALREADY_EXISTS,
    TooLate: grpc.StatusCode.FAILED_PRECONDITION,
    ExecutionEndedError: grpc.StatusCode.FAILED_PRECONDITION,
    NotServed: grpc.StatusCode.UNIMPLEMENTED,
    NotAllowed: grpc.StatusCode.UNAUTHENTICATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcStatus:
    """What a failing call answers."""

    code: grpc.StatusCode
    message: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def status_of(error: Exception) -> RpcStatus | None:
    """Return the answer that the table has for the error, or None: then it is a defect or the machine's trouble."""
    code = next((STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES), None)
    if code is None:
        return None
    detail = error.detail if isinstance(error, Refusal) else None
    if detail is None:
        return RpcStatus(code=code, message=cut(str(error), _MAX_MESSAGE_BYTES))
    message = cut(str(error), _MAX_MESSAGE_BYTES_WITH_DETAIL)
    packed = AnyMessage()
    packed.Pack(detail)
    rich = Status(code=code.value[0], message=message, details=[packed])
    return RpcStatus(code=code, message=message, trailers=(("grpc-status-details-bin", rich.SerializeToString()),))


def internal_status(error: Exception) -> RpcStatus:
    """Return the answer for an error that the table does not have."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = "No space is left on the disk of the backend; free some, then try again."
        return RpcStatus(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message=text)
    text = f"internal error, see the backend's log: {type(error).__name__}: {error}"
    return RpcStatus(code=grpc.StatusCode.INTERNAL, message=cut(text, 500))


def cut(text: str, limit: int) -> str:
    """Return the text, shortened so that gRPC sends at most ``limit`` bytes of it (it percent-encodes)."""
    if len(quote(text, safe=_UNQUOTED)) <= limit:
        return text
    shorter = text[:limit]
    while len(quote(shorter, safe=_UNQUOTED)) > limit - 9:
        shorter = shorter[: max(0, len(shorter) - 1 - len(shorter) // 16)]
    return f"{shorter}…"


_UNQUOTED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
