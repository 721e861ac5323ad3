"""Where the backend listens: loopback addresses only, a pair of ports, bound before anything is announced."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from dataclasses import dataclass

from hydraflyte.errors import BackendStartError
from hydraflyte.home import DEFAULT_PORT

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where this backend can be reached."""

    host: str
    grpc_port: int
    http_port: int

    @property
    def endpoint(self) -> str:
        return f"{_bracketed(self.host)}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.http_port}"

    @property
    def http_hosts(self) -> frozenset[str]:
        """The texts a browser or client may put into its Host header."""
        names = {"127.0.0.1", "localhost", "[::1]", _bracketed(self.host)}
        return frozenset(f"{name}:{self.http_port}" for name in names)


def reserve(host: str, port: int | None, *, last_port: int | None) -> tuple[socket.socket, Addresses]:
    """Find a port for gRPC and a bound socket for HTTP, on the next port if that is free.

    Args:
        host: loopback address.
        port: None takes the default port, or a free one if that is taken; 0 takes a free one.
        last_port: the port of the backend that served this home before: clients know it, so unless another one
            is asked for, it comes first.

    Raises:
        BackendStartError: the port asked for is taken, or the host is not a loopback address.
    """
    _require_loopback(host)
    if port is not None and not 0 <= port <= _LAST_PORT:
        raise BackendStartError(
            f"--port {port} is not the number of a port.",
            hint=f"choose one from 1 to {_LAST_PORT}, or 0 for a free one.",
        )
    if port:
        return _bind_pair(host, port)
    for candidate in (last_port, DEFAULT_PORT if port is None else None):
        if candidate is not None:
            with contextlib.suppress(BackendStartError):
                return _bind_pair(host, candidate)
    return _bind_free_pair(host)


def _bind_pair(host: str, port: int) -> tuple[socket.socket, Addresses]:
    _bind(host, port).close()  # gRPC binds it again itself; this tells whether it is free
    try:
        http_socket = _bind(host, port + 1 if port < _LAST_PORT else 0)
    except BackendStartError:  # clients learn the HTTP address from the backend, so any other port will do
        http_socket = _bind(host, 0)
    return http_socket, Addresses(host=host, grpc_port=port, http_port=http_socket.getsockname()[1])


def _bind_free_pair(host: str) -> tuple[socket.socket, Addresses]:
    with _bind(host, 0) as probe:
        port = probe.getsockname()[1]
        http_socket = _bind(host, 0)
    return http_socket, Addresses(host=host, grpc_port=port, http_port=http_socket.getsockname()[1])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio turns Nagle off only for sockets whose protocol is: else each answer waits 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        reason = (
            "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
        raise BackendStartError(
            f"Port {port} on {host} {reason}.",
            hint="choose another one with --port, or stop what listens there.",
        ) from error
    return bound


def _require_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
            return
    raise BackendStartError(
        f"--host {host} is not a loopback address; the backend runs code for its owner and serves this machine only.",
        hint="use 127.0.0.1 or ::1; from another machine, forward the port over ssh.",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
