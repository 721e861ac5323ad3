"""When to try again, how often, and how long to wait.

One rule: only what may go better next time is tried again: lost connections, 429 and the server's own troubles. Pure
but for the pause, which is an argument.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hydraflyte.errors import ImageError

PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
_AGAIN = "Start it again: what was sent need not be sent again."
_LOOK_S = 1.0
_T = TypeVar("_T")


class Interrupted(Exception):
    """A request that may go better next time.

    Args:
        error: what to raise when there is no next time.
        wait_s: how long the registry asked to wait, or ``None``.
    """

    def __init__(self, error: ImageError, *, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a registry is waited for.

    Attributes:
        attempts: how often a request is sent at most.
        first_pause_s: pause before the second attempt; each further one is twice as long.
        longest_pause_s: no pause is longer, even where the registry asks for more.
        connect_s: time for making a connection.
        silence_s: how long a registry may say nothing in the middle of a request.
        pause: waits.
        is_cancelled: asked before each attempt, in pauses and while bodies travel; once it says yes, nothing more is
            sent.
        deadline: of ``time.monotonic()``; nothing more is sent after it.
    """

    attempts: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    connect_s: float = 10.0
    silence_s: float = 120.0
    pause: Callable[[float], None] = time.sleep
    is_cancelled: Callable[[], bool] = bool  # bool() is False: nobody gives up
    deadline: float = math.inf

    def attempt(self, action: Callable[[], _T]) -> _T:
        """Return what ``action`` returns, after as many attempts as it takes.

        Raises:
            ImageError: it was interrupted too often, or raised one itself.
        """
        for number in range(1, self.attempts):
            self.check()
            try:
                return action()
            except Interrupted as interrupted:
                wished_s = interrupted.wait_s or self.first_pause_s * 2 ** (number - 1)
                self.wait(min(wished_s, self.longest_pause_s))
        self.check()
        try:
            return action()
        except Interrupted as interrupted:
            raise interrupted.error from interrupted

    def wait(self, seconds: float) -> None:
        """Return after a pause.

        Raises:
            ImageError: somebody has given up in the meantime.
        """
        while seconds > 0:
            self.check()
            self.pause(min(seconds, _LOOK_S))
            seconds -= _LOOK_S

    def check(self) -> None:
        """Return if nobody has given up.

        Raises:
            ImageError: somebody has, or the time is up.
        """
        if self.is_cancelled():
            raise ImageError("The launch was stopped.", hint=_AGAIN)
        if time.monotonic() > self.deadline:
            raise ImageError(
                "The image was given up: its time was up, and the registry had not all of it yet.",
                hint=f"Give it longer with build_timeout_s. {_AGAIN}",
            )
