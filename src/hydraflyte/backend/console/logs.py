"""Captured streams of attempts over HTTP: plain text, whole or from an offset, never interpreted by a browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.numbers import number_in
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import find_execution, list_task_executions, of_execution
from hydraflyte.backend.store.selection import Selection
from hydraflyte.errors import HydraFlyteError
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

FindLog = Callable[[AttemptId, str], Path]
"""(attempt, stream name) -> where that stream is captured. Raises HydraFlyteError for a name that cannot be one."""

_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_PIECE_BYTES = 64 * 1024


class Logs:
    """Handlers of ``GET /logs/{project}/{domain}/{execution}`` and of ``…/{node}/{attempt}/{stream}`` below it."""

    def __init__(self, *, find: FindLog, database: Database, owner: OwnerCheck) -> None:
        self._find = find
        self._database = database
        self._owner = owner

    async def show_all(self, request: Request) -> Response:
        """Send what all attempts of an execution wrote, in the order of their beginning, each under a heading."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        parts = request.path_params
        execution = ExecutionId(project=parts["project"], domain=parts["domain"], name=parts["execution"])
        uris = await self._database.read(lambda connection: _log_uris(connection, execution))
        if uris is None:
            return PlainTextResponse(f"There is no execution {execution}.\n", status_code=404)
        return StreamingResponse(self._texts(execution, uris), media_type="text/plain; charset=utf-8", headers=_HEADERS)

    def _texts(self, execution: ExecutionId, uris: list[str]) -> Iterator[bytes]:
        for uri in uris:
            *_, node, attempt, stream = (unquote(part) for part in urlsplit(uri).path.split("/"))
            path = self._find(AttemptId(execution=execution, node=NodeId(node), attempt=int(attempt)), stream)
            yield from _under_heading(f"==> {node} attempt {attempt} {stream} <==\n", path)

    async def show(self, request: Request) -> Response:
        """Send the stream as text. 404 while nothing was captured."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        parts = request.path_params
        execution = ExecutionId(project=parts["project"], domain=parts["domain"], name=parts["execution"])
        number = number_in(parts["attempt"])
        if number is None:
            return _no_such_log()
        attempt = AttemptId(execution=execution, node=NodeId(parts["node"]), attempt=number)
        try:
            path = self._find(attempt, parts["stream"])
            if not path.is_file():
                return PlainTextResponse("Nothing was captured (yet).\n", status_code=404)
        except (HydraFlyteError, OSError):  # no name of a file, or one that is too long for any
            return _no_such_log()
        return FileResponse(path, media_type="text/plain; charset=utf-8", headers=_HEADERS)


def _no_such_log() -> Response:
    return PlainTextResponse("There is no such log.\n", status_code=404)


def _log_uris(connection: sqlite3.Connection, execution: ExecutionId) -> list[str] | None:
    """Return where the streams of all attempts are; None if there is no such execution."""
    if find_execution(connection, execution) is None:
        return None
    in_order = of_execution(Selection(order_by="task_executions.created_at, task_executions.id"), execution)
    return [uri for attempt in list_task_executions(connection, in_order) for _, uri in attempt.logs]


def _under_heading(heading: str, path: Path) -> Iterator[bytes]:
    """Yield the file's content after its heading; nothing for a file that is empty or not there."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    yield heading.encode()
    last = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            last = piece
            yield piece
    if not last.endswith(b"\n"):
        yield b"\n"
