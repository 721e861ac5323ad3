"""Signals: what gate nodes wait for, seen and set by clients (section 1.14 of Flyte's semantics)."""

from __future__ import annotations

import sqlite3

from flyteidl.admin.signal_pb2 import (
    Signal,
    SignalGetOrCreateRequest,
    SignalList,
    SignalListRequest,
    SignalSetRequest,
    SignalSetResponse,
)
from flyteidl.core.identifier_pb2 import SignalIdentifier

from hydraflyte.backend.admin import checks, convert
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection, next_token
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.compiler.fitting import is_fitting
from hydraflyte.backend.compiler.literal_types import literal_type
from hydraflyte.backend.compiler.wiring import type_text
from hydraflyte.backend.store import listing, signals
from hydraflyte.backend.store.signals import SignalRow
from hydraflyte.identifiers import ExecutionId


class SignalService:
    """Handlers of SignalService."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._control = parts.control

    async def get_or_create(self, request: SignalGetOrCreateRequest) -> Signal:
        """GetOrCreateSignal: what a gate does when it begins to wait; a client may be earlier."""
        execution, signal_id = _signal_id(request.id)
        if request.type.WhichOneof("type") is None:
            raise InvalidRequest("missing type")
        now = self._clock.now()

        def create(connection: sqlite3.Connection) -> SignalRow | None:
            _check_execution(connection, execution)
            signals.open_signal(connection, execution, signal_id, request.type, now)
            return signals.find_signal(connection, execution, signal_id)

        row = await self._database.write(create)
        assert row is not None, "it was stored in this transaction, or before"
        return _message(row)

    async def list(self, request: SignalListRequest) -> SignalList:
        """ListSignals: those of one execution."""
        execution = checks.execution_id(request.workflow_execution_id)
        selection = list_selection(Entity.SIGNAL, request)

        def read(connection: sqlite3.Connection) -> list[SignalRow]:
            _check_execution(connection, execution)
            return signals.list_signals(connection, selection, execution)

        rows = await self._database.read(read)
        return SignalList(
            signals=[_message(row) for row in rows], token=next_token(selection.limit, selection.offset, len(rows))
        )

    async def set(self, request: SignalSetRequest) -> SignalSetResponse:
        """SetSignal: returns once the value is durable; the gates that wait for it open at once."""
        execution, signal_id = _signal_id(request.id)
        if not request.HasField("value"):
            raise InvalidRequest("missing value")
        row = await self._database.read(lambda connection: signals.find_signal(connection, execution, signal_id))
        if row is None:
            raise InvalidRequest(f"execution {execution} has no signal {signal_id!r} (yet)")
        given = literal_type(request.value)
        if given is None or not is_fitting(request.value, row.type):
            found = "no value" if given is None else type_text(given)
            raise InvalidRequest(f"signal {signal_id!r} is {type_text(row.type)} but was set to {found}")
        now = self._clock.now()
        await self._database.write(
            lambda connection: signals.set_signal(connection, execution, signal_id, request.value, now)
        )
        self._control.note_signal(execution, signal_id, request.value)
        return SignalSetResponse()


def _signal_id(identifier: SignalIdentifier) -> tuple[ExecutionId, str]:
    return checks.execution_id(identifier.execution_id), checks.required(identifier.signal_id, "signal_id")


def _check_execution(connection: sqlite3.Connection, execution: ExecutionId) -> None:
    if listing.find_execution(connection, execution) is None:
        raise Missing(f"missing entity of type execution with identifier {execution}")


def _message(row: SignalRow) -> Signal:
    identifier = SignalIdentifier(signal_id=row.signal_id, execution_id=convert.execution_identifier(row.execution))
    return Signal(id=identifier, type=row.type, value=row.value)
