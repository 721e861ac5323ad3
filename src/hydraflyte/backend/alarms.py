"""Wakes executions at instants of the clock, with timers that know nothing of it.

The one rule: nobody is woken before the clock has come to the instant, and everybody soon after. The clock is set back
and forth, and slowed down; timers stand still while the machine sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from hydraflyte.clock import Clock
from hydraflyte.identifiers import ExecutionId

_LOOK_AT_CLOCK_AFTER_S = 60.0


class Alarms:
    """All methods are for one asyncio thread.

    Args:
        is_open: tells whether an execution still wants to be woken.
        wake: called once for each alarm, when its time has come.
    """

    def __init__(
        self, *, clock: Clock, is_open: Callable[[ExecutionId], bool], wake: Callable[[ExecutionId], None]
    ) -> None:
        self._clock = clock
        self._is_open = is_open
        self._wake = wake
        self._timers: set[asyncio.TimerHandle] = set()

    def set(self, execution: ExecutionId, at: datetime) -> None:
        """Wake the execution at this instant, or at once if it has passed."""
        delay_s = min(max(0.0, (at - self._clock.now()).total_seconds()), _LOOK_AT_CLOCK_AFTER_S)

        def ring() -> None:
            self._timers.discard(timer)
            if not self._is_open(execution):
                return
            if self._clock.now() < at:
                self.set(execution, at)
            else:
                self._wake(execution)

        timer = asyncio.get_running_loop().call_later(delay_s, ring)
        self._timers.add(timer)

    def close(self) -> None:
        """Wake nobody any more."""
        for timer in self._timers:
            timer.cancel()
