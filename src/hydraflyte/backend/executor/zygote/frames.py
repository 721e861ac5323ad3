"""Messages on a byte stream: four bytes of length (big endian), then one JSON object.

Pure: bytes in, messages out. Both ends of the executor's socket use this module, the backend and the zygote, so it
needs nothing but the standard library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

Message = Mapping[str, Any]  # JSON: the keys depend on "type", see server.py
MAX_FRAME_BYTES = 64 * 1024 * 1024  # far above any command line and environment that a kernel accepts
_LENGTH = struct.Struct(">I")


class FrameError(ValueError):
    """The stream does not hold a frame where one must begin."""


def encode(message: Message) -> bytes:
    """Return the frame that carries ``message``.

    Raises:
        FrameError: the message is larger than ``MAX_FRAME_BYTES``.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Collects the bytes of a stream and gives out the messages that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add ``data`` and yield each message that is now complete, in order.

        Raises:
            FrameError: a length is over the limit, or a body is no JSON object. The stream cannot be read further.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameError(f"a frame holds no JSON: {body[:40]!r}") from error
    if not isinstance(message, dict):
        raise FrameError(f"a frame holds no object: {body[:40]!r}")
    return message
