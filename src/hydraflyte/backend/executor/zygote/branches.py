"""Second-level zygotes: forks of the first that have imported the libraries of one code bundle.

The first level keeps them, passes orders down and answers up; which attempt runs where is nobody else's business.
Rule: an attempt that a branch did not start goes back to the first level, so a branch can only ever save time.
"""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from . import preload
from .frames import FrameReader, Message, encode

MOST_BRANCHES = 8
IDLE_S = 120.0


class Branch:
    """One second-level zygote as the first level sees it."""

    def __init__(self, key: preload.Key, libraries: list[str], pid: int, stream: socket.socket) -> None:
        self.key = key
        self.libraries = frozenset(libraries)
        self.pid = pid
        self.stream = stream
        self.used_at = time.monotonic()
        self.ordered: dict[str, Message] = {}  # sent, not started
        self.running: dict[str, int] = {}  # attempt -> pid
        self._reader = FrameReader()

    @property
    def is_idle(self) -> bool:
        """Whether it could be stopped without harm to an attempt."""
        return not self.ordered and not self.running

    def order(self, message: Message) -> None:
        """Have the branch start an attempt."""
        self.used_at = time.monotonic()
        self.ordered[message["id"]] = message
        self.send(message)

    def send(self, message: Message) -> None:
        """Pass a message down. A broken stream is noticed when it is read."""
        try:
            self.stream.sendall(encode(message))
        except OSError:
            return

    def read(self) -> tuple[list[Message], bool]:
        """Return what the branch says, and whether it is still there."""
        try:
            data = self.stream.recv(256 * 1024)
        except OSError:
            data = b""
        messages = list(self._reader.feed(data))
        for message in messages:
            self._follow(message)
        return messages, bool(data)

    def _follow(self, message: Any) -> None:
        self.used_at = time.monotonic()
        if message["type"] == "started":
            self.ordered.pop(message["id"], None)
            self.running[message["id"]] = message["pid"]
        elif message["type"] == "exited":
            self.running.pop(message["id"], None)
        elif message["type"] == "lost":  # no process could be made for it
            self.ordered.pop(message["id"], None)


class Branches:
    """The branches of one zygote, and what it has learned about which libraries a key needs."""

    def __init__(self) -> None:
        self._by_key: dict[preload.Key, Branch] = {}
        self._learned: OrderedDict[preload.Key, list[str]] = OrderedDict()  # [] means: never make a branch

    def __iter__(self) -> Iterator[Branch]:
        return iter(list(self._by_key.values()))

    def learn(self, key: preload.Key, libraries: list[str]) -> None:
        """Note the libraries that an attempt of this key imported by itself."""
        known = self._learned.pop(key, None)
        self._learned[key] = _join(known, libraries)
        while len(self._learned) > 8 * MOST_BRANCHES:
            self._learned.popitem(last=False)

    def forbid(self, key: preload.Key) -> None:
        """Make no branch for this key any more."""
        self._learned[key] = []

    def libraries_for(self, key: preload.Key) -> list[str]:
        """Return the libraries that a branch for this key should import; empty if there should be none."""
        return self._learned.get(key, [])

    def find(self, key: preload.Key) -> Branch | None:
        """Return the branch for this key, if it has all the libraries that are known to be needed."""
        branch = self._by_key.get(key)
        if branch is not None and branch.libraries.issuperset(self.libraries_for(key)):
            return branch
        return None

    def find_attempt(self, attempt: str) -> Branch | None:
        """Return the branch that has this attempt."""
        for branch in self._by_key.values():
            if attempt in branch.running or attempt in branch.ordered:
                return branch
        return None

    def may_grow(self, key: preload.Key) -> bool:
        """Whether a branch for this key may be made now: none is in the way, and there is room."""
        return key not in self._by_key and len(self._by_key) < MOST_BRANCHES

    def add(self, branch: Branch) -> None:
        """Keep a new branch."""
        self._by_key[branch.key] = branch

    def remove(self, branch: Branch) -> None:
        """Forget a branch that is gone."""
        self._by_key.pop(branch.key, None)

    def expired(self, key: preload.Key | None) -> list[Branch]:
        """Return the idle branches to stop: unused for long, outgrown, or in the way of a new one for ``key``."""
        idle = sorted((branch for branch in self._by_key.values() if branch.is_idle), key=lambda one: one.used_at)
        limit = time.monotonic() - IDLE_S
        expired = [one for one in idle if one.used_at <= limit or self.find(one.key) is None]
        if not expired and key is not None and len(self._by_key) >= MOST_BRANCHES:
            expired = idle[:1]
        return expired


def _join(known: list[str] | None, libraries: list[str]) -> list[str]:
    if known == []:
        return known
    names = list(dict.fromkeys([*(known or ()), *libraries]))
    return names if preload.may_be_imported_ahead(names) else []
