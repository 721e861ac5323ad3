"""The gateway's routes, for the HTTP application to take up."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from hydraflyte.backend.admin.handlers import SERVICES, build_handlers
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.gateway.gateway import Gateway, OpenApi
from hydraflyte.backend.gateway.rules import read_rules


def gateway_routes(parts: ControlPlaneParts) -> Sequence[BaseRoute]:
    """Return the routes of everything that is served over gRPC and has a path, and of its description."""
    rules = read_rules(SERVICES)
    return (
        Gateway(rules=rules, handlers=build_handlers(parts), token=parts.token),
        Route("/api/v1/openapi", OpenApi(rules).show),
    )
