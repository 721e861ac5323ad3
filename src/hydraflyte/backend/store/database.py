"""One SQLite file: a writer thread that groups changes into commits, and a pool of readers.

The one rule: nobody else opens the file for writing, and no connection leaves its thread. Changes queued
while a commit is under way share the next one; each runs in its own savepoint, so one that raises takes back
only itself. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from hydraflyte.errors import BackendStartError

T = TypeVar("T")

_READERS = 2
_BUSY_TIMEOUT_S = 10.0


class Database:
    """The backend's database. Create with :meth:`open`; close with :meth:`close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changes: queue.SimpleQueue[_Change[Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_forever, name="database-writer", daemon=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self._local = threading.local()

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open the file, making it if there is none.

        Raises:
            BackendStartError: the file cannot be written, is damaged, or was made by another version of hydraflyte.
        """
        try:
            connection = _connect(path)
            try:
                _prepare(connection, path)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise BackendStartError(
                f"The database {path} cannot be used: {error}.",
                hint="check that the folder is writable and has free space; to start afresh, move the file away.",
            ) from error
        database = cls(path)
        database._writer.start()
        return database

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``change`` in a transaction on the writer thread; returns after the commit.

        Whatever ``change`` raises is raised here, and nothing of it is kept.
        """
        return await asyncio.wrap_future(self.submit(change))

    def submit(self, change: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Like :meth:`write`, for callers outside asyncio."""
        item = _Change(change)
        self._changes.put(item)
        return item.future

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on a reader thread, on a connection that cannot write."""
        return await asyncio.wrap_future(self._readers.submit(lambda: query(self._reader())))

    def close(self) -> None:
        """Finish the queued changes and close every connection."""
        self._changes.put(None)
        self._writer.join()
        self._readers.shutdown()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
        return connection

    def _write_forever(self) -> None:
        connection = _connect(self._path)
        running = True
        while running:
            batch = [self._changes.get()]
            while True:
                try:
                    batch.append(self._changes.get_nowait())
                except queue.Empty:
                    break
            running = None not in batch
            _commit_together(connection, [change for change in batch if change is not None])
        connection.close()


class _Change(Future[T]):
    """A change and the future of its result."""

    def __init__(self, run: Callable[[sqlite3.Connection], T]) -> None:
        super().__init__()
        self.run = run

    @property
    def future(self) -> Future[T]:
        return self


def _commit_together(connection: sqlite3.Connection, changes: list[_Change[Any]]) -> None:
    """Run the changes in one transaction and settle their futures after the commit.

    A change whose caller has gone before it began is dropped; from then on it cannot be cancelled any more.
    """
    changes = [change for change in changes if change.set_running_or_notify_cancel()]
    settled: list[Callable[[], None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for change in changes:
            settled.append(_run_in_savepoint(connection, change))
        connection.execute("COMMIT")
    except sqlite3.Error as error:  # disk full, damaged file: none of the batch was kept
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for change in changes:
            change.set_exception(error)
        return
    for settle in settled:
        settle()


def _run_in_savepoint(connection: sqlite3.Connection, change: _Change[Any]) -> Callable[[], None]:
    connection.execute("SAVEPOINT one_change")
    try:
        result = change.run(connection)
    except Exception as error:  # belongs to the caller: handed over through the future, never lost
        if isinstance(error, sqlite3.OperationalError):
            raise
        connection.execute("ROLLBACK TO one_change")
        connection.execute("RELEASE one_change")
        failure = error
        return lambda: change.set_exception(failure)
    connection.execute("RELEASE one_change")
    return lambda: change.set_result(result)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file; refuse a file with other tables than this hydraflyte's.

    The file carries a digest of the schema that made it, so also two builds between releases are told apart.
    """
    script = _schema()
    ours, found = zlib.crc32(script.encode()) & 0x7FFFFFFF, connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {ours};\nCOMMIT;")
    elif found != ours:
        raise BackendStartError(
            f"The database {path} was made by another version of hydraflyte (schema {found:08x}, here {ours:08x}).",
            hint="use that version, choose another folder with --home, or move the file away to start afresh.",
        )


def _schema() -> str:
    folder = resources.files("hydraflyte.backend.store").joinpath("schema")
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=lambda f: f.name))
