"""What the user sees of a launch: a line per event, a live table on a terminal, and the table of results at the end.

Only shows what it is told; decides nothing. Links stand on lines of their own so that no terminal breaks them.
Whatever is printed, from whichever thread, takes its turn at one console.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock, RLock, Thread
from types import TracebackType
from typing import TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hydraflyte.errors import ExecutionFailedError, HydraFlyteError
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.records.results import ResultRow
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.wait import NOT_STARTED, Outcome
from hydraflyte.tracebacks import last_line

_WIDTH_WITHOUT_TERMINAL = 120
_LONGEST_OUTPUT = 60
_LONGEST_UNBROKEN_OVERRIDES = 32
"""On 80 columns, that leaves the others enough."""
_MOST_LINKS = 20
_MOST_LIVE_ROWS = 20
_REFRESH_S = 0.125
_COLORS = {"SUCCEEDED": "green", "FAILED": "red", "ABORTED": "yellow", "TIMED_OUT": "red", "RUNNING": "cyan"}


@dataclass(slots=True, kw_only=True)
class _Row:
    overrides: str
    phase: str = ""
    started_at: float | None = None
    duration: timedelta | None = None
    output: str = ""
    rounded_output: str = ""
    execution: str = ""
    link: str = ""


class _TurnTakingConsole(Console):
    """A console that one thread uses at a time.

    Live works out what to erase when a line is rendered, and the line is written later: with another thread in
    between (rich 14, ``Console.print``), a copy of the table stays on the screen. A turn covers both.
    """

    def __init__(self, stream: TextIO, *, width: int | None = None) -> None:
        self._turn = RLock()
        super().__init__(file=stream, highlight=False, soft_wrap=True, width=width)

    def __enter__(self) -> Console:
        self._turn.acquire()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, frames)
        finally:
            self._turn.release()


class _LiveTable:
    """A table at the bottom of the terminal, drawn anew a few times a second.

    Its thread, unlike that of rich, takes the console's turn before Live's own lock, as every printed line does.
    """

    def __init__(self, console: Console, render: Callable[[], Table]) -> None:
        self._console, self._render = console, render
        self._ended = Event()
        self._live = Live(get_renderable=self._drawn, console=console, auto_refresh=False, transient=True)
        self._thread = Thread(target=self._refresh_until_ended, name="live-table", daemon=True)

    def start(self) -> None:
        self._live.start()
        self._thread.start()

    def stop(self) -> None:
        """Erase the table. Its last drawing is empty: rich cannot erase one that is higher than the screen."""
        self._ended.set()
        self._thread.join()
        with self._console:
            self._live.stop()

    def _drawn(self) -> RenderableType:
        return "" if self._ended.is_set() else self._render()

    def _refresh_until_ended(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            with self._console:
                self._live.refresh()


class SweepReport:
    """Shows one launch. Use it in a ``with`` block; the live table is there inside."""

    def __init__(self, jobs: Sequence[tuple[int, Sequence[str]]], *, stream: TextIO) -> None:
        """Prepare a report of the jobs, given as number and overrides."""
        self._console = _TurnTakingConsole(stream)
        if not self._console.is_terminal:
            self._console = _TurnTakingConsole(stream, width=_WIDTH_WITHOUT_TERMINAL)
        self._rows = {number: _Row(overrides=" ".join(shown_overrides(overrides))) for number, overrides in jobs}
        self._live: _LiveTable | None = None
        self._lock = Lock()

    def __enter__(self) -> SweepReport:
        if self._console.is_terminal:
            self._live = _LiveTable(self._console, self._live_table)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()  # the table of results takes its place
            self._live = None

    def line(self, text: str) -> None:
        """Show one line."""
        self._console.print(Text(text))

    def submitted(self, submission: Submission) -> None:
        """Show the link of a job that has become an execution."""
        with self._lock:
            row = self._rows[submission.number]
            row.link, row.execution = submission.link, submission.execution.name
            row.phase, row.started_at = row.phase or "QUEUED", time.monotonic()
        what = f"found {submission.found_phase}" if submission.found_phase else "submitted"
        self.line(f"job {submission.number} {_bracketed(row.overrides)}{what}: {submission.link}")

    def phase_changed(self, number: int, phase: str) -> None:
        """Note the phase of a job's execution, for the live table."""
        with self._lock:
            self._rows[number].phase = phase

    def ended(self, outcome: Outcome, output: object) -> None:
        """Show how a job ended, with the whole error if it failed."""
        with self._lock:
            row = self._rows[outcome.number]
            row.phase, row.duration, row.link = outcome.phase, outcome.duration, outcome.link or row.link
            if outcome.error is None:
                row.output, row.rounded_output = _shortened(output), _shortened(_rounded(output))
        took = f" after {_seconds(outcome.duration)}" if outcome.duration is not None else ""
        head = f"job {outcome.number} {_bracketed(row.overrides)}"
        if outcome.error is None:
            self.line(f"{head}{outcome.phase}{took}: {row.output}")
        elif outcome.phase == NOT_STARTED:
            self.line(f"{head}{outcome.phase}: {outcome.error.message}")
        else:
            self.line(f"{head}{outcome.phase}{took}\n{_after_head(outcome.error)}")

    def found(self, result: ResultRow) -> None:
        """Take up what the backend knows of a job that is not followed, without a line of its own."""
        output = one_output(result.outputs)
        with self._lock:
            row = self._rows[result.number]
            row.phase, row.duration = result.phase, result.duration
            row.link, row.execution = result.link, result.execution
            if result.outputs:
                row.output, row.rounded_output = _shortened(output), _shortened(_rounded(output))

    def brief(self, outcome: Outcome) -> str | None:
        """Return how a job failed in one line, if ``ended`` has shown the whole of it."""
        if outcome.error is None or outcome.phase == NOT_STARTED:
            return None
        overrides = _bracketed(self._rows[outcome.number].overrides)
        return f"job {outcome.number} {overrides}{outcome.phase}: {last_line(outcome.error.message)}"

    def results(self) -> None:
        """Show the table of results."""
        for row in self._rows.values():
            row.started_at = None  # what still runs has no duration yet
        self._console.print(self._table(list(self._rows.items())))

    def summary(self, endpoint: Endpoint, sweep_id: str) -> None:
        """Show the table of results, the links of the first executions, and where to look further."""
        self.results()
        linked = [(number, row) for number, row in self._rows.items() if row.link]
        for number, row in linked[:_MOST_LINKS]:
            self.line(f"job {number}  {row.link}")
        if linked and endpoint.is_embedded:
            self.line(f"sweep  {linked[0][1].link.partition('/executions/')[0]}/sweeps/{sweep_id}")
            self.line("hydraflyte executions show NAME shows one of them")
        self._console_address(endpoint)

    def _console_address(self, endpoint: Endpoint) -> None:
        """Show the console's address; its key is for the one who sits at a terminal, and not for logs."""
        address, _, key = endpoint.front_page.partition("?")
        if not key:
            self.line(f"console: {address}")
        elif self._console.is_terminal:
            self.line(f"console, to open before the links: {endpoint.front_page}")
        else:
            self.line(f"console: {address} (it and the links open after the address that `hydraflyte status` prints)")

    def plan(self, facts: Mapping[str, str | Sequence[str]], inputs: Mapping[int, Mapping[str, object]]) -> None:
        """Show what a launch would do: facts about it, and the inputs of each job by its number."""
        self.line("dry run: nothing is built, sent or started")
        for heading, fact in facts.items():
            if isinstance(fact, str):
                self.line(f"{heading}: {fact}")
            else:
                self.line(f"{heading}: {len(fact)}")
                for item in fact:
                    self.line(f"  {item}")
        for number, values in inputs.items():
            self.line(f"job {number} {_bracketed(self._rows[number].overrides)}inputs:")
            for name, value in values.items():
                self.line(f"  {name} = {value!r}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the live table away while inside: somebody else uses the terminal."""
        was_live = self._live is not None
        if self._live is not None:
            self._live.stop()
            self._live = None
        yield
        if was_live:
            self.__enter__()

    def interrupted(self, in_flight: Sequence[Submission], sweep_id: str, missing: int) -> None:
        """Show what goes on by itself after an interrupt, how to follow it, and how to run the rest.

        Args:
            missing: how many jobs have not been submitted.
        """
        if in_flight:
            self.line(f"Interrupted. {len(in_flight)} execution(s) go on without this program:")
            for submission in in_flight[:_MOST_LINKS]:
                self.line(f"  job {submission.number}: {submission.link}")
            self.left_running(sweep_id)
        else:
            self.line("Interrupted. No execution is under way.")
        if missing:
            self.line(f"{missing} job(s) were not submitted: repeat the command with hydra.launcher.resume={sweep_id}")

    def left_running(self, sweep_id: str) -> None:
        """Show how to come back to a sweep."""
        self.line(f"follow it: hydraflyte sweeps attach {sweep_id}; end it: hydraflyte sweeps cancel {sweep_id}")

    def recorded(self, sweep_id: str, path: Path) -> None:
        """Show the sweep's id, and where its results are."""
        self.line(f"sweep {sweep_id}: results in {path}")

    def _live_table(self) -> Table:
        """Return the table of the jobs under way, those that have ended giving way to those that have not."""
        with self._lock:
            rows = list(self._rows.items())
        if len(rows) > _MOST_LIVE_ROWS:
            rows = [(number, row) for number, row in rows if row.duration is None][:_MOST_LIVE_ROWS]
        return self._table(rows)

    def _table(self, rows: Sequence[tuple[int, _Row]]) -> Table:
        on_terminal = self._console.is_terminal
        style = box.SIMPLE_HEAD if on_terminal else box.ASCII2
        padding = (0, 1, 0, 0) if on_terminal else (0, 1)
        table = Table(box=style, show_edge=not on_terminal, pad_edge=False, padding=padding)
        unbroken = all(len(row.overrides) <= _LONGEST_UNBROKEN_OVERRIDES for _, row in rows)
        table.add_column("job", no_wrap=True)
        table.add_column("overrides", no_wrap=unbroken, overflow="fold")
        table.add_column("phase", no_wrap=True)
        table.add_column("duration", no_wrap=True)
        table.add_column("output", overflow="fold")
        table.add_column("execution", overflow="fold")
        for number, row in rows:
            phase = Text(row.phase or "-", style=_COLORS.get(row.phase, ""))
            after = [Text(cell) for cell in (_elapsed(row), row.rounded_output, row.execution)]
            table.add_row(str(number), Text(row.overrides), phase, *after)
        return table


def one_output(outputs: Mapping[str, object]) -> object:
    """Return what is shown of a job's outputs: the value of the only one, else all by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs) or None


def _elapsed(row: _Row) -> str:
    if row.duration is not None:
        return _seconds(row.duration)
    return "" if row.started_at is None else f"{time.monotonic() - row.started_at:.1f} s"


def _seconds(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration.total_seconds():.1f} s"


def _after_head(error: HydraFlyteError) -> str:
    """Return an error without the line that says which job ended how: that has just been said."""
    _, _, rest = error.message.partition("\n")
    text = rest if isinstance(error, ExecutionFailedError) and rest else error.message
    return f"{text}\nhint: {error.hint}"


def _bracketed(overrides: str) -> str:
    return f"[{overrides}] " if overrides else ""


def _shortened(output: object) -> str:
    text = " ".join(repr(output).split())
    return text if len(text) <= _LONGEST_OUTPUT else f"{text[: _LONGEST_OUTPUT - 1]}…"


def _rounded(output: object) -> object:
    """Return the output with numbers that can be read at a glance; containers are copied only where they are plain."""
    if type(output) is float:
        rounded = f"{output:.6g}"
        return output if float(rounded) == output else _Shown(rounded)
    if type(output) is dict:
        return {key: _rounded(value) for key, value in output.items()}
    if type(output) is list:
        return [_rounded(value) for value in output]
    if isinstance(output, tuple):
        values = tuple(_rounded(value) for value in output)
        make = getattr(output, "_make", tuple)  # a named tuple's
        return make(values)
    return output


class _Shown(str):
    """A text that stands in a container's ``repr`` as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
