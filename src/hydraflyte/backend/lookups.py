"""What nodes ask of the store: what the catalog has for a task, who may run it, what a gate was told before it opened.

The one rule: every LookUpCache is answered by CacheAnswered in the end, whatever goes wrong on the way, as long as
its execution is open. It holds no rule of Flyte.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from hydraflyte.backend.children import insisting
from hydraflyte.backend.engine.commands import KeepReservation, LookUpCache, OpenSignal, ReleaseReservation
from hydraflyte.backend.engine.events import CacheAnswered, SignalSet
from hydraflyte.backend.ports import EventSink
from hydraflyte.backend.reservations import CatalogKey, Owner, Reservations
from hydraflyte.backend.store.catalog import Artifact
from hydraflyte.backend.store.executions import ExecutionStore
from hydraflyte.identifiers import ExecutionId

log = logging.getLogger(__name__)


class Lookups:
    """Carries out the commands about the catalog and signals. All methods are for the asyncio thread of the loop."""

    def __init__(self, *, store: ExecutionStore, sink: EventSink, is_open: Callable[[ExecutionId], bool]) -> None:
        self._store = store
        self._sink = sink
        self._is_open = is_open
        self._reservations = Reservations()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Stop looking. What was not answered is asked again when the executions are taken up."""
        for task in self._tasks:
            task.cancel()

    def look_up_cache(self, execution: ExecutionId, command: LookUpCache) -> None:
        """Ask the catalog, and wait for a reservation if the task's cache is serialised; returns at once."""
        self._run(self._answer_cache(execution, command))

    def look_up_signal(self, execution: ExecutionId, command: OpenSignal) -> None:
        """Tell the gate a value that was there before it; returns at once."""
        self._run(self._answer_signal(execution, command))

    def keep(self, execution: ExecutionId, command: KeepReservation) -> None:
        """Reserve what the stored state says is reserved."""
        self._reservations.take(_key(command), Owner(execution=execution, node=command.node))

    def release(self, execution: ExecutionId, command: ReleaseReservation) -> None:
        """Let the next one have it."""
        self._reservations.release(_key(command), Owner(execution=execution, node=command.node))

    def forget(self, execution: ExecutionId) -> None:
        """Give up what an execution that has ended had reserved."""
        self._reservations.release_all(execution)

    async def _answer_cache(self, execution: ExecutionId, command: LookUpCache) -> None:
        artifact, has_failed, is_reserved = None, False, False
        try:
            if command.reserves:
                artifact = await self._find_or_reserve(execution, command)
                is_reserved = artifact is None
            else:
                artifact = await self._store.find_artifact(command.dataset, command.tag)
        except Exception:  # process border: a node must not wait for ever for an answer
            log.exception("%s: the catalog cannot be asked; %s runs uncached", execution, command.node)
            has_failed = True
        event = CacheAnswered(
            node=command.node,
            attempt=command.attempt,
            outputs=artifact.outputs if artifact else None,
            source=artifact.source if artifact else None,
            has_failed=has_failed,
            is_reserved=is_reserved,
        )
        self._sink.post(execution, event)

    async def _find_or_reserve(self, execution: ExecutionId, command: LookUpCache) -> Artifact | None:
        """Return what the catalog has, once; None when the node may run the task, and nobody else does."""
        key = _key(command)
        owner = Owner(execution=execution, node=command.node)
        while True:
            is_ours = self._is_open(execution) and self._reservations.take(key, owner)
            try:
                artifact = await self._store.find_artifact(command.dataset, command.tag)
            except Exception:
                self._reservations.release(key, owner)
                raise
            if artifact is not None:
                self._reservations.release(key, owner)
                return artifact
            if is_ours or not self._is_open(execution):
                return None
            await self._reservations.until_free(key)

    async def _answer_signal(self, execution: ExecutionId, command: OpenSignal) -> None:
        value = await insisting(lambda: self._store.find_signal_value(execution, command.signal_id))
        if value is not None:
            self._sink.post(execution, SignalSet(signal_id=command.signal_id, value=value))

    def _run(self, look: Coroutine[Any, Any, None]) -> None:  # what it yields to the event loop is nobody's business
        task = asyncio.create_task(look)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(command: LookUpCache | KeepReservation | ReleaseReservation) -> CatalogKey:
    return CatalogKey(dataset=command.dataset, tag=command.tag)
