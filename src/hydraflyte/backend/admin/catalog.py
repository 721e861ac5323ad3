"""The catalog for clients: look at what is remembered under a key, and forget it (flyteidl's CacheService).

A key is what a node's ``catalog_key`` says, as one text: ``project:domain:name:version:tag``. Outputs get there, and
reservations are made, only by running tasks.
"""

from __future__ import annotations

import sqlite3

from flyteidl.cacheservice.cacheservice_pb2 import (
    CachedOutput,
    DeleteCacheRequest,
    DeleteCacheResponse,
    GetCacheRequest,
    GetCacheResponse,
    KeyMapMetadata,
    Metadata,
)

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.convert import timestamp
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.store import catalog


class CatalogService:
    """Handlers of CacheService."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database

    async def get(self, request: GetCacheRequest) -> GetCacheResponse:
        """Get: the outputs under a key, and the attempt that they come from."""
        dataset, tag = _parts(request.key)
        found = await self._database.read(lambda connection: catalog.find_artifact(connection, dataset, tag))
        if found is None:
            raise _missing(request.key)
        stored_at = timestamp(found.created_at)
        metadata = Metadata(
            key_map=KeyMapMetadata(values={"source": str(found.source)}),
            created_at=stored_at,
            last_updated_at=stored_at,
        )
        return GetCacheResponse(output=CachedOutput(output_literals=found.outputs, metadata=metadata))

    async def delete(self, request: DeleteCacheRequest) -> DeleteCacheResponse:
        """Delete: the next execution of the task with these inputs runs it; nodes that used them are CACHE_EVICTED."""
        dataset, tag = _parts(request.key)

        def evict(connection: sqlite3.Connection) -> bool:
            return catalog.evict(connection, dataset, tag)

        if not await self._database.write(evict):
            raise _missing(request.key)
        return DeleteCacheResponse()


def _parts(key: str) -> tuple[str, str]:
    """Return the dataset and the tag of a key; a tag has no colon."""
    dataset, _, tag = checks.required(key, "key").rpartition(":")
    if dataset.count(":") < 3 or not tag:
        raise InvalidRequest(f"key {key[:200]!r} must be project:domain:name:version:tag, as in a node's catalog_key")
    return dataset, tag


def _missing(key: str) -> Missing:
    return Missing(f"nothing is cached under {key}")
