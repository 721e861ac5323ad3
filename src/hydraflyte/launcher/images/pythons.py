"""Which Python an image has: its version and where it is, found without running anything.

Official images say it in a variable; in others the names of the files in the layers tell. One rule: a base without
Python is an error here, not in a task. Pushes nothing.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.assembly import environment_of
from hydraflyte.launcher.images.below import PlatformImage
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Descriptor

_PROGRAM = re.compile(r"python(?:3(?:\.(\d+))?)?")
_MUSL = re.compile(r"(?:^|/)lib/ld-musl-[^/]+\.so\.1$")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePython:
    """The Python of an image.

    Attributes:
        version: such as ``3.11``.
        path: the interpreter, as commands name it in their first line.
        is_musl: whether the image has musl instead of glibc, as Alpine has.
    """

    version: str
    path: str
    is_musl: bool


def find_python(registry: Registry, image: PlatformImage) -> BasePython:
    """Return the Python that a program called ``python3`` would be in the image.

    Raises:
        ImageError: there is none, or a layer cannot be read.
    """
    environment = environment_of(image.config)
    stated = re.match(r"3\.\d+", environment.get("PYTHON_VERSION", ""))
    history = " ".join(str(entry.get("created_by", "")) for entry in image.config.get("history") or [])
    if stated is not None:  # the official images, and those on them
        return BasePython(version=stated[0], path="/usr/local/bin/python3", is_musl="alpine" in history)
    found = _Programs()
    for layer in image.manifest.layers:
        found.add(registry, layer)
    return found.chosen(environment, registry.name.repository)


@dataclass(slots=True)
class _Programs:
    """Programs called python in the layers so far: path -> target of the link, or ``None`` for a file."""

    programs: dict[str, str | None] = field(default_factory=dict)
    is_musl: bool = False

    def add(self, registry: Registry, layer: Descriptor) -> None:
        chunks = registry.blob_chunks(layer.digest, layer.size_bytes)
        try:
            with tarfile.open(fileobj=_reader(chunks), mode="r|*") as archive:
                for member in archive:
                    self._note(member)
        except tarfile.TarError as error:
            raise ImageError(
                f"The layer {layer.digest} of {registry.name.repository} ({layer.media_type}) cannot be read: {error}.",
                hint="Set a variable in the base (ENV PYTHON_VERSION=3.11), or push it with layers in gzip.",
            ) from error

    def _note(self, member: tarfile.TarInfo) -> None:
        path = "/" + member.name.removeprefix("./").lstrip("/")
        folder, _, name = path.rpartition("/")
        if _MUSL.search(path):
            self.is_musl = True
        if name.startswith(".wh.python"):
            self.programs.pop(f"{folder}/{name.removeprefix('.wh.')}", None)
        elif _PROGRAM.fullmatch(name) and not member.isdir():
            self.programs[path] = posixpath.join(folder, member.linkname) if member.issym() else None

    def chosen(self, environment: Mapping[str, str], name: str) -> BasePython:
        """Return the first on PATH, else the only one that there is."""
        for folder in environment.get("PATH", _DEFAULT_PATH).split(":"):
            for path in (f"{folder}/python3", f"{folder}/python", *self._versioned(folder)):
                version = self._version_of(path)
                if version is not None:
                    return BasePython(version=version, path=path, is_musl=self.is_musl)
        raise ImageError(
            f"The base {name} has no Python on its PATH.",
            hint="Take a base with Python, such as python:3.11-slim, or install it there.",
        )

    def _versioned(self, folder: str) -> list[str]:
        return sorted(path for path in self.programs if posixpath.dirname(path) == folder and "python3." in path)

    def _version_of(self, path: str) -> str | None:
        """Follow links by their names until one has a minor version in it."""
        for _ in range(8):
            match = _PROGRAM.fullmatch(posixpath.basename(path))
            if match is not None and match[1] is not None:
                return f"3.{match[1]}"
            target = self.programs.get(path)
            if target is None:
                return None
            path = posixpath.normpath(target)
        return None


class _ChunkReader(io.RawIOBase):
    """A file over pieces; tarfile reads it in its own sizes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a plain buffer will do
        if not self._pending:
            self._pending = next(self._chunks, b"")
        taken = self._pending[: len(buffer)]
        buffer[: len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return len(taken)


def _reader(chunks: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_ChunkReader(chunks), 256 * 1024)
