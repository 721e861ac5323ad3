"""The captured streams of attempts, read over HTTP: all of one, or what is new in many."""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

from hydraflyte.errors import ExecutionError

_INTERVAL_S = 0.5
_MISSING, _NOTHING_NEW = 404, 416


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One captured stream. ``is_complete`` tells that its attempt has ended, so nothing more will come."""

    node: str
    attempt: int
    name: str
    uri: str
    is_complete: bool

    @property
    def heading(self) -> str:
        """What stands above its lines."""
        return f"==> {self.node} attempt {self.attempt} {self.name} <=="


def copy_log(uri: str, token: str, target: IO[bytes], *, offset: int = 0) -> None:
    """Copy a stream from ``offset`` on to ``target``, piece by piece: logs can be large.

    Nothing captured (yet), or nothing beyond the offset, is no error.

    Raises:
        ExecutionError: the backend refuses, or does not answer.
    """
    headers = {"Authorization": f"Bearer {token}", "Range": f"bytes={offset}-"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: a proxy cannot reach it
    try:
        with opener.open(urllib.request.Request(uri, headers=headers), timeout=30) as response:
            shutil.copyfileobj(response, target)
    except urllib.error.HTTPError as error:
        if error.code not in (_MISSING, _NOTHING_NEW):
            raise _unreadable(uri, error) from error
    except OSError as error:
        raise _unreadable(uri, error) from error


def log_text(uri: str, token: str) -> str:
    """Return a whole stream as text."""
    buffer = io.BytesIO()
    copy_log(uri, token, buffer)
    return buffer.getvalue().decode("utf-8", errors="replace")


class Follower:
    """Prints what is new in the streams of one execution.

    Args:
        token: lets the reader in.
        as_json: print an object a line instead of the text under headings.
    """

    def __init__(self, token: str, *, as_json: bool) -> None:
        self._token = token
        self._as_json = as_json
        self._offsets: dict[str, int] = {}
        self._complete: set[str] = set()
        self._last: Stream | None = None

    def follow(self, streams: Callable[[], Iterable[Stream]], has_ended: Callable[[], bool]) -> None:
        """Print until the execution has ended and all that its attempts wrote was printed."""
        is_over = False
        while not is_over:
            is_over = has_ended()  # asked before reading: what was written until then is read below
            for stream in streams():
                self._print_news(stream)
            if not is_over:
                time.sleep(_INTERVAL_S)

    def _print_news(self, stream: Stream) -> None:
        if stream.uri in self._complete:
            return
        news = io.BytesIO()
        offset = self._offsets.get(stream.uri, 0)
        copy_log(stream.uri, self._token, news, offset=offset)
        self._offsets[stream.uri] = offset + len(news.getvalue())
        if stream.is_complete:
            self._complete.add(stream.uri)
        if news.getvalue():
            self._print(stream, news.getvalue())

    def _print(self, stream: Stream, news: bytes) -> None:
        if self._as_json:
            text = news.decode("utf-8", errors="replace")
            facts = {"node": stream.node, "attempt": stream.attempt, "stream": stream.name, "text": text}
            print(json.dumps(facts), flush=True)
            return
        if self._last is None or self._last.uri != stream.uri:
            print(stream.heading, flush=True)
        self._last = stream
        sys.stdout.buffer.write(news)
        sys.stdout.buffer.flush()


def _unreadable(uri: str, error: Exception) -> ExecutionError:
    return ExecutionError(f"The log {uri} cannot be read: {error}.", hint="is the backend the one that ran it?")
