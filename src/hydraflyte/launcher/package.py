"""The code bundle: one archive, the same bytes for the same files on every machine.

A gzip file with stored (uncompressed) blocks around a GNU tar: compressors differ between zlib, zlib-ng and macOS, and
the bundle's digest is part of what is registered (docs/decisions/0043). Knows nothing of flytekit or the network.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hydraflyte.errors import PackagingError
from hydraflyte.launcher.code.files import BundledFile, FileSet, collect_files, read_chunks, size_text
from hydraflyte.launcher.code.proof import TaskLoad, prove_importable

__all__ = [
    "MTIME", "CodeBundle", "FileSet", "StoredGzip", "TaskLoad", "build_bundle", "collect_files", "prove_importable",
]  # fmt: skip

MTIME = 315532800
"""1980-01-01T00:00:00Z, the earliest that zip importers accept; flytekit uses it too."""
_OF_ONE_PIECE = frozenset({
    ".py", ".pyi", ".so", ".pyd", ".sh", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini",
})  # fmt: skip
"""Code and config: their first part is no earlier state of them, as that of a log is."""
_BLOCK = 65535  # the most that one stored deflate block can hold (RFC 1951, 3.2.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBundle:
    """An archive on this machine, ready for upload.

    Attributes:
        path: the archive, named after its digest, ending in ``.tar.gz`` as pyflyte-fast-execute demands.
        digest_md5: 16 bytes, of the file as uploaded; what flytekit's ``upload_file`` sends along.
        size_bytes: size of the archive.
        files: what is in it.
    """

    path: Path
    digest_md5: bytes
    size_bytes: int
    files: FileSet

    @property
    def file_count(self) -> int:
        """How many files are in it."""
        return len(self.files.files)

    @property
    def ignored_count(self) -> int:
        """How many files and directories were left out; a directory counts once."""
        return len(self.files.ignored)

    @property
    def text(self) -> str:
        """How much is in it, in words."""
        files = "1 file" if self.file_count == 1 else f"{self.file_count} files"
        return f"{files}, {size_text(self.size_bytes)}, {self.ignored_count} left out"

    @property
    def biggest(self) -> tuple[BundledFile, ...]:
        """The five biggest files, the biggest first."""
        return self.files.biggest()


def build_bundle(files: FileSet, into: Path) -> CodeBundle:
    """Write the archive of ``files`` into the directory ``into`` (created if missing) and return it.

    Raises:
        PackagingError: a file changed since it was collected, cannot be read, or the archive cannot be written.
    """
    if not files.files:
        raise PackagingError(
            f"No file below {files.root} is left for the code bundle.",
            hint="Look at the patterns in .flyteignore and .gitignore: they leave everything out.",
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=into, suffix=".part", delete=False) as part:
            try:
                sink = StoredGzip(part)
                _write_tar(files, sink)
                digest, size = sink.finish()
            except BaseException:
                os.unlink(part.name)
                raise
        path = into / f"code-{digest.hex()}.tar.gz"
        os.replace(part.name, path)
    except OSError as error:
        raise PackagingError(
            f"The code bundle cannot be written to {into}: {error.strerror}.",
            hint="Free some space there, or make the directory writable.",
        ) from error
    return CodeBundle(path=path, digest_md5=digest, size_bytes=size, files=files)


class StoredGzip:
    """A writable that wraps what it gets into a gzip file with stored blocks, and digests the result."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hasher = hashlib.md5(usedforsecurity=False)
        self._pending = bytearray()
        self._crc = 0
        self._length = 0
        self._size = 0
        self._emit(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")  # no name, no time, unknown system

    def write(self, data: bytes) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._pending += data
        while len(self._pending) > _BLOCK:
            self._block(bytes(self._pending[:_BLOCK]), last=False)
            del self._pending[:_BLOCK]
        return len(data)

    def tell(self) -> int:
        return self._length

    def finish(self) -> tuple[bytes, int]:
        """Write the last block and the trailer; return the MD5 and the size of the file."""
        self._block(bytes(self._pending), last=True)
        self._emit(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))
        self._file.flush()
        return self._hasher.digest(), self._size

    def _block(self, data: bytes, *, last: bool) -> None:
        self._emit(struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data)

    def _emit(self, data: bytes) -> None:
        self._hasher.update(data)
        self._file.write(data)
        self._size += len(data)


def _write_tar(files: FileSet, sink: StoredGzip) -> None:
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:  # type: ignore[call-overload]  # only write and tell are needed
        for file in files.files:
            if file.link_target is None:
                reader = _CheckedReader(file)
                archive.addfile(_entry(file), reader)
                reader.check()
            else:
                archive.addfile(_entry(file))


def _entry(file: BundledFile) -> tarfile.TarInfo:
    info = tarfile.TarInfo(file.name)
    info.mtime = MTIME
    info.mode = 0o755 if file.is_executable else 0o644
    if file.link_target is not None:
        info.type = tarfile.SYMTYPE
        info.linkname = file.link_target
        info.mode = 0o777
    else:
        info.size = file.size_bytes
    return info


class _CheckedReader:
    """Reads a file once and fails if it is not what was hashed: the version must tell the truth about the bundle.

    A text that another program appends to (``python train.py -m | tee run.txt``) is taken as it was when it was hashed.
    """

    def __init__(self, file: BundledFile) -> None:
        self._file = file
        self._chunks = read_chunks(file.path, file.name)
        self._pending = b""
        self._hasher = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._pending) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise self._changed()
            self._pending += chunk
        result, self._pending = self._pending[:size], self._pending[size:]
        self._hasher.update(result)
        return result

    def check(self) -> None:
        """Raise unless what was read is what was hashed, and nothing has come after it that belongs to it."""
        has_grown = bool(self._pending or next(self._chunks, None))
        may_grow = self._file.path.suffix.lower() not in _OF_ONE_PIECE
        if self._hasher.hexdigest() != self._file.sha256 or (has_grown and not may_grow):
            raise self._changed()

    def _changed(self) -> PackagingError:
        return PackagingError(
            f"{self._file.path} changed while the code bundle was made.",
            hint="Run the command again; if a running program writes this file, add its name to .flyteignore.",
        )
