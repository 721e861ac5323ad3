"""An executor without processes: attempts end as a script says, at once or when told to.

For simulations and for tests of what stands above the executor. Rule: it keeps the port's promises exactly (the
contract suite runs on it), so that whatever passes here meets nothing new on real processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import (
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
    Event,
)
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.ports import EventSink
from hydraflyte.identifiers import AttemptId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeds:
    """The attempt ends well."""

    outputs: LiteralMap = field(default_factory=LiteralMap)
    has_deck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fails:
    """The attempt ends badly."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class IsLost:
    """The attempt's process disappears."""

    reason: str = "scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverEnds:
    """The attempt starts, and runs until it is aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverStarts:
    """The attempt stays in the queue until it is aborted."""


Outcome = Succeeds | Fails | IsLost | NeverEnds | NeverStarts


class ScriptedExecutor:
    """A TaskExecutor in memory.

    Args:
        script: outcome by (node id, attempt number).
        otherwise: outcome of every attempt that the script does not name.
        is_manual: post nothing by itself; each ``advance`` posts the next event. Else events are posted by the
            running asyncio loop, right after the call that caused them.

    Attributes:
        started: every attempt that ``start`` was called for, in order, repetitions included.
        aborted: every (attempt, reason) that ``abort`` was called for, in order.
    """

    def __init__(
        self,
        script: Mapping[tuple[NodeId, int], Outcome] | None = None,
        *,
        otherwise: Outcome = Succeeds(),
        is_manual: bool = False,
    ) -> None:
        self.started: list[AttemptSpec] = []
        self.aborted: list[tuple[AttemptId, str]] = []
        self._script = dict(script or {})
        self._otherwise = otherwise
        self._is_manual = is_manual
        self._sink: EventSink | None = None
        self._pending: list[AttemptStarted | Event] = []
        self._running: set[AttemptId] = set()
        self._records: dict[AttemptId, Event] = {}  # outlives close, as files would

    async def open(self, sink: EventSink) -> None:
        """Post to ``sink`` from now on. What ended under an earlier ``open`` can still be found."""
        self._sink = sink

    def start(self, spec: AttemptSpec) -> None:
        """Play the attempt's outcome, unless it was started before."""
        self.started.append(spec)
        attempt = spec.attempt
        outcome = self._script.get((attempt.node, attempt.attempt), self._otherwise)
        if attempt in self._running or attempt in self._records:
            return
        self._running.add(attempt)
        if not isinstance(outcome, NeverStarts):
            self._plan(AttemptStarted(attempt=attempt))
        end = _end_of(attempt, outcome)
        if end is not None:
            self._plan(end)

    def abort(self, attempt: AttemptId, reason: str) -> None:
        """End the attempt instead of what its outcome was."""
        self.aborted.append((attempt, reason))
        self._pending = [event for event in self._pending if _attempt_of(event) != attempt]
        self._plan(AttemptAborted(attempt=attempt))

    def find_result(self, spec: AttemptSpec) -> Event | None:
        """Return how the attempt ended, if it did under this or an earlier ``open``."""
        end = self._records.get(spec.attempt)
        return None if isinstance(end, AttemptLost) else end

    async def close(self) -> None:
        """Forget what runs; nothing is posted any more."""
        self._sink = None
        self._pending.clear()
        self._running.clear()

    def advance(self) -> Event | None:
        """Post the next event that is due, and return it; None if nothing will happen by itself."""
        if not self._pending or self._sink is None:
            return None
        event = self._pending.pop(0)
        attempt = _attempt_of(event)
        if not isinstance(event, AttemptStarted):
            self._running.discard(attempt)
            self._records.setdefault(attempt, event)
        self._sink.post(attempt.execution, event)
        return event

    @property
    def running(self) -> frozenset[AttemptId]:
        """The attempts that were started and have no end so far."""
        return frozenset(self._running)

    def _plan(self, event: Event) -> None:
        self._pending.append(event)
        if not self._is_manual:
            asyncio.get_running_loop().call_soon(self.advance)


def _end_of(attempt: AttemptId, outcome: Outcome) -> Event | None:
    match outcome:
        case Succeeds(outputs=outputs, has_deck=has_deck):
            return AttemptSucceeded(attempt=attempt, outputs=outputs, has_deck=has_deck)
        case Fails(failure=failure):
            return AttemptFailed(attempt=attempt, failure=failure)
        case IsLost(reason=reason):
            return AttemptLost(attempt=attempt, reason=reason)
        case NeverEnds() | NeverStarts():
            return None


def _attempt_of(event: Event) -> AttemptId:
    assert isinstance(event, AttemptStarted | AttemptSucceeded | AttemptFailed | AttemptLost | AttemptAborted)
    return event.attempt
