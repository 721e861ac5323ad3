"""A proxy before a real registry that goes wrong as it is told: connections break, bytes change, answers are held back.

It also keeps the list of requests, so that a test can count them.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with requests whose "METHOD path" matches, for so many times.

    Attributes:
        status: answered instead of asking the registry.
        drop_body_after: the connection is closed when so many bytes of the request's body have come.
        cut_answer_after: the connection is closed when so many bytes of the answer's body have gone.
        change: applied to the answer's body; its headers stay.
        is_silent: nothing is answered until the proxy ends.
        is_endless: the answer's body, after ``body``, goes on until the other side hangs up.
        waits_for: nothing is answered until such a "METHOD path" has come, too.
        drip_s: the answer's body comes byte by byte, with such a pause after each.
    """

    at: str
    times: int = 1_000_000
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop_body_after: int | None = None
    cut_answer_after: int | None = None
    change: Callable[[bytes], bytes] | None = None
    is_silent: bool = False
    is_endless: bool = False
    drip_s: float = 0.0
    waits_for: str = ""


@dataclass
class FaultyProxy:
    """``host`` is what images are named after; ``bodies`` are those that were sent."""

    host: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def fault_for(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.at, line):
                fault.times -= 1
                return fault
        return None


@contextlib.contextmanager
def run_proxy(registry: str, *, tls: tuple[Path, Path] | None = None) -> Iterator[FaultyProxy]:
    """Serve a proxy before ``localhost:<port>`` on another port of localhost.

    Args:
        tls: certificate and key, for a proxy that speaks TLS.
    """
    proxy = FaultyProxy(host="")

    class Handler(_Handler):
        pass

    Handler.proxy, Handler.registry = proxy, registry
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.block_on_close = False
        proxy.host = f"localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield proxy
        proxy.closing.set()
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy
    registry: str

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        line = f"{self.command} {self.path}"
        self.proxy.requests.append(line)
        self.proxy.authorizations.append(self.headers.get("Authorization"))
        fault = self.proxy.fault_for(line) or Fault(at="")
        length = int(self.headers.get("Content-Length") or 0)
        if fault.drop_body_after is not None:
            self.rfile.read(min(length, fault.drop_body_after))
            self._hang_up()
            return
        body = self.rfile.read(length)
        self.proxy.bodies.append(body)
        while not any(re.search(fault.waits_for, each) for each in self.proxy.requests):
            if self.proxy.closing.wait(0.01):
                return
        if fault.is_silent:
            self.proxy.closing.wait()
            self._hang_up()
        elif fault.is_endless:
            self._answer(fault.status or 200, fault.headers, fault.body)
            self._go_on()
        elif fault.drip_s and self.command != "HEAD":
            self._answer(fault.status or 200, {**fault.headers, "Content-Length": str(len(fault.body))}, b"")
            self._drip(fault)
        elif fault.status is not None:
            self._answer(fault.status, {**fault.headers, "Content-Length": str(len(fault.body))}, fault.body)
        else:
            self._forward(body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def _forward(self, body: bytes, fault: Fault) -> None:
        host, _, port = self.registry.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        names = [name for name in self.headers if name.lower() != "connection"]
        headers = {name: ", ".join(self.headers.get_all(name, [])) for name in names}
        connection.request(self.command, self.path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        if fault.change is not None:
            content = fault.change(content)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in ("connection", "date")}
        if self.command != "HEAD":
            kept["Content-Length"] = str(len(content))
        connection.close()
        if fault.cut_answer_after is None:
            self._answer(response.status, kept, content)
        else:
            self._answer(response.status, kept, content[: fault.cut_answer_after])
            self._hang_up()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _go_on(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(512):  # 64 MiB will do
                self.wfile.write(b" " * 131072)

    def _drip(self, fault: Fault) -> None:
        with contextlib.suppress(OSError):
            for byte in fault.body:
                if self.proxy.closing.wait(fault.drip_s):
                    return
                self.wfile.write(bytes([byte]))

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
