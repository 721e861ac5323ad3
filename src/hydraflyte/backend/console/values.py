"""Inputs and outputs for pages: read as plain values, if a page can bear them.

One rule: whatever a workflow returned, a page costs little. What is too large or too deep is told of, not shown.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.transport.readable import Readable, readable_map

_MOST_BYTES = 2 * 1024 * 1024
_DEEPEST = 100


def read_to_show(blobs: Blobs, uri: str) -> LiteralMap:
    """Return the literals at this absolute path; none if there is no such file.

    Raises:
        OSError: the file cannot be read, or is too large to be shown.
        google.protobuf.message.DecodeError: the file is no literal map.
    """
    if Path(uri).is_file() and (size := os.path.getsize(uri)) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"its {size} bytes are too many to show")
    return blobs.read_literals(uri)


def read_values(blobs: Blobs, uri: str) -> dict[str, Readable]:
    """Return the literals at this absolute path as plain values by name.

    Raises:
        OSError: as :func:`read_to_show`, or they are too deep to be shown.
        google.protobuf.message.DecodeError: the file is no literal map.
    """
    values = readable_map(read_to_show(blobs, uri))
    if _is_deep(values):
        raise OSError(errno.ELOOP, f"it is more than {_DEEPEST} levels deep")
    return values


def _is_deep(tree: Readable) -> bool:
    level = [tree]
    for _ in range(_DEEPEST):
        level = [child for each in level for child in _children(each)]
    return bool(level)


def _children(tree: Readable) -> list[Readable]:
    if isinstance(tree, Mapping):
        return list(tree.values())
    return tree if isinstance(tree, list) else []
