"""The catalog of a simulated world, with reservations: who asks for what somebody computes already has to wait.

The one rule: artifacts are durable, reservations are not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import KeepReservation, LookUpCache, ReleaseReservation, WriteCache
from hydraflyte.backend.engine.events import CacheAnswered
from hydraflyte.identifiers import NodeId

Key = tuple[str, str]


@dataclass(slots=True)
class Catalog:
    """Artifacts and reservations, by dataset and tag.

    Attributes:
        others: reservations of other executions, and when they end.
        waiting: questions that are answered once nobody else holds the key.
    """

    rng: random.Random
    artifacts: dict[Key, bytes] = field(default_factory=dict)
    holders: dict[Key, NodeId] = field(default_factory=dict)
    others: dict[Key, datetime] = field(default_factory=dict)
    waiting: list[LookUpCache] = field(default_factory=list)

    def write(self, command: WriteCache) -> None:
        """Keep an artifact."""
        self.artifacts[command.dataset, command.tag] = command.outputs.SerializeToString(deterministic=True)

    def look_up(self, command: LookUpCache, now: datetime) -> CacheAnswered | None:
        """Answer, or keep the question for later."""
        key = (command.dataset, command.tag)
        found = self.artifacts.get(key)
        outputs = None if found is None else LiteralMap.FromString(found)
        if outputs is None and command.reserves:
            return self._reserve(command, key, now)
        has_failed = outputs is None and self.rng.random() < 0.1
        return CacheAnswered(node=command.node, attempt=command.attempt, outputs=outputs, has_failed=has_failed)

    def _reserve(self, command: LookUpCache, key: Key, now: datetime) -> CacheAnswered | None:
        if key not in self.others:
            is_taken = self.rng.random() < 0.2
            self.others[key] = now + timedelta(seconds=self.rng.choice([1, 30]) if is_taken else 0)
        if self.others[key] > now or self.holders.get(key, command.node) != command.node:
            self.waiting.append(command)
            return None
        self.holders[key] = command.node
        return CacheAnswered(node=command.node, attempt=command.attempt, outputs=None, is_reserved=True)

    def keep(self, command: KeepReservation) -> None:
        """Note again, after a restart, who holds a key."""
        key = (command.dataset, command.tag)
        assert self.holders.get(key, command.node) == command.node, f"{command.node} and {self.holders[key]} hold {key}"
        self.holders[key] = command.node

    def release(self, command: ReleaseReservation) -> None:
        """Let the next one have the key."""
        key = (command.dataset, command.tag)
        if self.holders.get(key) == command.node:
            del self.holders[key]

    def answers(self, now: datetime) -> list[CacheAnswered]:
        """Return what can be answered by now of that which had to wait."""
        waiting, self.waiting = self.waiting, []
        answers = [self.look_up(command, now) for command in waiting]
        return [answer for answer in answers if answer is not None]

    def next_change(self, now: datetime) -> list[datetime]:
        """Return when reservations of other executions end, while somebody waits."""
        return [at for at in self.others.values() if at > now] if self.waiting else []

    def restart(self) -> None:
        """Forget what is not durable."""
        self.holders.clear()
        self.waiting.clear()
