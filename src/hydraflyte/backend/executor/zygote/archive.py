"""Unpacks a code bundle into a directory, whatever the bundle tries.

Rule: nothing is ever written outside the target. Members that point out of it (absolute, ``..``, links that leave,
devices) are skipped and named, as tar(1) would; a bundle over the size or count limit is refused as a whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import zlib
from typing import NamedTuple

_COPY_CHUNK_BYTES = 1024 * 1024


class ArchiveError(ValueError):
    """The bundle cannot be unpacked, however often it is tried."""


# What tarfile, and the calls that place a member, raise over a damaged or odd one: names with NUL, times out of range,
# folders nested deeper than Python's stack.
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, RecursionError)


class Limits(NamedTuple):
    """What a bundle may grow to: a guard against archive bombs, far above any source tree."""

    total_bytes: int = 4 * 1024**3
    members: int = 200_000


def unpack(bundle: str, target: str, limits: Limits = Limits()) -> list[str]:  # noqa: B008 (an immutable value)
    """Unpack the tar archive ``bundle`` (plain or compressed) into the existing directory ``target``.

    Returns:
        One line for each member that was skipped, with the reason.

    Raises:
        ArchiveError: it does not exist, is no tar archive, is cut off, or is over ``limits``.
    """
    root = os.path.realpath(target)
    try:
        with tarfile.open(bundle, "r:*") as archive:
            return _unpack_members(archive, root, limits)
    except FileNotFoundError as error:
        raise ArchiveError(f"the code bundle {bundle} does not exist") from error
    except ArchiveError:
        raise
    except _UNREADABLE as error:
        raise ArchiveError(f"the code bundle {bundle} is not a readable tar archive: {error}") from error


def _unpack_members(archive: tarfile.TarFile, root: str, limits: Limits) -> list[str]:
    skipped: list[str] = []
    inside = _Inside(root)
    total = 0
    for count, member in enumerate(archive, start=1):
        total += max(member.size, 0)
        if count > limits.members:
            raise ArchiveError(f"the code bundle has more than {limits.members} members")
        if total > limits.total_bytes:
            raise ArchiveError(f"the code bundle unpacks to more than {limits.total_bytes} bytes")
        reason = _place(archive, member, inside)
        if reason is not None:
            skipped.append(f"{member.name}: {reason}")
    return skipped


class _Inside:
    """Tells whether a path really is below ``root``. Folders are asked about once, until a link may have moved one."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._folders = {root}

    def __call__(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self.root or real.startswith(self.root + os.sep)

    def has_folder(self, folder: str) -> bool:
        if folder in self._folders:
            return True
        if not self(folder):
            return False
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folders.add(folder)
        return True

    def forget(self) -> None:
        self._folders = {self.root}


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, inside: _Inside) -> str | None:
    """Write one member below the root; return why it was skipped, or None."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/"):
        return "absolute path"
    if ".." in parts:
        return "path with .."
    if not parts:
        return None  # the root itself
    path = os.path.join(inside.root, *parts)
    if not inside.has_folder(os.path.dirname(path)):
        return "below a link that leaves the directory"
    if member.isdir():
        return None if inside.has_folder(path) else "a link that leaves the directory is there"
    if member.isreg():
        return _place_file(archive, member, path)
    if member.issym():
        return _place_symlink(member, path, inside)
    if member.islnk():
        return _place_hard_link(member, path, inside)
    return "neither file, directory nor link"


def _place_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> str | None:
    source = archive.extractfile(member)
    assert source is not None, "a regular member has content"
    _clear(path)
    mode = 0o700 if member.mode & 0o100 else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as sink:
        shutil.copyfileobj(source, sink, _COPY_CHUNK_BYTES)
    os.utime(path, (member.mtime, member.mtime))
    return None


def _place_symlink(member: tarfile.TarInfo, path: str, inside: _Inside) -> str | None:
    if os.path.isabs(member.linkname):
        return f"link to the absolute path {member.linkname}"
    if not inside(os.path.join(os.path.dirname(path), member.linkname)):
        return f"link to {member.linkname}, outside the bundle"
    _clear(path)
    os.symlink(member.linkname, path)
    inside.forget()
    return None


def _place_hard_link(member: tarfile.TarInfo, path: str, inside: _Inside) -> str | None:
    origin = os.path.join(inside.root, member.linkname)
    if os.path.isabs(member.linkname) or not inside(origin) or not os.path.isfile(origin):
        return f"hard link to {member.linkname}, not in the bundle"
    _clear(path)
    shutil.copyfile(origin, path)  # a copy: user code may write into one of the two names
    return None


def _clear(path: str) -> None:
    """Make room for a file: an earlier file or link of this name is gone."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):  # a folder stays: open() refuses
        os.unlink(path)
