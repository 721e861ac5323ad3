"""A connection to the HTTP side: one of so many at most, closed when no whole request comes in time.

One rule: this holds before anybody is asked who they are. uvicorn alone waits for ever for the first request.
"""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from hydraflyte.backend.connections import PATIENCE_S, most_connections


def http_config(app: Starlette, *, patience_s: int = PATIENCE_S) -> uvicorn.Config:
    """Return how uvicorn serves the HTTP side; its other protocols have no limits, and WebSockets are not used."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="error",  # else whoever connects could fill the log with broken requests
        access_log=False,
        lifespan="off",
        timeout_keep_alive=patience_s,
        timeout_graceful_shutdown=1,
        server_header=False,
    )


class Connection(H11Protocol):
    """What uvicorn makes of each connection; it waits for a request as long as it keeps an idle one."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Hang up at once if there are too many, else begin to wait."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Say that the request is broken; if it was answered before it broke, hang up."""
        if self.cycle and self.cycle.response_started:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _wait(self) -> None:
        self._wait_no_longer()
        if not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        is_answering = bool(self.cycle) and not self.cycle.response_complete
        if not is_answering and not self.transport.is_closing():
            self.transport.close()
