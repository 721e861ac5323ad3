"""The launcher's client for verbs that work with any backend: ``--endpoint``, ``--project`` and ``--domain``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydraflyte.cli.lookups import TIMEOUT_S, get_execution, identifier_of
from hydraflyte.cli.options import running_backend

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from flyteidl.admin.execution_pb2 import Execution
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

    from hydraflyte.launcher.remote import GrpcFlyteClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A backend's admin service, for verbs that look at executions or end them.

    Attributes:
        console_url: base of links to executions.
        is_embedded: this user's own backend, which keeps the logs of tasks itself.
    """

    admin: AdminServiceStub
    console_url: str
    is_embedded: bool

    def execution(self, options: argparse.Namespace) -> Execution:
        """Return the execution that the options name, as it is now."""
        timeout_s = None if self.is_embedded else TIMEOUT_S
        return get_execution(self.admin, identifier_of(options), timeout_s=timeout_s)


def add_endpoint(parser: argparse.ArgumentParser, *, default: str = "auto") -> None:
    """Add ``--project``, ``--domain`` and ``--endpoint``."""
    parser.add_argument("--project", default="flytesnacks", help="default: %(default)s")
    parser.add_argument("--domain", default="development", help="default: %(default)s")
    parser.add_argument(
        "--endpoint",
        default=default,
        help="as hydra.launcher.endpoint (default: %(default)s); --home means the embedded backend",
    )


@contextmanager
def client_of(options: argparse.Namespace) -> Iterator[GrpcFlyteClient]:
    """Give a client of the backend that the options name; starts none.

    Raises:
        BackendUnavailableError: the embedded backend is meant, and does not run.
    """
    from hydraflyte.launcher.endpoint import ON_COMMAND_LINE, endpoint_of, resolve_endpoint
    from hydraflyte.launcher.remote import GrpcFlyteClient

    if _names_embedded(options):
        endpoint = endpoint_of(running_backend(options))
    else:
        endpoint = resolve_endpoint(options.endpoint, None, os.environ, names=ON_COMMAND_LINE)
    client = GrpcFlyteClient(endpoint)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def service_of(options: argparse.Namespace) -> Iterator[Service]:
    """Give the admin service of the backend that the options name; the embedded one without the launcher's imports.

    Raises:
        BackendUnavailableError: the backend does not answer.
        BackendRefusedError: the backend refuses (no such execution, it has ended, …).
        ExecutionError: the same, of the embedded backend.
    """
    if _names_embedded(options):
        from hydraflyte.cli.connection import admin_of

        running = running_backend(options)
        with admin_of(running) as admin:
            yield Service(admin=admin, console_url=running.http_url, is_embedded=True)
        return
    with client_of(options) as client, client.service() as admin:
        yield Service(admin=admin, console_url=client.endpoint.console_url, is_embedded=False)


def _names_embedded(options: argparse.Namespace) -> bool:
    from hydraflyte.launcher.endpoint import means_embedded

    return options.home is not None or means_embedded(options.endpoint, os.environ)
