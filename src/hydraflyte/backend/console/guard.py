"""Who may talk to the HTTP side: checks of host, origin and owner, before any page or file is looked at.

A web page in another tab can make the browser send requests here; the Host check stops DNS rebinding, the
Origin check stops cross-site calls, and pages need the owner's cookie. Signed URLs carry their own proof.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "hydraflyte_console"


def console_key(token: str) -> str:
    """Return the key that opens the console: derived from the API token, but not usable as one."""
    return hmac.new(token.encode(), b"console", hashlib.sha256).hexdigest()[:32]


class HostOriginGuard:
    """Refuses requests whose Host is not this server, whose Origin is another site, or that another page makes.

    Args:
        hosts: the ``host:port`` texts under which this server may be addressed.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            refusal = PlainTextResponse(f"Host {host!r} is not this server.\n", status_code=421)
            await refusal(scope, receive, send)
        elif origin is not None and origin != f"http://{host}":
            refusal = PlainTextResponse(f"Requests from {origin!r} are not accepted.\n", status_code=403)
            await refusal(scope, receive, send)
        elif _is_of_another_page(scope, headers):
            await PlainTextResponse("Requests from other pages are not accepted.\n", status_code=403)(
                scope, receive, send
            )
        else:
            await self._app(scope, receive, send)


def _is_of_another_page(scope: Scope, headers: Headers) -> bool:
    """Tell what browsers say: links may lead here, but nothing else may come from other sites or ports.

    Cookies know no ports, so what a page of another user's server on this machine asks for would carry the owner's.
    """
    is_link = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") not in (None, "same-origin", "none") and not is_link


class OwnerCheck:
    """Lets the owner of the backend read pages and logs: by cookie, by ``?key=``, or by the API token.

    Args:
        token: the API token, or None when the backend was started with ``--no-auth``.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._key = console_key(token) if token is not None else ""

    def refusal(self, request: Request) -> Response | None:
        """Return None if the request is the owner's, else what to answer instead of the page."""
        if _same(request.query_params.get("key"), self._key):
            return self._sign_in(request)  # also who is signed in: pages tell their addresses to decks they link to
        if self._token is None or self._knows_secret(request):
            return None
        return PlainTextResponse(
            "This console is private to the user who runs the backend.\n"
            "Open the address that `hydraflyte status` prints; the browser then stays signed in.\n",
            status_code=401,
        )

    def _knows_secret(self, request: Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return _same(bearer, self._token or "") or _same(request.cookies.get(COOKIE), self._key)

    def _sign_in(self, request: Request) -> Response:
        """Set the cookie and send the browser to the same page without the key in its address."""
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "key"]
        target = request.url.path + (f"?{urlencode(rest)}" if rest else "")
        response = RedirectResponse(target, status_code=303)
        response.set_cookie(COOKIE, self._key, httponly=True, samesite="strict", path="/")
        return response


def _same(given: str | None, expected: str) -> bool:
    return bool(expected) and given is not None and hmac.compare_digest(given.encode(), expected.encode())
