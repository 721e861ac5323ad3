"""Captured streams of attempts over HTTP: plain text, whole or from an offset, never interpreted by a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

FindLog = Callable[[AttemptId, str], Path]
"""(attempt, stream name) -> where that stream is captured. Raises ValueError for a name that cannot be one."""


class Logs:
    """Handler of ``GET /logs/{project}/{domain}/{execution}/{node}/{attempt}/{stream}``."""

    def __init__(self, *, find: FindLog, owner: OwnerCheck) -> None:
        self._find = find
        self._owner = owner

    async def show(self, request: Request) -> Response:
        """Send the stream as text. 404 while nothing was captured."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        parts = request.path_params
        execution = ExecutionId(project=parts["project"], domain=parts["domain"], name=parts["execution"])
        attempt = AttemptId(execution=execution, node=NodeId(parts["node"]), attempt=parts["attempt"])
        try:
            path = self._find(attempt, parts["stream"])
        except ValueError:
            return PlainTextResponse("There is no such log.\n", status_code=404)
        if not path.is_file():
            return PlainTextResponse("Nothing was captured (yet).\n", status_code=404)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return FileResponse(path, media_type="text/plain; charset=utf-8", headers=headers)
