"""Submissions -> outcomes: follows every execution to its end, and says so of each as soon as it ends.

A poll is held back by the embedded backend until something changes; other backends answer at once, so polls slow
down there. A backend that is away for a while is waited for. Knows nothing of Hydra.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
from hydraflyte.launcher.absence import Absence
from hydraflyte.launcher.crowd import TERMINAL, Crowd, Flight, Pace
from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.tracebacks import last_line, readable_failure

Phase = core_execution_pb2.WorkflowExecution
NOT_STARTED = "not started"
ENDS = frozenset({NOT_STARTED, *(Phase.Phase.Name(phase) for phase in TERMINAL)})
"""Phases of jobs of which nothing more is to come."""
_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_PATIENCE_OF_A_POLL_S = 2.0
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
    """Whom to tell while jobs are under way; called from several threads.

    Attributes:
        line: is given what else the user should know.
    """

    submitted: Callable[[Submission], None]
    phase_changed: Callable[[int, str], None]
    line: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Interruption:
    """Somebody asked to stop; whoever iterates over the steps decides what that means."""


@dataclass(slots=True, kw_only=True)
class Sweep:
    """The jobs of one launch on their way.

    Attributes:
        start: starts a job by its number; called again for the same job if the backend was away.
        source_root: where the user's code is, for tracebacks.
        window: most jobs in flight; None for all.
        stop_cause: why no further job is started; empty if they are.
        patience_s: how long the backend may be away before its jobs are given up on.
    """

    client: FlyteClient
    start: Callable[[int], Submission]
    watcher: Watcher
    source_root: Path
    window: int | None = None
    stop_cause: str = ""
    patience_s: float = _PATIENCE_S
    absence: Absence = field(init=False)
    _leave: Event = field(default_factory=Event)
    _results: queue.SimpleQueue[Outcome | Interruption | BaseException] = field(default_factory=queue.SimpleQueue)
    _flights: queue.SimpleQueue[Flight | None] = field(default_factory=queue.SimpleQueue)
    _to_cancel: queue.SimpleQueue[Submission] = field(default_factory=queue.SimpleQueue)
    _submissions: dict[int, Submission] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)
    _count: int = 0
    _ended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Have the watcher told of a backend that is away."""
        endpoint = self.client.endpoint
        self.absence = Absence(endpoint=endpoint, patience_s=self.patience_s, tell=self.watcher.line)

    def submit_all(self, numbers: Iterable[int]) -> Iterator[Submission | Outcome]:
        """Start every job and yield what became of each, in order; for those who do not wait."""
        with ThreadPoolExecutor(max_workers=_MOST_SUBMITTERS, thread_name_prefix="submit") as pool:
            try:
                yield from pool.map(self._try_to_start, numbers)
            finally:
                self._leave.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def run_all(self, numbers: Iterable[int], count: int) -> Iterator[Outcome | Interruption]:
        """Start every job, follow it, and yield each outcome as soon as it is there, in no order.

        Whatever stops one of the threads (a closed stdout, a defect) is raised here: nobody waits for a dead thread.

        Args:
            numbers: of the jobs; read one by one, in the thread that iterates, as they are started.
            count: how many there are.
        """
        self._count = count
        window = count if self.window is None else self.window
        submitters = ThreadPoolExecutor(max_workers=min(_MOST_SUBMITTERS, window), thread_name_prefix="submit")
        followers = self._begin_to_follow(min(count, window))
        try:
            yield from self._steps(iter(numbers), window, submitters)
        finally:
            self._leave.set()
            for _ in range(_MOST_POLLERS):
                self._flights.put(None)
            submitters.shutdown(wait=False, cancel_futures=True)
            followers.shutdown(wait=False, cancel_futures=True)

    def interrupt(self) -> None:
        """Let the next step be an interruption. May be called by a signal handler."""
        self._results.put(Interruption())

    def is_over(self) -> bool:
        """Tell whether every job has ended, though nobody may have read all outcomes yet."""
        return len(self._ended) == self._count

    def in_flight(self) -> tuple[Submission, ...]:
        """Return what has been started and not seen to end, by number."""
        return tuple(self._submissions[number] for number in sorted(self._submissions))

    def cancel_rest(self, cause: str) -> None:
        """Start no further job and ask for the end of those in flight; their outcomes still arrive.

        A backend that is away is asked when it is back, as long as somebody reads the steps.
        """
        self.stop_cause = cause
        with ThreadPoolExecutor(max_workers=_MOST_SUBMITTERS, thread_name_prefix="cancel") as pool:
            were_asked = list(pool.map(self._ask_for_end, self.in_flight()))
        left = were_asked.count(False)
        if left:
            self.watcher.line(f"{left} of {len(were_asked)} executions are cancelled when the backend is back")

    def _ask_for_end(self, submission: Submission) -> bool:
        """Ask for the end of an execution; returns whether the backend was there, else it is asked again."""
        try:
            self.client.terminate(submission.execution, self.stop_cause)
        except BackendUnavailableError:
            self._to_cancel.put(submission)
            return False
        return True

    def _steps(
        self, waiting: Iterator[int], window: int, submitters: ThreadPoolExecutor
    ) -> Iterator[Outcome | Interruption]:
        started = ended = 0
        is_all_started = False
        while not is_all_started or ended < started:
            if not is_all_started and started - ended < window:
                number = next(waiting, None)
                if number is None:
                    is_all_started = True
                else:
                    started += 1
                    submitters.submit(self._launch, number)
                if self._results.empty():
                    continue
            result = self._results.get()
            if isinstance(result, BaseException):
                raise result
            ended += isinstance(result, Outcome)
            yield result

    def _begin_to_follow(self, most: int) -> ThreadPoolExecutor:
        """Start the threads that follow executions: one by one with held polls, or a crowd by lists."""
        followers = ThreadPoolExecutor(max_workers=min(max(most, 1), _MOST_POLLERS), thread_name_prefix="follow")
        if most > _MOST_POLLERS:
            crowd = Crowd(client=self.client, followed=self, leave=self._leave)
            followers.submit(self.guarded, lambda: crowd.follow(self._flights, followers))
            return followers
        for _ in range(most):
            followers.submit(self.guarded, self._follow_flights)
        return followers

    def _try_to_start(self, number: int) -> Submission | Outcome:
        try:
            submission = self._start_patiently(number)
        except HydraFlyteError as error:
            return Outcome(number=number, phase=NOT_STARTED, error=error)
        self._submissions[number] = submission
        if self.stop_cause:  # the rest was cancelled meanwhile, when this was not yet known
            self._ask_for_end(submission)
        self.watcher.submitted(submission)
        return submission

    def _start_patiently(self, number: int) -> Submission:
        """Start a job, once the pace allows it and the backend answers; asking again starts nothing twice."""
        given_up_at: float | None = None
        while True:
            self._leave.wait(self._pace.delay_s(time.monotonic()))
            if self.stop_cause or self._leave.is_set():
                raise ExecutionError(
                    f"Job {number} was not started: {self.stop_cause or 'the launch was left'}.",
                    hint="hydra.launcher.resume=last runs what has not succeeded.",
                )
            try:
                submission = self.start(number)
            except BackendUnavailableError as error:
                now = time.monotonic()
                self.absence.goes_on(now)
                given_up_at = now + self.patience_s if given_up_at is None else given_up_at
                if now >= given_up_at:
                    raise self.absence.given_up(f"Job {number} was not submitted", error) from error
                self._leave.wait(min(_LONGEST_PAUSE_S, given_up_at - now))
            else:
                self.absence.is_over()
                return submission

    def _launch(self, number: int) -> None:
        def start() -> None:
            started = self._try_to_start(number)
            if isinstance(started, Outcome):
                self._report(started)
            else:
                self._flights.put(Flight(submission=started))

        self.guarded(start)

    def guarded(self, work: Callable[[], None]) -> None:
        """Do some work in a thread; what it raises is raised where the steps are read."""
        try:
            work()
        except BaseException as error:  # the border of a thread; rich raises SystemExit when stdout is closed
            self._results.put(error)

    def _follow_flights(self) -> None:
        """Poll whatever execution is next, again and again."""
        while (flight := self._flights.get()) is not None:
            if self._leave.wait(max(0.0, flight.next_poll_at - time.monotonic())):
                return
            if not self._poll(flight):
                self._flights.put(flight)

    def _poll(self, flight: Flight) -> bool:
        """Ask about an execution; returns whether it has been concluded."""
        asked_at = time.monotonic()
        try:
            execution = self.client.get_execution(flight.submission.execution, patience_s=_PATIENCE_OF_A_POLL_S)
        except HydraFlyteError as error:
            return self.conclude_unreachable(flight, error)
        flight.unreachable_since = None
        self.answered()
        phase = Phase.Phase.Name(execution.closure.phase)
        if phase != flight.phase:
            flight.phase, flight.pause_s = phase, 0.0
            self.phase_changed(flight, phase)
        if execution.closure.phase in TERMINAL:
            return self.conclude(flight, execution)
        self._pause(flight, asked_at, grows=time.monotonic() - asked_at < _HELD_S)
        return False

    def answered(self) -> None:
        """Take note that the backend is there, and ask it for an end that it was not there to be asked for."""
        self.absence.is_over()
        with suppress(queue.Empty):
            self._ask_for_end(self._to_cancel.get_nowait())

    def phase_changed(self, flight: Flight, phase: str) -> None:
        """Tell of the phase of an execution under way."""
        self.watcher.phase_changed(flight.submission.number, phase)

    def conclude(self, flight: Flight, execution: execution_pb2.Execution) -> bool:
        """Report the outcome of an execution that has ended; returns False if its outputs cannot be had yet."""
        try:
            outcome = self._outcome(flight.submission, execution)
        except HydraFlyteError as error:
            return self.conclude_unreachable(flight, error)
        self._report(outcome)
        return True

    def conclude_unreachable(self, flight: Flight, error: HydraFlyteError) -> bool:
        """Give up on an execution if the backend refuses, or has been away for too long."""
        now = time.monotonic()
        flight.unreachable_since = flight.unreachable_since or now
        submission = flight.submission
        if isinstance(error, BackendUnavailableError):
            self.absence.goes_on(now)
            if now - flight.unreachable_since < self.patience_s:
                self._pause(flight, now, grows=True)
                return False
            error = self.absence.given_up(f"How job {submission.number} has ended is not known", error)
        self._report(Outcome(number=submission.number, phase=flight.phase, link=submission.link, error=error))
        return True

    def _report(self, outcome: Outcome) -> None:
        self._submissions.pop(outcome.number, None)
        self._ended.add(outcome.number)
        self._results.put(outcome)

    def _pause(self, flight: Flight, asked_at: float, *, grows: bool) -> None:
        flight.next_poll_at = asked_at + flight.pause_s
        if grows:
            flight.pause_s = min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, flight.pause_s * 1.5))

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
