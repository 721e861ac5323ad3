"""``POST /clean``: the clean-up of the command line, done by the backend that serves, for its owner."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from hydraflyte.backend.cleaning import Cleaner, CleanOrder
from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.clock import Clock


class Cleaning:
    """Handler of ``POST /clean?older_than_s=…&dry_run=…&cache=…``."""

    def __init__(self, *, cleaner: Cleaner, owner: OwnerCheck, clock: Clock) -> None:
        self._cleaner = cleaner
        self._owner = owner
        self._clock = clock

    async def clean(self, request: Request) -> Response:
        """Free the space; the answer says of what. 400 for an age that is no number."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        asked = request.query_params
        now = self._clock.now()
        try:
            before = now - timedelta(seconds=max(0.0, float(asked.get("older_than_s", ""))))
        except (ValueError, OverflowError):
            return PlainTextResponse("older_than_s must be a number of seconds.\n", status_code=400)
        order = CleanOrder(
            before=before, now=now, with_cache=asked.get("cache") == "true", is_dry_run=asked.get("dry_run") == "true"
        )
        return JSONResponse(asdict(await self._cleaner.clean(order)))
