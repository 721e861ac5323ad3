"""Blobs: literal maps and uploaded files as plain files below one private folder.

Everything is written to a temporary name and renamed, so a reader sees a whole file or none. Addresses handed
to clients and tasks are plain absolute paths: flytekit refuses ``file://`` (flytekit 1.16 types/file/file.py).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import Message

_Message = TypeVar("_Message", bound=Message)


class Blobs:
    """The blob folder of one backend.

    Args:
        root: absolute path; created with mode 0700 when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def metadata_root(self) -> Path:
        """Where inputs, outputs and errors of executions lie (Flyte's ``metadata``)."""
        return self.root / "metadata"

    @property
    def raw_root(self) -> Path:
        """Default prefix of raw output data."""
        return self.root / "raw"

    def read_literals(self, uri: str) -> LiteralMap:
        """Return the literal map at this absolute path; an empty one if there is none.

        Raises:
            OSError: the file exists and cannot be read.
            google.protobuf.message.DecodeError: the file is no literal map.
        """
        try:
            return LiteralMap.FromString(Path(uri).read_bytes())
        except FileNotFoundError:
            return LiteralMap()

    def read_message(self, uri: str, kind: type[_Message]) -> _Message:
        """Return the message of this kind at this absolute path.

        Raises:
            OSError: there is no such file, or it cannot be read.
            google.protobuf.message.DecodeError: the file holds no such message.
        """
        return kind.FromString(Path(uri).read_bytes())

    def write_literals(self, uri: str, literals: LiteralMap) -> None:
        """Put the literal map at this absolute path, making folders as needed."""
        self.write_message(uri, literals)

    def write_message(self, uri: str, message: Message) -> None:
        """Put any message of flyteidl at this absolute path, making folders as needed."""
        with self.replacing(Path(uri)) as file:
            file.write(message.SerializeToString(deterministic=True))

    def upload_path(self, project: str, domain: str, root: str, filename: str) -> Path:
        """Return where an upload goes: ``uploads/{project}/{domain}/{root}/{filename}``.

        Raises:
            ValueError: a part is empty, ``.``, ``..``, or contains a separator or a NUL.
        """
        for part in (project, domain):
            if "/" in part:
                raise ValueError(f"{part!r} cannot be part of an upload's path")
        parts = [project, domain, *root.split("/"), *filename.split("/")]
        for part in parts:
            if part in ("", ".", "..") or "\0" in part or "\\" in part:
                raise ValueError(f"{part!r} cannot be part of an upload's path")
        return self.root.joinpath("uploads", *parts)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[BinaryIO]:
        """Give a file to write; it takes the place of ``path`` when the block ends well, else it is removed."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
