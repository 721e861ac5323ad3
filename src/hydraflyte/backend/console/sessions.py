"""``/login`` and ``/logout``, where Flyte's console sends people: in goes who has the key, out goes the cookie.

The one rule: people are only ever sent on to a page of this server.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hydraflyte.backend.console.guard import COOKIE, OwnerCheck

_HOME = "/console"


class Sessions:
    """Handlers of signing in and out."""

    def __init__(self, *, owner: OwnerCheck) -> None:
        self._owner = owner

    async def login(self, request: Request) -> Response:
        """Send the owner on to ``redirect_url``; tell others where the key is."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        return RedirectResponse(_page_here(request.query_params.get("redirect_url", "")), status_code=303)

    async def logout(self, request: Request) -> Response:
        """Make the browser forget the key."""
        response = RedirectResponse(_HOME, status_code=303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")
        return response


def _page_here(target: str) -> str:
    """Return the target if it is a path of this server, else the console."""
    is_path = target.startswith("/") and target[1:2] not in ("/", "\\")
    return target if is_path and target.isascii() and target.isprintable() else _HOME
