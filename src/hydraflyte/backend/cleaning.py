"""Frees the space of executions that ended long ago, and of what interrupted processes left.

Rule: rows go first, files after them, and a file goes only if nothing that stays names it: cached results, and the
inputs and outputs of other executions, keep the raw data that they point to. So a clean-up that is interrupted is
finished by the next one. Never leaves the home, never follows a link.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from hydraflyte.backend.store import retention
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.retention import Belongings
from hydraflyte.identifiers import ExecutionId

_BATCH = 100  # executions in one transaction: the engine's own writes come in between
_YOUNG = timedelta(hours=1)  # what nobody names yet may be about to be named: uploads come before registrations
_LARGEST_LITERALS_BYTES = 256 * 1024 * 1024
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanOrder:
    """What to free.

    Attributes:
        before: executions that ended before this instant.
        now: when the order was given.
        with_cache: also results that were cached before then.
        is_dry_run: only count.
    """

    before: datetime
    now: datetime
    with_cache: bool = False
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanReport:
    """What was freed, or would be."""

    executions: int = 0
    cached_results: int = 0
    attempt_folders: int = 0
    literal_folders: int = 0
    raw_data_folders: int = 0
    uploads: int = 0
    temporary_files: int = 0
    freed_bytes: int = 0


class Cleaner:
    """Cleans one home.

    Args:
        home: its folder; everything that goes is below it.
        database: open; used through its own writer, so the backend may serve meanwhile.
    """

    def __init__(self, *, home: Path, database: Database) -> None:
        self._home = home
        self._database = database
        self._one_at_a_time = asyncio.Lock()

    async def clean(self, order: CleanOrder) -> CleanReport:
        """Free what the order names; returns what that was."""
        async with self._one_at_a_time:
            owned = await self._database.read(retention.belongings)
            gone = await self._database.read(partial(retention.find_removable, before=order.before))
            if not order.is_dry_run:
                gone = await self._remove(gone)
            report = CleanReport(executions=len(gone), cached_results=await self._forget_results(order))
            known = owned if order.is_dry_run else {**owned, **await self._database.read(retention.belongings)}
            sweep = await self._database.read(partial(self._prepare, order=order, known=known, gone=gone))
            return await asyncio.to_thread(sweep.run, report)

    async def _remove(self, row_ids: list[int]) -> list[int]:
        removed: list[int] = []
        for start in range(0, len(row_ids), _BATCH):
            batch = row_ids[start : start + _BATCH]
            removed += await self._database.write(partial(retention.remove_executions, row_ids=batch))
        return removed

    async def _forget_results(self, order: CleanOrder) -> int:
        if not order.with_cache:
            return 0
        if order.is_dry_run:
            return await self._database.read(partial(retention.count_artifacts, before=order.before))
        return await self._database.write(partial(retention.remove_artifacts, before=order.before))

    def _prepare(
        self, connection: sqlite3.Connection, *, order: CleanOrder, known: Mapping[int, Belongings], gone: list[int]
    ) -> _Sweep:
        """Return the walk through the files, told what the database names."""
        lost = frozenset(gone)
        kept = [each for row_id, each in known.items() if row_id not in lost]
        sweep = _Sweep(home=self._home, order=order, gone=[known[row_id] for row_id in gone], kept=kept)
        artifacts_from = order.before if order.with_cache else None
        sweep.mark(retention.referring(connection, without=lost, artifacts_from=artifacts_from))
        return sweep


class _Sweep:
    """One walk through the home's folders."""

    def __init__(self, *, home: Path, order: CleanOrder, gone: list[Belongings], kept: list[Belongings]) -> None:
        self._home = home
        self._blobs = home / "blobs"
        self._order = order
        self._old = min(order.before, order.now - _YOUNG).timestamp()
        self._gone_executions = {each.execution for each in gone}
        self._kept_executions = {each.execution for each in kept}
        self._gone_literals = {each.metadata_folder for each in gone}
        self._kept_literals = {each.metadata_folder for each in kept}
        self._gone_raw = {name for each in gone for name in each.raw_folders}
        self._kept_raw = {name for each in kept for name in each.raw_folders}
        self._raw = _Marks(b"/blobs/raw/", _names_at(self._blobs / "raw", depth=2))
        self._literals = _Marks(b"/blobs/metadata/propeller/", _names_at(self._literal_root, depth=1))
        self._uploads = _Marks(b"/blobs/uploads/", _files_below(self._blobs / "uploads"))
        self._freed_bytes = 0

    @property
    def _literal_root(self) -> Path:
        return self._blobs / "metadata" / "propeller"

    def mark(self, contents: Iterable[bytes]) -> None:
        """Note what these name."""
        for content in contents:
            self._note(content)

    def _mark_literals(self) -> None:
        """Note what the inputs and outputs of the executions that stay name."""
        for name in self._kept_literals:
            for path in _walk(self._literal_root / name):
                with contextlib.suppress(OSError):
                    if path.suffix != ".html" and path.stat().st_size <= _LARGEST_LITERALS_BYTES:
                        self._note(path.read_bytes())

    def _note(self, content: bytes) -> None:
        for marks in (self._raw, self._literals, self._uploads):
            marks.note(content)

    def run(self, report: CleanReport) -> CleanReport:
        """Remove what is not marked, or count it."""
        self._mark_literals()
        return replace(
            report,
            attempt_folders=self._remove_all(self._dead_attempts()),
            literal_folders=self._remove_all(self._dead_literals()),
            raw_data_folders=self._remove_all(self._dead_raw_data()),
            uploads=self._remove_all(self._dead_uploads()),
            temporary_files=self._remove_all(self._dead_partials()),
            freed_bytes=self._freed_bytes,
        )

    def _dead_attempts(self) -> Iterator[Path]:
        root = self._home / "attempts"
        for name in _names_at(root, depth=3):
            project, domain, execution = name.split("/")
            owner = ExecutionId(project=project, domain=domain, name=execution)
            if owner in self._gone_executions or (owner not in self._kept_executions and self._is_old(root / name)):
                yield root / name

    def _dead_literals(self) -> Iterator[Path]:
        for name in self._literals.unmarked():
            path = self._literal_root / name
            if name not in self._kept_literals and (name in self._gone_literals or self._is_old(path)):
                yield path

    def _dead_raw_data(self) -> Iterator[Path]:
        for name in self._raw.unmarked():
            path = self._blobs / "raw" / name
            if name not in self._kept_raw and (name in self._gone_raw or self._is_old(path)):
                yield path

    def _dead_uploads(self) -> Iterator[Path]:
        for name in self._uploads.unmarked():
            path = self._blobs / "uploads" / name
            if self._is_old(path) and not path.name.startswith(_PARTIAL):
                yield path

    def _dead_partials(self) -> Iterator[Path]:
        for folder in (self._blobs, self._home / "secrets"):
            yield from (path for path in _walk(folder) if path.name.startswith(_PARTIAL) and self._is_old(path))
        yield from (path for path in self._home.glob(f"{_PARTIAL}*") if self._is_old(path))

    def _is_old(self, path: Path) -> bool:
        try:
            return path.lstat().st_mtime < self._old
        except OSError:
            return False

    def _remove_all(self, paths: Iterator[Path]) -> int:
        count = 0
        for path in list(paths):
            self._freed_bytes += _size(path)
            count += 1
            if not self._order.is_dry_run:
                _remove(path)
                self._remove_empty_parents(path)
        return count

    def _remove_empty_parents(self, path: Path) -> None:
        """Remove folders that the removal left empty, down to those that every home has."""
        for folder in path.parents:
            if len(folder.relative_to(self._home).parts) <= 2 or not self._is_old(folder):
                return
            try:
                folder.rmdir()
            except OSError:  # not empty
                return


