"""The HTTP side as one Starlette application: signed transfers, logs, the console, and routes of other rooms.

A list of routes and the guard around them; every handler is a method of a part that is passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hydraflyte.backend.console.cleaning import Cleaning
from hydraflyte.backend.console.guard import HostOriginGuard
from hydraflyte.backend.console.logs import Logs
from hydraflyte.backend.console.orders import Orders
from hydraflyte.backend.console.outbox import Outbox
from hydraflyte.backend.console.pages import Pages
from hydraflyte.backend.console.sessions import Sessions
from hydraflyte.backend.console.sweeps import SweepPages
from hydraflyte.backend.console.transfer import Transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpParts:
    """What the application is made of.

    Attributes:
        hosts: the ``host:port`` texts that name this server.
        further: routes of other rooms, behind the same guard.
    """

    transfers: Transfers
    logs: Logs
    pages: Pages
    sweeps: SweepPages
    orders: Orders
    outbox: Outbox
    hosts: Collection[str]
    sessions: Sessions
    cleaning: Cleaning
    further: Sequence[BaseRoute] = ()


def build_app(parts: HttpParts) -> Starlette:
    """Return the ASGI application."""
    execution = "/console/projects/{project}/domains/{domain}/executions/{name}"
    return Starlette(
        routes=[
            Route("/healthcheck", _healthy),
            Route("/", _to_console),
            Route("/blobs/{path:path}", parts.transfers.upload, methods=["PUT"]),
            Route("/blobs/{path:path}", parts.transfers.download, methods=["GET"]),
            Route("/logs/{project}/{domain}/{execution}", parts.logs.show_all),
            Route("/logs/{project}/{domain}/{execution}/{node}/{attempt}/{stream}", parts.logs.show),
            Route("/console", parts.pages.executions),
            Route("/console/projects/{project}/executions", parts.pages.executions),
            Route(execution, parts.pages.execution),
            Route(f"{execution}/decks/{{node}}", parts.pages.deck),
            Route(f"{execution}/{{verb}}", parts.orders.order, methods=["POST"]),
            Route("/console/sweeps", parts.sweeps.sweeps),
            Route("/console/projects/{project}/domains/{domain}/sweeps/{sweep:path}", parts.sweeps.sweep),
            Route("/console/notifications", parts.pages.notifications),
            Route("/console/schedules", parts.pages.schedules),
            Route("/notifications", parts.outbox.list),
            Route("/notifications/{number}/retry", parts.outbox.retry, methods=["POST"]),
            Route("/clean", parts.cleaning.clean, methods=["POST"]),
            Route("/login", parts.sessions.login),
            Route("/logout", parts.sessions.logout),
            *parts.further,
        ],
        middleware=[Middleware(HostOriginGuard, hosts=parts.hosts)],
    )


async def _healthy(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _to_console(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/console{query}", status_code=307)
