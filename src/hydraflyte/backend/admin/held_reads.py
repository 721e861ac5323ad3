"""Holding GetExecution: a client that asks again for a running execution gets its answer when there is news.

flytekit's own wait asks, and if the execution still runs, sleeps 30 s. Its first question has no deadline, the
ones of its wait have 60 s (flytekit 1.16 remote.py, sync_execution). So only calls with a deadline are held,
from the second question of a peer on, and never so long that the client would give up.
"""

from __future__ import annotations

from collections import OrderedDict

from hydraflyte.backend.ports import ExecutionControl
from hydraflyte.identifiers import ExecutionId

_MAX_HOLD_S = 55.0
_RESERVE_S = 5.0
_MAX_HELD = 256
_MAX_REMEMBERED = 4096


class HeldReads:
    """Decides which reads wait, and lets them wait.

    Args:
        control: tells when an execution ends.
        max_held: most calls that wait at a time; further ones are answered at once.
    """

    def __init__(self, control: ExecutionControl, *, max_held: int = _MAX_HELD) -> None:
        self._control = control
        self._max_held = max_held
        self._held = 0
        self._asked: OrderedDict[tuple[str, ExecutionId], None] = OrderedDict()

    @property
    def held(self) -> int:
        """How many calls are waiting now."""
        return self._held

    async def wait(self, execution: ExecutionId, *, peer: str, time_remaining_s: float | None) -> None:
        """Return when the execution has ended, when the client's patience nears its end, or at once.

        Cancelling the call ends the wait.
        """
        hold_s = self._hold_s(execution, peer, time_remaining_s)
        if hold_s <= 0:
            return
        self._held += 1
        try:
            await self._control.wait_until_ended(execution, timeout_s=hold_s)
        finally:
            self._held -= 1

    def _hold_s(self, execution: ExecutionId, peer: str, time_remaining_s: float | None) -> float:
        asked_before = self._remember(peer, execution)
        if not asked_before or time_remaining_s is None or self._held >= self._max_held:
            return 0.0
        return min(time_remaining_s - _RESERVE_S, _MAX_HOLD_S)

    def _remember(self, peer: str, execution: ExecutionId) -> bool:
        """Tell whether this peer asked before, and note that it did; the oldest notes are dropped."""
        key = (peer, execution)
        asked_before = key in self._asked
        self._asked[key] = None
        self._asked.move_to_end(key)
        if len(self._asked) > _MAX_REMEMBERED:
            self._asked.popitem(last=False)
        return asked_before