class _Marks:
    """Which of the names below one folder occur in what was read.

    A text inside a protobuf ends where the next field begins, which may look like more of the name: so a name counts
    as named wherever a text begins with it. That keeps too much rather than too little.
    """

    def __init__(self, prefix: bytes, names: Iterable[str]) -> None:
        self._prefix = re.compile(re.escape(prefix))
        self._names = {os.fsencode(name): name for name in names}
        self._lengths = sorted({len(name) for name in self._names})
        self._marked: set[bytes] = set()

    def note(self, content: bytes) -> None:
        """Mark every name that the content has after the prefix."""
        if not self._lengths:
            return
        for match in self._prefix.finditer(content):
            tail = content[match.end() : match.end() + self._lengths[-1]]
            self._marked.update(tail[:length] for length in self._lengths if tail[:length] in self._names)

    def unmarked(self) -> Iterator[str]:
        """Yield the names that nobody has."""
        return (name for encoded, name in self._names.items() if encoded not in self._marked)


def _names_at(root: Path, *, depth: int) -> list[str]:
    """Return the folders this deep below ``root``, as relative paths; links are left out."""
    names = [""]
    for _ in range(depth):
        names = [f"{name}/{entry}" for name in names for entry in _folders_in(root / name.lstrip("/"))]
    return [name.lstrip("/") for name in names]


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _files_below(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in _walk(root)]


def _walk(root: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(root):
        yield from (Path(folder, name) for name in files)


def _size(path: Path) -> int:
    total = 0
    for each in [path] if not path.is_dir() or path.is_symlink() else _walk(path):
        with contextlib.suppress(OSError):
            total += each.lstat().st_size
    return total


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()
