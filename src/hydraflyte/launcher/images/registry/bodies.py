"""Bodies of requests and answers: read in pieces, counted, never held in memory.

One rule: between two pieces a launch that was stopped is noticed, however slowly the other side sends or takes. Knows
nothing of registries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import requests
import urllib3

from hydraflyte.launcher.images.registry.patience import Patience

_PIECE_BYTES = 256 * 1024


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request carries; opened anew for every attempt.

    Attributes:
        size_bytes: its length.
        open: gives a file to read it from.
    """

    size_bytes: int
    open: Callable[[], Readable]


@dataclass(slots=True)
class Traffic:
    """What went over the line so far: requests, and the bytes of bodies that were sent."""

    requests: int = 0
    sent_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, requests: int = 0, sent_bytes: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.sent_bytes += sent_bytes


class Stream:
    """A body that is read in pieces, with its length known and its bytes counted."""

    def __init__(self, body: Body, traffic: Traffic, patience: Patience) -> None:
        self._size_bytes = body.size_bytes
        self._file = body.open()
        self._traffic = traffic
        self._patience = patience

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:  # `requests` takes only iterables for streams; urllib3 calls read
        while piece := self.read(1024 * 1024):
            yield piece

    def read(self, size: int = -1) -> bytes:
        self._patience.check()
        piece = self._file.read(size)
        self._traffic.count(sent_bytes=len(piece))
        return piece

    def close(self) -> None:
        self._file.close()


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """Yield the body of an answer as it comes: whoever sends slowly holds nobody up between two pieces.

    Raises:
        requests.RequestException: it broke off.
    """
    try:
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            yield piece
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from error
