"""What a failing call answers over HTTP: grpc-gateway's table of statuses and its error body. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # generated, without stubs

from hydraflyte.backend.admin.status import RpcStatus

HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
"""grpc-gateway's ``HTTPStatusFromCode`` (runtime/errors.go, version 2)."""


class Refused(Exception):
    """A request that is answered with an error.

    Args:
        http_status: where HTTP has a better one than the table.
        headers: to send with the answer.
        detailed: the rich status of the failure, if it has one.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        text: str,
        *,
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
        detailed: Status | None = None,
    ) -> None:
        super().__init__(text)
        self.message = detailed or Status(code=code.value[0], message=text)
        self.http_status = http_status or HTTP_STATUS[code]
        self.headers = dict(headers or {})

    @classmethod
    def by(cls, status: RpcStatus) -> Refused:
        """Return what a failed call answers, with its details."""
        rich = dict(status.trailers).get("grpc-status-details-bin")
        return cls(status.code, status.message, detailed=None if rich is None else Status.FromString(rich))
