"""Layers of an image: gzipped tars, the same bytes for the same files.

Sorted names, no times, owner 0, modes 0644 and 0755, and no entries for the folders above: those of the image below
keep their modes. One rule: what was hashed when the files were collected is what gets into the layer. Sends nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.code.files import BundledFile, FileSet, read_chunks

_LEVEL = 6
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file or link of a layer.

    Attributes:
        name: its path in the image, without a leading ``/``.
        source: the file with its content, or the content; ``None`` for a link.
        is_executable: whether it may be executed.
        link_target: where a link leads to, else ``None``.
        sha256: hex digest that the content must have, or ``None``: any.
    """

    name: str
    source: Path | bytes | None = None
    is_executable: bool = False
    link_target: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer on this machine.

    Attributes:
        path: the gzipped tar.
        digest: ``sha256:…`` of the file; it may differ between machines, because compressors do.
        diff_id: ``sha256:…`` of the tar inside; the same on all machines.
        size_bytes: size of the file.
        created_by: what the image's history says of it.
    """

    path: Path
    digest: str
    diff_id: str
    size_bytes: int
    created_by: str


def code_entries(files: FileSet, folder: str) -> Iterator[Entry]:
    """Yield the user's code as it lies below ``folder``, an absolute path in the image."""
    top = folder.strip("/")
    for file in files.files:
        yield _code_entry(file, f"{top}/{file.name}" if top else file.name)


def write_layer(entries: Iterable[Entry], into: Path, *, created_by: str) -> Layer:
    """Write the layer to the file ``into``; entries come in the order of their names' bytes.

    Raises:
        ImageError: a file changed since it was collected, or the layer cannot be written.
        PackagingError: a file of the code cannot be read.
    """
    try:
        with open(into, "wb") as file:
            sink = _GzipSink(file)
            with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:  # type: ignore[call-overload]  # only write and tell are needed
                for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                    _add(archive, entry)
            sink.finish()
    except OSError as error:
        raise cannot_write(into, error) from error
    return Layer(
        path=into,
        digest=f"sha256:{sink.packed.hexdigest()}",
        diff_id=f"sha256:{sink.plain.hexdigest()}",
        size_bytes=sink.size_bytes,
        created_by=created_by,
    )


def _code_entry(file: BundledFile, name: str) -> Entry:
    if file.link_target is not None:
        return Entry(name=name, link_target=file.link_target)
    return Entry(name=name, source=file.path, is_executable=file.is_executable, sha256=file.sha256)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mode = 0o755 if entry.is_executable else 0o644
    if entry.link_target is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link_target, 0o777
        archive.addfile(info)
    elif isinstance(entry.source, bytes):
        info.size = len(entry.source)
        archive.addfile(info, io.BytesIO(entry.source))
    elif entry.source is not None:
        info.size = entry.source.stat().st_size
        reader = _HashingReader(entry.source, entry.name)
        archive.addfile(info, reader)  # type: ignore[arg-type]  # only read is needed
        if entry.sha256 is not None and reader.ended_with() != entry.sha256:
            raise _changed(entry.source)


class _HashingReader:
    """Reads a file once and knows the digest of what it read."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._chunks = read_chunks(path, name)
        self._pending = b""
        self._hasher = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._pending) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _changed(self._path)  # shorter than it was a moment ago
            self._hasher.update(chunk)
            self._pending += chunk
        taken, self._pending = self._pending[:size], self._pending[size:]
        return taken

    def ended_with(self) -> str:
        """Return the digest of what was read and of what is still there."""
        for chunk in self._chunks:
            self._hasher.update(chunk)
        return self._hasher.hexdigest()


class _GzipSink:
    """A writable that compresses into a file and digests both sides. The header holds nothing of this machine."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self.plain = hashlib.sha256()
        self.packed = hashlib.sha256()
        self.size_bytes = 0
        self._file = file
        self._length = 0
        self._crc = 0
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._emit(_HEADER)

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._emit(self._compressor.compress(data))
        return len(data)

    def tell(self) -> int:
        return self._length

    def finish(self) -> None:
        """Write what is left, and see to it that the file took it."""
        self._emit(self._compressor.flush())
        self._emit(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))
        self._file.flush()

    def _emit(self, data: bytes) -> None:
        self.packed.update(data)
        self.size_bytes += len(data)
        self._file.write(data)


def _changed(path: Path) -> ImageError:
    return ImageError(
        f"{path} changed while the image's layer was made.",
        hint="Run the command again; if a running program writes this file, add it to .flyteignore.",
    )


def cannot_write(path: Path, error: OSError) -> ImageError:
    """Return the error for a file of ours that cannot be written, such as on a full disk."""
    folder = os.fspath(path.parent)
    return ImageError(
        f"{path} cannot be written: {error.strerror or error}.",
        hint=f"Free some space in {folder}, or set TMPDIR (now {tempfile.gettempdir()}) to a folder with more.",
    )
