"""Tar files that strangers wrote: read member by member, refused at the first thing that no package needs.

One rule: nothing is believed before it is checked, and nothing is written but by the names that the caller chooses.
Also writes such files, the same bytes for the same members. Knows nothing of Flyte.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.code.files import LIMIT_BYTES
from hydraflyte.launcher.package import MTIME, StoredGzip

_GZIP = b"\x1f\x8b"
_CHUNK = 1024 * 1024
_NO_BOMB_BYTES = 16 * 1024 * 1024
_MOST_EXPANSION = 100
"""Code and protobufs shrink to a tenth at best; deflate can shrink zeros to a thousandth."""
_LONGEST_NAME = 1024
_LONGEST_HEADER = 8 * 1024
"""An extended header holds a name and a few numbers. In Pythons without the fix of CVE-2024-6232 a long one of digits
takes hours to be looked through."""
_MOST_GLOBALS = 100
"""tarfile copies the global values for each member; ``git archive`` writes one."""
# tarfile calls itself for the header that follows an extended one: a chain of them is deeper than Python's stack.
_UNREADABLE_TAR = (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError)
_UNREADABLE = (*_UNREADABLE_TAR, EOFError, zlib.error, gzip.BadGzipFile)
_T = TypeVar("_T")


class NoArchiveError(ArtifactError):
    """A file that does not even begin as a tar file does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold at most."""

    members: int = 20_000
    total_bytes: int = LIMIT_BYTES + 256 * 1024 * 1024
    member_bytes: int = 64 * 1024 * 1024  # of those that are read into memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file, directory or link of an archive; its content is read only while the archive is open.

    Attributes:
        link_target: what a symbolic link points to; None for everything else.
    """

    name: str
    size_bytes: int
    is_directory: bool
    is_executable: bool
    link_target: str | None
    _file: IO[bytes]
    _begin: int
    _limits: Limits

    def content(self) -> bytes:
        """Return what is in the file.

        Raises:
            ArtifactError: it is too big to be read, or the archive ends before it does.
        """
        if self.size_bytes > self._limits.member_bytes:
            raise ArtifactError(
                f"{self.name} in the archive has {self.size_bytes} bytes, more than {self._limits.member_bytes}.",
                hint="no file of a package is that big, but the code bundle; do not use this one.",
            )
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the content piece by piece; raises as :meth:`content` if the archive is cut off."""
        left = self.size_bytes
        while left:
            self._file.seek(self._begin + self.size_bytes - left)
            chunk = _guarded(partial(self._file.read, min(_CHUNK, left)))
            if not chunk:
                raise _cut_off()
            left -= len(chunk)
            yield chunk


@contextmanager
def opened(path: Path, limits: Limits | None = None) -> Iterator[Iterator[Member]]:
    """Give the members of a tar file, gzipped or not, one after the other.

    Raises:
        NoArchiveError: the file is no tar file.
        ArtifactError: the file cannot be read, is cut off, or holds what no package needs: members
            out of its folder, devices, hard links, the same name twice, or more than the limits.
    """
    limits = limits or Limits()
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.", hint="correct the path.") from error
    with file:
        is_gzip = file.read(2) == _GZIP
        file.seek(0)
        with (
            _expanded(file, path, limits) if is_gzip else _as_it_is(file) as plain,
            _opened_tar(plain, path) as archive,
        ):
            yield _members(archive, plain, limits)


def write_archive(path: Path, members: Mapping[str, bytes | Path], *, compressed: bool) -> None:
    """Write the members in their order, in one piece: whoever reads the path finds the old file or the new one.

    Args:
        members: name -> content, or the file that has it.
        compressed: as gzip, with stored blocks (docs/decisions/0043).

    Raises:
        ArtifactError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                sink = StoredGzip(file) if compressed else file
                _write_members(sink, members)
                if isinstance(sink, StoredGzip):
                    sink.finish()
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written: {error.strerror}.", hint="free some space there, or choose another file."
        ) from error


def _write_members(sink: object, members: Mapping[str, bytes | Path]) -> None:
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]  # only write and tell are needed
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.mtime = MTIME
            info.mode = 0o644
            if isinstance(content, Path):
                info.size = content.stat().st_size
                with content.open("rb") as reader:
                    archive.addfile(info, reader)
            else:
                info.size = len(content)
                archive.addfile(info, _Reader(content))


