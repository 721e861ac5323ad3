"""The items of array nodes as their task executions show them: each that has ended is read and converted once.

The one rule: only what does not change any more is kept, and of the arrays looked at last. Somebody who follows a map
of thousands of items asks for all of them, again and again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime

from flyteidl.event.event_pb2 import TaskExecutionMetadata

from hydraflyte.backend.admin.convert_nodes import external_resource
from hydraflyte.backend.store.listing import TaskExecutionRow, list_items
from hydraflyte.identifiers import ExecutionId

_MOST_KEPT = 20_000  # items of all arrays together, some 300 bytes each
_Array = tuple[ExecutionId, str, datetime]  # the instant tells it from that of an earlier execution of the same name


class ArrayItems:
    """Reads the items of arrays, on any thread.

    Args:
        http_base_url: gives ``http://host:port`` for the items' log links; it is the same for all calls.
    """

    def __init__(self, http_base_url: Callable[[], str]) -> None:
        self._http_base_url = http_base_url
        self._ended: OrderedDict[_Array, Mapping[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def metadata_of(self, connection: sqlite3.Connection, array: TaskExecutionRow) -> bytes:
        """Return the items that have begun, in order, as a serialised TaskExecutionMetadata that holds them alone."""
        key = (array.execution, array.node_id, array.times.created_at)
        with self._lock:
            ended = dict(self._ended.get(key, {}))
        current: dict[int, bytes] = {}
        for item in list_items(connection, array.execution, array.node_id, besides=ended):
            resource = external_resource(array.execution, item, self._http_base_url())
            content = TaskExecutionMetadata(external_resources=[resource]).SerializeToString()
            (ended if item.has_ended else current)[item.index] = content
        self._keep(key, ended)
        items = ended | current
        return b"".join(items[index] for index in sorted(items))  # one message after the other is both, merged

    def _keep(self, key: _Array, ended: Mapping[int, bytes]) -> None:
        with self._lock:
            self._ended[key] = ended
            self._ended.move_to_end(key)
            while sum(map(len, self._ended.values())) > _MOST_KEPT:
                self._ended.popitem(last=False)
