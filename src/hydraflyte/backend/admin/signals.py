"""Signals (section 1.14). Gate nodes are refused at registration, so there is nothing to wait for yet."""

from __future__ import annotations

from flyteidl.admin.signal_pb2 import (
    Signal,
    SignalGetOrCreateRequest,
    SignalList,
    SignalListRequest,
    SignalSetRequest,
    SignalSetResponse,
)

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.filters import list_selection
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing, NotServed
from hydraflyte.backend.store import listing


class SignalService:
    """Handlers of SignalService."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database

    async def get_or_create(self, request: SignalGetOrCreateRequest) -> Signal:
        """GetOrCreateSignal: only Flyte's own engine calls this."""
        raise NotServed("GetOrCreateSignal is for the engine, which is part of this backend.")

    async def list(self, request: SignalListRequest) -> SignalList:
        """ListSignals."""
        execution = checks.execution_id(request.workflow_execution_id)
        list_selection(Entity.SIGNAL, request)
        if await self._database.read(lambda connection: listing.find_execution(connection, execution)) is None:
            raise Missing(f"missing entity of type execution with identifier {execution}")
        return SignalList()

    async def set(self, request: SignalSetRequest) -> SignalSetResponse:
        """SetSignal: there is no signal to set."""
        execution = checks.execution_id(request.id.execution_id)
        signal = checks.required(request.id.signal_id, "signal_id")
        if not request.HasField("value"):
            raise InvalidRequest("missing value")
        raise InvalidRequest(f"execution {execution} has no signal {signal!r}")
