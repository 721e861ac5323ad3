"""A real backend behind a real login: an OAuth2 token server, and a gRPC door that lets in whoever shows its tokens.

Behind the door is the embedded backend; calls are forwarded byte by byte, so everything but the login is the backend's.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import grpc
from flyteidl.service import auth_pb2, auth_pb2_grpc

CLIENT, SECRET = "robot", "p@ss word"
_BASIC = "Basic " + base64.b64encode(f"{CLIENT}:p%40ss+word".encode()).decode()
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class GuardedBackend:
    """The two servers.

    Attributes:
        address: of the gRPC door, plain text.
        calls_per_token: how many calls a token is good for; then it is refused.
        grants: the ``grant_type`` of every request for a token, in order.
        methods: the names of the calls that were let in.
        hangs: whether the token server takes requests and does not answer.
    """

    def __init__(self, socket: str) -> None:
        self.calls_per_token = 1000
        self.grants: list[str] = []
        self.methods: list[str] = []
        self.hangs = False
        self.asks_to_wait = 0
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _token_handler(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc = grpc.server(ThreadPoolExecutor(16))
        auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(_Metadata(self), self._grpc)
        self._grpc.add_generic_rpc_handlers((_Door(self),))
        self.address = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    @property
    def token_server(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._released.set()
        self._grpc.stop(None).wait()
        self._channel.close()
        self._http.shutdown()
        self._http.server_close()

    def new_token(self) -> str:
        with self._lock:
            token = f"token-{len(self._left) + 1}"
            self._left[token] = self.calls_per_token
            return token

    def lets_in(self, authorization: str) -> bool:
        """Tell whether that token is good for one more call."""
        token = authorization.removeprefix("Bearer ")
        with self._lock:
            if self._left.get(token, 0) == 0:
                return False
            self._left[token] -= 1
            return True

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a POST to the token server."""
        if self.hangs:
            self._released.wait(60)
        if path == "/device":
            return 200, {
                "device_code": "device-1",
                "user_code": "ABCD",
                "verification_uri": f"{self.token_server}/login",
                "expires_in": 60,
                "interval": 0,
            }
        grant = form["grant_type"]
        self.grants.append(grant)
        if grant == "client_credentials" and authorization != _BASIC:
            return 401, {"error": "invalid_client"}
        if grant == "refresh_token" and form["refresh_token"] != "again":
            return 400, {"error": "invalid_grant"}
        if grant == DEVICE_GRANT and self.asks_to_wait > 0:
            self.asks_to_wait -= 1
            return 400, {"error": "authorization_pending"}
        return 200, {"access_token": self.new_token(), "refresh_token": "again", "expires_in": 60}

    def forward(self, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def call(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                answer: bytes = self._channel.unary_unary(method)(request, timeout=context.time_remaining())
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            return answer

        return call


@contextmanager
def guarded(socket: str) -> Iterator[GuardedBackend]:
    backend = GuardedBackend(socket)
    try:
        yield backend
    finally:
        backend.close()


class _Metadata(auth_pb2_grpc.AuthMetadataServiceServicer):
    def __init__(self, backend: GuardedBackend) -> None:
        self._backend = backend

    def GetOAuth2Metadata(self, request: Any, context: Any) -> auth_pb2.OAuth2MetadataResponse:
        server = self._backend.token_server
        return auth_pb2.OAuth2MetadataResponse(
            token_endpoint=f"{server}/token",
            authorization_endpoint=f"{server}/authorize",
            device_authorization_endpoint=f"{server}/device",
        )

    def GetPublicClientConfig(self, request: Any, context: Any) -> auth_pb2.PublicClientAuthConfigResponse:
        return auth_pb2.PublicClientAuthConfigResponse(
            client_id="public",
            redirect_uri="http://localhost:53593/callback",
            scopes=["all"],
            authorization_metadata_key="flyte-authorization",
        )


class _Door(grpc.GenericRpcHandler):
    def __init__(self, backend: GuardedBackend) -> None:
        self._backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        shown = dict(details.invocation_metadata or ()).get("flyte-authorization", "")
        if not self._backend.lets_in(str(shown)):
            return grpc.unary_unary_rpc_method_handler(_refuse)
        self._backend.methods.append(details.method.rpartition("/")[2])
        return grpc.unary_unary_rpc_method_handler(self._backend.forward(details.method))


def _refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "token expired or unknown")
    raise AssertionError("abort raises")


def _token_handler(backend: GuardedBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {key: values[0] for key, values in parse_qs(body).items()}
            status, answer = backend.answer(self.path, form, self.headers.get("Authorization", ""))
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