class _Reader:
    """Bytes that can be read once."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def read(self, size: int) -> bytes:
        piece, self._content = bytes(self._content[:size]), self._content[size:]
        return piece


class _Headers:
    """A file that gives only so much at once: tarfile reads extended headers as long as they say they are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise _not_a_package(f"a header in it claims {size} bytes")
        return self._file.read(size)


@contextmanager
def _as_it_is(file: IO[bytes]) -> Iterator[IO[bytes]]:
    yield file


@contextmanager
def _expanded(file: IO[bytes], path: Path, limits: Limits) -> Iterator[IO[bytes]]:
    """Give what a gzip file expands to, in a temporary file."""
    most = min(limits.total_bytes, max(_NO_BOMB_BYTES, path.stat().st_size * _MOST_EXPANSION))
    with tempfile.TemporaryFile(prefix="hydraflyte-package-") as plain, gzip.GzipFile(fileobj=file) as reader:
        size = 0
        while chunk := _guarded(partial(reader.read, _CHUNK)):
            size += len(chunk)
            if size > most:
                raise _not_a_package(f"its {path.stat().st_size} bytes expand to more than {most}")
            plain.write(chunk)
        plain.seek(0)
        yield plain


def _opened_tar(file: IO[bytes], path: Path) -> tarfile.TarFile:
    try:
        return _tar(file)
    except _UNREADABLE_TAR as error:
        raise NoArchiveError(
            f"{path} is no tar file, or damaged at its very beginning.",
            hint="give another file, or copy this one again.",
        ) from error


def _tar(file: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Headers(file), mode="r:", errors="surrogateescape")  # type: ignore[call-overload,no-any-return]  # it needs only read, seek and tell


def _members(archive: tarfile.TarFile, file: IO[bytes], limits: Limits) -> Iterator[Member]:
    seen: set[str] = set()
    size = 0
    while (info := _guarded(archive.next)) is not None:
        name = info.name.removeprefix("./").rstrip("/")
        if info.isdir() and name in ("", "."):
            continue
        _check_name(name)
        _check_kind(info, name)
        if name in seen:
            raise _not_a_package(f"{name!r} is in it twice")
        seen.add(name)
        if len(archive.pax_headers) > _MOST_GLOBALS:
            raise _not_a_package(f"it has more than {_MOST_GLOBALS} global values")
        size += max(info.size, 0)
        if len(seen) > limits.members:
            raise _not_a_package(f"it has more than {limits.members} members")
        if info.size < 0 or size > limits.total_bytes:
            raise _not_a_package(f"its members claim more than {limits.total_bytes} bytes")
        archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        yield Member(
            name=name,
            size_bytes=info.size,
            is_directory=info.isdir(),
            is_executable=bool(info.mode & 0o100),
            link_target=info.linkname if info.issym() else None,
            _file=file,
            _begin=info.offset_data,
            _limits=limits,
        )


def _check_name(name: str) -> None:
    parts = name.split("/")
    if name.startswith("/") or not name or "" in parts or "." in parts or ".." in parts:
        raise _not_a_package(f"the name {name!r} leads out of it")
    if len(name) > _LONGEST_NAME or "\0" in name or "\\" in name:
        raise _not_a_package(f"{name[:80]!r} is no name of a file in it")


def _check_kind(info: tarfile.TarInfo, name: str) -> None:
    if info.isdir() or info.issym() or (info.isreg() and not info.issparse()):
        return
    kind = {
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe",
        tarfile.GNUTYPE_SPARSE: "a sparse file",
    }.get(info.type, "a sparse file" if info.issparse() else "neither file nor directory")
    raise _not_a_package(f"{name!r} in it is {kind}")


def _guarded(read: Callable[[], _T]) -> _T:
    """Return what ``read()`` returns; what tarfile and gzip raise about damage becomes one error."""
    try:
        return read()
    except _UNREADABLE as error:
        raise _cut_off(error) from error


def _cut_off(error: Exception | None = None) -> ArtifactError:
    why = f": {error}" if error is not None and str(error) else ""
    return ArtifactError(
        f"The archive is no tar file, damaged, or cut off{why}.", hint="copy it again, or have it written again."
    )


def _not_a_package(why: str) -> ArtifactError:
    return ArtifactError(
        f"The archive is refused: {why}.",
        hint="no package needs that; have it written again by `hydraflyte package` or `pyflyte package`.",
    )
