"""The launcher's client for verbs that work with any backend: ``--endpoint``, ``--project`` and ``--domain``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydraflyte.cli.options import running_backend

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from hydraflyte.launcher.remote import GrpcFlyteClient


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
    from hydraflyte.launcher.endpoint import ON_COMMAND_LINE, endpoint_of, means_embedded, resolve_endpoint
    from hydraflyte.launcher.remote import GrpcFlyteClient

    if options.home is not None or means_embedded(options.endpoint, os.environ):
        endpoint = endpoint_of(running_backend(options))
    else:
        endpoint = resolve_endpoint(options.endpoint, None, os.environ, names=ON_COMMAND_LINE)
    client = GrpcFlyteClient(endpoint)
    try:
        yield client
    finally:
        client.close()
