"""The border around every handler: its answer, or a failure that already has its status.

The one rule: whatever a handler raises becomes a status by ``status``'s table, or INTERNAL with a line in the
log; nothing becomes UNKNOWN. Both doors, gRPC and HTTP, call handlers through here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from hydraflyte.backend.admin.status import RpcStatus, internal_status, status_of

log = logging.getLogger(__name__)


class CallFailed(Exception):
    """A call was refused, or went wrong; ``status`` is what the client is told."""

    def __init__(self, status: RpcStatus) -> None:
        super().__init__(status.message)
        self.status = status


async def answer(method: str, handler: Callable[[], Awaitable[Message]], request: Message) -> Message:
    """Return the handler's answer.

    Args:
        method: full name of the method, for the log.
        handler: answers ``request``, which is given here only to name it in the log.

    Raises:
        CallFailed: the handler raised anything at all.
    """
    try:
        return await handler()
    except Exception as error:  # process border: every failure of a handler is told to the client
        status = status_of(error)
        if status is None:
            log.exception("%s of %s failed", method, _subject(request))
            status = internal_status(error)
        raise CallFailed(status) from error


def _subject(request: Any) -> str:  # any request message
    """What the request is about, for the log: its id, on one line."""
    identifier = getattr(request, "id", None)
    return " ".join(str(identifier).split())[:300] if identifier else "?"
