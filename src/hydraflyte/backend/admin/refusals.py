"""The answers that say no: one class for each gRPC status that a handler may choose.

Messages are for the person at the client: what is wrong with the request, with its values. The table from
class to status is in ``status``; handlers never name a status.
"""

from __future__ import annotations

from google.protobuf.message import Message

from hydraflyte.identifiers import ExecutionId


class Refusal(Exception):
    """Base of all refusals.

    Args:
        message: one or a few sentences.
        detail: a flyteidl message that tells clients the reason in machine-readable form, if Flyte defines one.
    """

    def __init__(self, message: str, *, detail: Message | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidRequest(Refusal):
    """A field is missing, malformed or contradicts what is stored."""


class Missing(Refusal):
    """What the request names does not exist."""


class AlreadyThere(Refusal):
    """What the request would create exists already, with the same content."""


class TooLate(Refusal):
    """What the request would change has ended."""


class NotServed(Refusal):
    """hydraflyte does not offer this call (yet)."""


class NotAllowed(Refusal):
    """The caller has not shown that it is the owner of this backend."""


def missing_execution(execution: ExecutionId) -> Missing:
    """Return the refusal of a request about an execution that does not exist."""
    return Missing(f"missing entity of type execution with identifier {execution}")
