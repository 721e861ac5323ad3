"""A token server for registries with bearer tokens: it signs what users may do, and notes what was asked for."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.image_tools import run_registry

SERVICE = "tests"
ISSUER = "hydraflyte-tests"


@dataclass
class TokenRegistry:
    """A registry with its token server.

    Users: ada (password lovelace) and the identity token "ada-s-token" may do everything; guests may pull from
    repositories below public/.
    """

    host: str = ""
    asked: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    """Method, user and scopes of each request for a token."""
    troubles: list[int] = field(default_factory=list)
    """Statuses to answer with instead, one for each request to come."""


@contextlib.contextmanager
def run_token_registry(folder: Path) -> Iterator[TokenRegistry]:
    folder.mkdir(parents=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    found = TokenRegistry()

    class Handler(_Handler):
        pass

    Handler.found, Handler.key, Handler.certificate = found, key, certificate
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        realm = f"http://127.0.0.1:{server.server_port}/token"
        token = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(certificate)}
        with run_registry(folder / "store", {"auth": {"token": token}}) as host:
            found.host = host
            yield found
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    found: TokenRegistry
    key: Path
    certificate: Path

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._give(parse_qs(urlsplit(self.path).query), _user_of(self.headers.get("Authorization", "")))

    def do_POST(self) -> None:
        parameters = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_ada = parameters.get("refresh_token") == ["ada-s-token"] and parameters["grant_type"] == ["refresh_token"]
        self._give(parameters, "ada" if is_ada else None)

    def _give(self, parameters: dict[str, list[str]], user: str | None) -> None:
        scopes = tuple(scope for text in parameters.get("scope", []) for scope in text.split())
        self.found.asked.append((self.command, user or "?", scopes))
        if self.found.troubles:
            self._answer(self.found.troubles.pop(0), {})
        elif user is None or parameters.get("service") != [SERVICE]:
            self._answer(401, {"details": "incorrect username or password"})
        else:
            token = self._signed([access for scope in scopes if (access := _allowed(user, scope)) is not None])
            self._answer(200, {"token": token, "expires_in": 300})

    def _signed(self, access: list[dict[str, object]]) -> str:
        lines = self.certificate.read_text().splitlines()
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(line for line in lines if "-----" not in line)]}
        claims = {
            "iss": ISSUER, "sub": "tests", "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
            "access": access,
        }  # fmt: skip
        text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(), capture_output=True, check=True
        ).stdout
        return f"{text}.{_encoded(signature)}"

    def _answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _user_of(authorization: str) -> str | None:
    if not authorization:
        return "guest"
    text = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    return {"ada:lovelace": "ada", "reader:reads": "reader"}.get(text)


def _allowed(user: str, scope: str) -> dict[str, object] | None:
    kind, name, actions = scope.split(":")
    wanted = actions.split(",")
    if user == "reader" or (user == "guest" and name.startswith("public/")):
        wanted = [action for action in wanted if action == "pull"]
    elif user == "guest":
        return None
    return {"type": kind, "name": name, "actions": wanted}


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
