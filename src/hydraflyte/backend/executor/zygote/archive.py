"""Unpacks a code bundle into a directory, whatever the bundle tries.

Rule: nothing is ever written outside the target. Members that point out of it (absolute, ``..``, links that leave,
devices) are skipped and named, as tar(1) would; a bundle over the size or count limit is refused as a whole.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from typing import IO, NamedTuple

_COPY_CHUNK_BYTES = 1024 * 1024


class ArchiveError(ValueError):
    """The bundle cannot be unpacked, however often it is tried."""


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
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(f"the code bundle {bundle} is not a readable tar archive: {error}") from error


def _unpack_members(archive: tarfile.TarFile, root: str, limits: Limits) -> list[str]:
    skipped: list[str] = []
    total = 0
    for count, member in enumerate(archive, start=1):
        total += max(member.size, 0)
        if count > limits.members:
            raise ArchiveError(f"the code bundle has more than {limits.members} members")
        if total > limits.total_bytes:
            raise ArchiveError(f"the code bundle unpacks to more than {limits.total_bytes} bytes")
        reason = _place(archive, member, root)
        if reason is not None:
            skipped.append(f"{member.name}: {reason}")
    return skipped


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> str | None:
    """Write one member below ``root``; return why it was skipped, or None."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/"):
        return "absolute path"
    if ".." in parts:
        return "path with .."
    if not parts:
        return None  # the root itself
    path = os.path.join(root, *parts)
    if not _is_inside(os.path.dirname(path), root):
        return "below a link that leaves the directory"
    if member.isdir():
        return _place_directory(path, root)
    if member.isreg():
        return _place_file(archive, member, path)
    if member.issym():
        return _place_symlink(member, path, root)
    if member.islnk():
        return _place_hard_link(member, path, root)
    return "neither file, directory nor link"


def _is_inside(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(root + os.sep)


def _place_directory(path: str, root: str) -> str | None:
    if not _is_inside(path, root):
        return "a link that leaves the directory is there"
    os.makedirs(path, mode=0o700, exist_ok=True)
    return None


def _place_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> str | None:
    source = archive.extractfile(member)
    assert source is not None, "a regular member has content"
    _clear(path)
    mode = 0o700 if member.mode & 0o100 else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as sink:
        _copy(source, sink)
    os.utime(path, (member.mtime, member.mtime))
    return None


def _copy(source: IO[bytes], sink: IO[bytes]) -> None:
    shutil.copyfileobj(source, sink, _COPY_CHUNK_BYTES)


def _place_symlink(member: tarfile.TarInfo, path: str, root: str) -> str | None:
    if os.path.isabs(member.linkname):
        return f"link to the absolute path {member.linkname}"
    if not _is_inside(os.path.join(os.path.dirname(path), member.linkname), root):
        return f"link to {member.linkname}, outside the bundle"
    _clear(path)
    os.symlink(member.linkname, path)
    return None


def _place_hard_link(member: tarfile.TarInfo, path: str, root: str) -> str | None:
    origin = os.path.join(root, member.linkname)
    if os.path.isabs(member.linkname) or not _is_inside(origin, root) or not os.path.isfile(origin):
        return f"hard link to {member.linkname}, not in the bundle"
    _clear(path)
    shutil.copyfile(origin, path)  # a copy: user code may write into one of the two names
    return None


def _clear(path: str) -> None:
    """Make room for a file at ``path``: parents exist, and an earlier file or link of this name is gone."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
        os.unlink(path)
