"""Following executions by the hundred: one list answers for many, and submissions keep a pace.

With more executions than threads, asking for each would be a storm of requests: here a round costs one request for
every 200 executions, whatever they do. Only lists what has ended; knows nothing of jobs.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol

from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2

from hydraflyte.errors import BackendUnavailableError, HydraFlyteError
from hydraflyte.launcher.remote import ExecutionQuery, FlyteClient

if TYPE_CHECKING:  # flytekit comes with it
    from hydraflyte.launcher.execute import Submission

Phase = core_execution_pb2.WorkflowExecution
TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT})
_RUNNING = Phase.Phase.Name(Phase.RUNNING)
_ENDED = ";".join(Phase.Phase.Name(phase) for phase in sorted(TERMINAL))
_NAMES_IN_A_QUESTION = 200
_SHORTEST_ROUND_S = 0.5
_REQUEST_EVERY_S = 0.1
"""A round over 10,000 executions asks 50 times and takes 5 s."""
_PAUSE_WHILE_AWAY_S = 2.0
_MOST_SUBMISSIONS_A_SECOND = 100.0


@dataclass(slots=True, kw_only=True)
class Flight:
    """An execution under way, between two questions about it."""

    submission: Submission
    next_poll_at: float = 0.0
    pause_s: float = 0.0
    phase: str = ""
    unreachable_since: float | None = None


@dataclass(slots=True)
class Pace:
    """Spreads submissions: a backend gets no more of them in a second than it can take in."""

    _next_at: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def delay_s(self, now: float) -> float:
        """Return how long to wait before the next submission; the turn is taken with that."""
        with self._lock:
            at = max(now, self._next_at)
            self._next_at = at + 1 / _MOST_SUBMISSIONS_A_SECOND
        return at - now


class Followed(Protocol):
    """Whom the crowd tells; called by several threads, and never when ``leave`` is set."""

    def phase_changed(self, flight: Flight, phase: str) -> None:
        """An execution that has not ended is in another phase."""
        ...

    def answered(self) -> None:
        """The backend has answered."""
        ...

    def conclude(self, flight: Flight, execution: execution_pb2.Execution) -> bool:
        """An execution has ended. Returns False to be told again."""
        ...

    def conclude_unreachable(self, flight: Flight, error: HydraFlyteError) -> bool:
        """The backend does not answer. Returns True if the execution is given up on."""
        ...

    def guarded(self, work: Callable[[], None]) -> None:
        """Do some work in a thread; report whatever it raises."""
        ...


@dataclass(slots=True, kw_only=True)
class Crowd:
    """The executions that one thread follows by lists.

    Attributes:
        leave: set when nobody waits any more.
    """

    client: FlyteClient
    followed: Followed
    leave: Event
    _flights: dict[str, Flight] = field(default_factory=dict)

    def follow(self, arrivals: queue.SimpleQueue[Flight | None], pool: ThreadPoolExecutor) -> None:
        """Follow what arrives until ``leave`` is set; outcomes are fetched by the pool."""
        while not self.leave.is_set():
            began_at = time.monotonic()
            self._take_in(arrivals)
            try:
                for execution in self._changed():
                    self._note(execution, arrivals, pool)
            except BackendUnavailableError as error:
                self._wait_for_backend(error)
            self.leave.wait(max(0.0, began_at + _SHORTEST_ROUND_S - time.monotonic()))

    def _take_in(self, arrivals: queue.SimpleQueue[Flight | None]) -> None:
        while not arrivals.empty():
            flight = arrivals.get()
            if flight is not None:
                self._flights[flight.submission.execution.name] = flight

    def _changed(self) -> Iterator[execution_pb2.Execution]:
        """Yield the executions that have ended, and those that run and were not known to."""
        flights = list(self._flights.values())
        running = [flight for flight in flights if flight.phase == _RUNNING]
        others = [flight for flight in flights if flight.phase != _RUNNING]
        yield from self._in_phases(running, _ENDED)
        yield from self._in_phases(others, f"{_ENDED};{_RUNNING}")

    def _in_phases(self, flights: Sequence[Flight], phases: str) -> Iterator[execution_pb2.Execution]:
        for start in range(0, len(flights), _NAMES_IN_A_QUESTION):
            asked = flights[start : start + _NAMES_IN_A_QUESTION]
            place = asked[0].submission.execution
            names = ";".join(flight.submission.execution.name for flight in asked)
            filters = f"value_in(phase,{phases})+value_in(name,{names})"
            yield from self.client.list_executions(ExecutionQuery(place.project, place.domain, filters))
            self.followed.answered()
            for flight in asked:
                flight.unreachable_since = None
            if self.leave.wait(_REQUEST_EVERY_S):
                return

    def _note(
        self,
        execution: execution_pb2.Execution,
        arrivals: queue.SimpleQueue[Flight | None],
        pool: ThreadPoolExecutor,
    ) -> None:
        flight = self._flights.get(execution.id.name)
        if flight is None:
            return
        flight.phase = Phase.Phase.Name(execution.closure.phase)
        if execution.closure.phase not in TERMINAL:
            self.followed.phase_changed(flight, flight.phase)
            return
        del self._flights[execution.id.name]

        def conclude() -> None:
            if not self.followed.conclude(flight, execution):
                arrivals.put(flight)

        pool.submit(self.followed.guarded, conclude)

    def _wait_for_backend(self, error: BackendUnavailableError) -> None:
        for name, flight in list(self._flights.items()):
            if self.followed.conclude_unreachable(flight, error):
                del self._flights[name]
        self.leave.wait(_PAUSE_WHILE_AWAY_S)
