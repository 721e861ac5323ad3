"""Ctrl-C while jobs are under way: on a terminal a question, elsewhere a farewell; jobs are never lost by it.

The signal only leaves a note among the results, so that nothing is torn in the middle. A second one, before the
first is answered, leaves at once.
"""

from __future__ import annotations

import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType, TracebackType
from typing import Any, TextIO

INTERRUPTED_STATUS = 130
"""128 + SIGINT, as shells have it."""
QUESTION = "Leave the jobs running [d], cancel them [c], or go on waiting [g]? "
_LOOKS_EVERY_S = 0.5


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise ``KeyboardInterrupt`` while inside, as Python has it: flytekit makes it a silent ``exit(1)``.

    In other threads than the main one, and where interrupts are ignored (nohup), it does nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Choice(Enum):
    """What to do with the jobs under way."""

    DETACH = "d"  # leave them to the backend, and end
    CANCEL = "c"  # ask the backend to end them, and wait until they have
    GO_ON = "g"  # as if nothing had been pressed


_ANSWERS = {
    Choice.DETACH: ("d", "detach", "l", "leave"),
    Choice.CANCEL: ("c", "cancel"),
    Choice.GO_ON: ("g", "go", "go on", "w", "wait"),
}


class Interrupts:
    """Turns Ctrl-C into a call while in a ``with`` block. In other threads than the main one, it does nothing."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._is_pending = False
        self._before: Any = None  # Any: whatever handler there was

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def answer(
        self, is_over: Callable[[], bool], questions: TextIO = sys.stdin, shown_on: TextIO = sys.stdout
    ) -> Choice:
        """Return what the user wants; without a terminal: to detach. Another Ctrl-C detaches, too.

        Args:
            is_over: whether all jobs have ended; then there is nothing left to ask.
        """
        try:
            if not (questions.isatty() and shown_on.isatty()):
                return Choice.DETACH
            while True:
                print(QUESTION, end="", file=shown_on, flush=True)
                while not select.select([questions], [], [], _LOOKS_EVERY_S)[0]:
                    if is_over():
                        print("\nall jobs have ended", file=shown_on, flush=True)
                        return Choice.GO_ON
                said = questions.readline()
                if not said:
                    return Choice.DETACH
                words = said.strip().lower()
                for choice, answers in _ANSWERS.items():
                    if words in answers:
                        return choice
                print(f"{words!r} is none of these: type d, c or g, and Enter", file=shown_on)
        except KeyboardInterrupt:
            return Choice.DETACH
        finally:
            self._is_pending = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_pending:
            raise KeyboardInterrupt
        self._is_pending = True
        self._notify()
