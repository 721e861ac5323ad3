"""The outbox for the command line: what was or is to be delivered, as JSON, and another try on request."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.numbers import number_in
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.outbox import NotificationRow, list_notifications, try_again
from hydraflyte.clock import Clock

_MOST = 1000


class Outbox:
    """Handlers of ``/notifications``.

    Args:
        changed: called when a notification is to be tried again.
    """

    def __init__(self, *, database: Database, clock: Clock, owner: OwnerCheck, changed: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._changed = changed

    async def list(self, request: Request) -> Response:
        """Answer with the newest notifications, newest first; ``limit`` says how many."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        text = request.query_params.get("limit", "100")
        limit = number_in(text)
        if limit is None or not 0 < limit <= _MOST:
            return JSONResponse({"error": f"limit is {text[:80]!r}; it may be 1 to {_MOST}"}, status_code=400)
        rows = await self._database.read(lambda connection: list_notifications(connection, limit))
        return JSONResponse([_facts(row) for row in rows])

    async def retry(self, request: Request) -> Response:
        """Have a notification that is not delivered tried again now."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        text, now = request.path_params["number"], self._clock.now()
        number = number_in(text)
        if number is None or not await self._database.write(lambda connection: try_again(connection, number, now)):
            return JSONResponse({"error": f"no notification {text[:80]} waits to be delivered"}, status_code=404)
        self._changed()
        return JSONResponse({"number": number})


def _facts(row: NotificationRow) -> dict[str, str | int]:
    return {
        "number": row.row_id,
        "execution": str(row.execution),
        "kind": row.kind,
        "target": row.target,
        "subject": json.loads(row.message)["subject"],
        "status": row.status.value,
        "tries": row.tries,
        "trouble": row.trouble,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
