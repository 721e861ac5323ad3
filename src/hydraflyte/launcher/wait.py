"""Submissions -> outcomes: follows every execution to its end, and says so of each as soon as it ends.

A poll is held back by the embedded backend until something changes; other backends answer at once, so polls slow
down there. A backend that is away for a while is waited for. Knows nothing of Hydra.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import literals_pb2

from hydraflyte.errors import (
    BackendUnavailableError,
    ExecutionError,
    ExecutionFailedError,
    HydraFlyteError,
)
from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.tracebacks import last_line, readable_failure

Phase = core_execution_pb2.WorkflowExecution
NOT_STARTED = "not started"
_TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT})
_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_PATIENCE_OF_A_POLL_S = 2.0
_PATIENCE_IN_A_CROWD_S = 0.5
"""With more executions than pollers, none may keep a poller for long."""
_HELD_S = 0.4
"""An answer that took longer was held back by the backend: asking again at once costs nobody anything."""
_PATIENCE_S = 120.0
"""How long a backend may be away (a restart, a lost network) before its jobs are given up on."""
_DEFAULT_PLACE = ("flytesnacks", "development")
"""Project and domain that the command line means when none is given."""
_MOST_POLLERS = 48
_MOST_SUBMITTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        phase: phase of the execution by flyteidl's name, or ``NOT_STARTED``.
        duration: from the start of the execution to its end; None if it never ran.
        outputs: the outputs if it succeeded.
        error: why it did not.
    """

    number: int
    phase: str
    link: str = ""
    duration: timedelta | None = None
    outputs: literals_pb2.LiteralMap | None = None
    error: HydraFlyteError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Whom to tell while jobs are under way; called from several threads."""

    submitted: Callable[[Submission], None]
    phase_changed: Callable[[int, str], None]


@dataclass(slots=True, kw_only=True)
class _Flight:
    """An execution under way, between two polls."""

    submission: Submission
    next_poll_at: float = 0.0
    pause_s: float = 0.0
    phase: str = ""
    unreachable_since: float | None = None


@dataclass(slots=True, kw_only=True)
class Sweep:
    """The jobs of one launch on their way.

    Attributes:
        start: starts a job by its number.
        source_root: where the user's code is, for tracebacks.
        window: most jobs in flight; None for all.
    """

    client: FlyteClient
    start: Callable[[int], Submission]
    watcher: Watcher
    source_root: Path
    window: int | None = None
    _stop: Event = field(default_factory=Event)
    _results: queue.SimpleQueue[Outcome | BaseException] = field(default_factory=queue.SimpleQueue)
    _flights: queue.SimpleQueue[_Flight | None] = field(default_factory=queue.SimpleQueue)
    _submissions: dict[int, Submission] = field(default_factory=dict)

    def submit_all(self, numbers: Sequence[int]) -> Iterator[Submission | Outcome]:
        """Start every job and yield what became of each, in order; for those who do not wait."""
        with ThreadPoolExecutor(max_workers=_MOST_SUBMITTERS, thread_name_prefix="submit") as pool:
            yield from pool.map(self._try_to_start, numbers)

    def run_all(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Start every job, follow it, and yield each outcome as soon as it is there, in no order.

        Whatever stops one of the threads (a closed stdout, a defect) is raised here: nobody waits for a dead thread.
        """
        waiting = iter(numbers)
        window = len(numbers) if self.window is None else self.window
        pollers = min(len(numbers), window, _MOST_POLLERS)
        submitters = ThreadPoolExecutor(max_workers=min(_MOST_SUBMITTERS, window), thread_name_prefix="submit")
        followers = ThreadPoolExecutor(max_workers=pollers, thread_name_prefix="follow")
        try:
            for _ in range(pollers):
                followers.submit(self._follow)
            for number in _first(waiting, window):
                submitters.submit(self._launch, number)
            for _ in numbers:
                result = self._results.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
                for number in _first(waiting, 1):
                    submitters.submit(self._launch, number)
        finally:
            self._stop.set()
            for _ in range(pollers):
                self._flights.put(None)
            submitters.shutdown(wait=False, cancel_futures=True)
            followers.shutdown(wait=False, cancel_futures=True)

    def in_flight(self) -> tuple[Submission, ...]:
        """Return what has been started and not seen to end, by number."""
        return tuple(self._submissions[number] for number in sorted(self._submissions))

    def cancel_rest(self, cause: str) -> None:
        """Start no further job and ask for the end of those in flight; their outcomes still arrive."""
        self._stop.set()
        for submission in self.in_flight():
            self.client.terminate(submission.execution, cause)

    def _try_to_start(self, number: int) -> Submission | Outcome:
        if self._stop.is_set():
            error = ExecutionError(
                f"Job {number} was not started, because another job failed.",
                hint="leave out hydra.launcher.on_failure=fail_fast to run every job.",
            )
            return Outcome(number=number, phase=NOT_STARTED, error=error)
        try:
            submission = self.start(number)
        except HydraFlyteError as error:
            return Outcome(number=number, phase=NOT_STARTED, error=error)
        self._submissions[number] = submission
        self.watcher.submitted(submission)
        return submission

    def _launch(self, number: int) -> None:
        try:
            started = self._try_to_start(number)
        except BaseException as error:  # the border of a thread; rich raises SystemExit when stdout is closed
            self._results.put(error)
            return
        if isinstance(started, Outcome):
            self._results.put(started)
        else:
            self._flights.put(_Flight(submission=started))

    def _follow(self) -> None:
        try:
            self._follow_flights()
        except BaseException as error:  # the border of a thread
            self._results.put(error)

    def _follow_flights(self) -> None:
        """Poll whatever execution is next, again and again."""
        while (flight := self._flights.get()) is not None:
            time.sleep(max(0.0, flight.next_poll_at - time.monotonic()))
            try:
                outcome = self._poll(flight)
            except HydraFlyteError as error:
                outcome = Outcome(
                    number=flight.submission.number, phase=flight.phase, link=flight.submission.link, error=error
                )
            if outcome is None:
                self._flights.put(flight)
                continue
            self._submissions.pop(flight.submission.number, None)
            self._results.put(outcome)

    def _poll(self, flight: _Flight) -> Outcome | None:
        asked_at = time.monotonic()
        try:
            execution = self.client.get_execution(flight.submission.execution, patience_s=self._patience_s())
        except BackendUnavailableError:
            flight.unreachable_since = flight.unreachable_since or asked_at
            if asked_at - flight.unreachable_since > _PATIENCE_S:
                raise
            self._pause(flight, asked_at, grows=True)
            return None
        flight.unreachable_since = None
        phase = Phase.Phase.Name(execution.closure.phase)
        if phase != flight.phase:
            flight.phase, flight.pause_s = phase, 0.0
            self.watcher.phase_changed(flight.submission.number, phase)
        if execution.closure.phase in _TERMINAL:
            return self._outcome(flight.submission, execution)
        self._pause(flight, asked_at, grows=time.monotonic() - asked_at < _HELD_S)
        return None

    def _pause(self, flight: _Flight, asked_at: float, *, grows: bool) -> None:
        flight.next_poll_at = asked_at + flight.pause_s
        if grows:
            flight.pause_s = min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, flight.pause_s * 1.5))

    def _patience_s(self) -> float:
        return _PATIENCE_OF_A_POLL_S if len(self._submissions) <= _MOST_POLLERS else _PATIENCE_IN_A_CROWD_S

    def _outcome(self, submission: Submission, execution: execution_pb2.Execution) -> Outcome:
        closure = execution.closure
        phase = Phase.Phase.Name(closure.phase)
        duration = closure.duration.ToTimedelta() if closure.HasField("duration") else None
        if closure.phase == Phase.SUCCEEDED:
            return Outcome(
                number=submission.number,
                phase=phase,
                link=submission.link,
                duration=duration,
                outputs=self.client.get_outputs(submission.execution),
            )
        return Outcome(
            number=submission.number,
            phase=phase,
            link=submission.link,
            duration=duration,
            error=failure_of(submission, execution, self.source_root, self._where_to_look(submission)),
        )

    def _where_to_look(self, submission: Submission) -> str:
        """Return a hint: a command, because the embedded backend's pages open only by the link with the key."""
        if not self.client.endpoint.is_embedded:
            return f"see {submission.link}"
        place = submission.execution
        elsewhere = "" if (place.project, place.domain) == _DEFAULT_PLACE else f" --project {place.project}"
        elsewhere += f" --domain {place.domain}" if elsewhere else ""
        return f"hydraflyte executions logs {place.name}{elsewhere}"


def failure_of(
    submission: Submission, execution: execution_pb2.Execution, source_root: Path, hint: str
) -> ExecutionFailedError:
    """Return the error that a job's ``JobReturn`` raises: what the user's code raised, with its frames."""
    closure = execution.closure
    phase = Phase.Phase.Name(closure.phase)
    name = f"{execution.id.project}/{execution.id.domain}/{execution.id.name}"
    if closure.HasField("abort_metadata"):
        who = closure.abort_metadata.principal
        text = closure.abort_metadata.cause + (f" (by {who})" if who else "")
    else:
        text = readable_failure(closure.error.message, source_root)
    return ExecutionFailedError(
        f"Job {submission.number} ended {phase} (execution {name}): {last_line(text)}\n{text}",
        hint=hint,
        execution=name,
        phase=phase,
        traceback_text=text if closure.HasField("error") else "",
    )


def _first(numbers: Iterator[int], count: int) -> Iterator[int]:
    for _, number in zip(range(count), numbers, strict=False):
        yield number
