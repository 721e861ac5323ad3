"""Files by their URI: fetched, looked at, compared. On this machine by their path, else through flytekit's stores.

One rule: what cannot be looked at is None, never a guess. Knows nothing of executions.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from flyteidl.core import literals_pb2
from flytekit.core.context_manager import FlyteContextManager

from hydraflyte.errors import ReproductionError
from hydraflyte.launcher.literal_uris import literals_with_uris, local_path, uri_of


def fetch_file(uri: str, scratch: Path) -> Path:
    """Return a file's path on this machine, fetched into ``scratch`` if it is elsewhere.

    Raises:
        ReproductionError: it is gone, or cannot be fetched.
    """
    path = local_path(uri)
    if path is not None:
        if path.is_file():
            return path
        raise ReproductionError(f"{uri} is gone.", hint="it was removed, by `hydraflyte clean` or by hand.")
    target = scratch / (uri.rpartition("/")[2] or "file")
    try:
        FlyteContextManager.current_context().file_access.get_data(uri, str(target))
    except Exception as error:  # the border to any store that fsspec knows, each with errors of its own
        raise ReproductionError(
            f"{uri} cannot be fetched: {type(error).__name__}: {error}",
            hint="this machine needs access to the store: see flytekit's settings of its storage.",
        ) from error
    return target


def uris_in(literals: literals_pb2.LiteralMap) -> Iterator[tuple[str, str]]:
    """Yield (name of the top literal, URI) of all that is passed by address."""
    for name in sorted(literals.literals):
        for literal in literals_with_uris(literals.literals[name]):
            yield name, uri_of(literal) or ""


def changed_at(path: Path) -> datetime | None:
    """Return when a file, or any file in a folder, was last changed; None if it is gone."""
    try:
        newest = path.stat().st_mtime
        for folder, _, names in os.walk(path):
            newest = max([newest, *(os.stat(os.path.join(folder, name)).st_mtime for name in names)])
    except OSError:
        return None
    return datetime.fromtimestamp(newest, timezone.utc)


def digest_of(path: Path) -> str | None:
    """Return a digest of a file, or of a folder's names and contents; None if it cannot be read."""
    hasher = hashlib.sha256()
    try:
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        if not files:
            return None
        for file in files:
            name = b"" if file == path else os.fsencode(file.relative_to(path))
            hasher.update(name + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    except OSError:
        return None
    return hasher.hexdigest()


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for what is fetched; the caller's to close."""
    return tempfile.TemporaryDirectory(prefix="hydraflyte-reproduce-")
