"""A plain gRPC connection from the command line to this user's backend: flyteidl only, no flytekit (0.1 s, not 1 s)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from flyteidl.cacheservice.cacheservice_pb2_grpc import CacheServiceStub
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from hydraflyte.errors import BackendUnavailableError, ExecutionError
from hydraflyte.home import RunningBackend


@contextmanager
def admin_of(running: RunningBackend) -> Iterator[AdminServiceStub]:
    """Give the admin service of the backend; refusals become errors with a hint.

    Raises:
        BackendUnavailableError: the backend does not answer.
        ExecutionError: the backend refuses (no such execution, it has ended, …).
    """
    with _channel(running) as channel:
        yield AdminServiceStub(channel)  # type: ignore[no-untyped-call]  # flyteidl's stubs have no annotations


@contextmanager
def cache_of(running: RunningBackend) -> Iterator[CacheServiceStub]:
    """Give the service of the catalog; like :func:`admin_of`."""
    with _channel(running) as channel:
        yield CacheServiceStub(channel)  # type: ignore[no-untyped-call]  # as above


@contextmanager
def _channel(running: RunningBackend) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"unix:{running.socket}", options=options) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise _explained(error, running) from error


def _explained(error: grpc.RpcError, running: RunningBackend) -> Exception:
    code, details = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return BackendUnavailableError(
            f"The backend (pid {running.pid}) does not answer: {details}",
            hint=f"see `hydraflyte status`; its log is in {running.home}.",
        )
    return ExecutionError(f"The backend refused: {details}", hint="`hydraflyte executions list` shows what there is.")
