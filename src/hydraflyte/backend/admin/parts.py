"""What the services are made of; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hydraflyte.backend.ports import ExecutionControl
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.clock import Clock
from hydraflyte.identifiers import AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneParts:
    """Everything the services use.

    Attributes:
        new_name: gives a fresh random execution name (``a`` and 19 lower-case letters or digits).
        signing_key: signs upload and download URLs.
        http_base_url: gives ``http://host:port`` of the HTTP side, without a slash at the end; called per
            request, so the port may be bound after this value is made.
        console_url: where people look at executions, or ``""``; told to clients as the service's HTTP endpoint.
        principal: the owner's name, recorded as who created or ended an execution; ``""`` when nobody has to
            show a token.
        token: bearer token for calls over TCP, or None when none is asked for.
        schedules_changed: told when a launch plan was activated or deactivated.
        why_waiting: says what an attempt that was not started yet waits for; None if it does not wait.
        hold_reads: whether GetExecution of a running execution is held for clients that poll.
    """

    database: Database
    blobs: Blobs
    control: ExecutionControl
    clock: Clock
    new_name: Callable[[], str]
    signing_key: bytes
    http_base_url: Callable[[], str]
    console_url: str = ""
    principal: str = ""
    token: str | None = None
    schedules_changed: Callable[[], None] = lambda: None
    why_waiting: Callable[[AttemptId], str | None] = lambda attempt: None
    hold_reads: bool = True
