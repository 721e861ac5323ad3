"""Who may run a task whose cache is serialised: one node at a time for each key of the catalog (``cache_serialize``).

The one rule: a reservation is part of its node's state, which is stored; what is here is derived from the states
of open executions and lives no longer than they do. So an owner cannot die unnoticed, and nothing needs to expire.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hydraflyte.identifiers import ExecutionId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogKey:
    """Where outputs are kept: see ``engine.cachekeys``."""

    dataset: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The node execution that holds a reservation."""

    execution: ExecutionId
    node: NodeId


class Reservations:
    """All methods are for the asyncio thread of the loop."""

    def __init__(self) -> None:
        self._owners: dict[CatalogKey, Owner] = {}
        self._freed: dict[CatalogKey, asyncio.Event] = {}

    def take(self, key: CatalogKey, owner: Owner) -> bool:
        """Reserve the key; returns False if another node has."""
        return self._owners.setdefault(key, owner) == owner

    def release(self, key: CatalogKey, owner: Owner) -> None:
        """End the reservation, if it is this owner's, and let those go on that wait for it."""
        if self._owners.get(key) != owner:
            return
        del self._owners[key]
        freed = self._freed.pop(key, None)
        if freed is not None:
            freed.set()

    def release_all(self, execution: ExecutionId) -> None:
        """End every reservation of an execution that has ended."""
        for key, owner in list(self._owners.items()):
            if owner.execution == execution:
                self.release(key, owner)

    async def until_free(self, key: CatalogKey) -> None:
        """Return once nobody holds the key; somebody else may be quicker to take it."""
        if key in self._owners:
            await self._freed.setdefault(key, asyncio.Event()).wait()
