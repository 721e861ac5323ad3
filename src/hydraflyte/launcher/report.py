"""What the user sees of a launch: a line per event, a live table on a terminal, and the table of results at the end.

Only shows what it is told; decides nothing. Links stand on lines of their own so that no terminal breaks them.
Whatever is printed, from whichever thread, takes its turn at one console.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, RLock, Thread
from types import TracebackType
from typing import TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.wait import NOT_STARTED, Outcome

_WIDTH_WITHOUT_TERMINAL = 200
_LONGEST_OUTPUT = 60
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
        self._rows = {number: _Row(overrides=" ".join(overrides)) for number, overrides in jobs}
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
            row.link, row.phase, row.started_at = submission.link, row.phase or "QUEUED", time.monotonic()
        self.line(f"job {submission.number} {_bracketed(row.overrides)}submitted: {submission.link}")

    def phase_changed(self, number: int, phase: str) -> None:
        """Note the phase of a job's execution, for the live table."""
        with self._lock:
            self._rows[number].phase = phase

    def ended(self, outcome: Outcome, output: object) -> None:
        """Show how a job ended, with the whole error if it failed."""
        with self._lock:
            row = self._rows[outcome.number]
            row.phase, row.duration, row.link = outcome.phase, outcome.duration, outcome.link or row.link
            row.output = _shortened(output) if outcome.error is None else ""
        took = f" after {_seconds(outcome.duration)}" if outcome.duration is not None else ""
        head = f"job {outcome.number} {_bracketed(row.overrides)}"
        if outcome.error is None:
            self.line(f"{head}{outcome.phase}{took}: {row.output}")
        elif outcome.phase == NOT_STARTED:
            self.line(f"{head}{outcome.phase}: {outcome.error.message}")
        else:
            self.line(f"{head}{outcome.phase}{took}\n{outcome.error}")

    def summary(self, front_page: str) -> None:
        """Show the table of results and the console's address."""
        for row in self._rows.values():
            row.started_at = None  # what still runs has no duration yet
        self._console.print(self._table(list(self._rows.items())))
        self.line(f"console: {front_page}")

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

    def interrupted(self, in_flight: Sequence[Submission]) -> None:
        """Show what goes on by itself after an interrupt, and how to see or end it."""
        if not in_flight:
            self.line("Interrupted. No execution is under way.")
            return
        self.line(f"Interrupted. {len(in_flight)} execution(s) go on without this program:")
        for submission in in_flight:
            self.line(f"  job {submission.number}: {submission.link}")
        self.line("see them: hydraflyte executions list; end one: hydraflyte executions cancel NAME")

    def _live_table(self) -> Table:
        """Return the table of the jobs under way, those that have ended giving way to those that have not."""
        with self._lock:
            rows = list(self._rows.items())
        if len(rows) > _MOST_LIVE_ROWS:
            rows = [(number, row) for number, row in rows if row.duration is None][:_MOST_LIVE_ROWS]
        return self._table(rows, with_link=False)

    def _table(self, rows: Sequence[tuple[int, _Row]], *, with_link: bool = True) -> Table:
        table = Table(box=box.SIMPLE_HEAD if self._console.is_terminal else box.ASCII2, pad_edge=False)
        for heading in ("job", "overrides", "phase", "duration", "output"):
            table.add_column(heading, no_wrap=heading in ("job", "phase", "duration"), overflow="fold")
        if with_link:
            table.add_column("link", overflow="fold")
        for number, row in rows:
            phase = Text(row.phase or "-", style=_COLORS.get(row.phase, ""))
            cells = [Text(str(number)), Text(row.overrides), phase, Text(_elapsed(row)), Text(row.output)]
            table.add_row(*cells, *([Text(row.link)] if with_link else []))
        return table


def _elapsed(row: _Row) -> str:
    if row.duration is not None:
        return _seconds(row.duration)
    return "" if row.started_at is None else f"{time.monotonic() - row.started_at:.1f} s"


def _seconds(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration.total_seconds():.1f} s"


def _bracketed(overrides: str) -> str:
    return f"[{overrides}] " if overrides else ""


def _shortened(output: object) -> str:
    text = " ".join(repr(output).split())
    return text if len(text) <= _LONGEST_OUTPUT else f"{text[: _LONGEST_OUTPUT - 1]}…"
