"""Who may run now: a queue in order of arrival, in front of a fixed number of slots.

Pure: it holds ids and decides, it starts nothing. Entries that wait for others while they run (eager tasks) take no
slot, or the slots could fill up with waiters and nothing would ever move again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")


class SlotQueue(Generic[Key, Entry]):
    """First come, first served.

    Args:
        slots: most entries that run at once, at least 1.

    Example:
        >>> queue: SlotQueue[str, str] = SlotQueue(slots=1)
        >>> queue.push("a", "first")
        >>> queue.push("b", "second")
        >>> queue.take()
        [('a', 'first')]
        >>> queue.take()
        []
        >>> queue.release("a")
        >>> queue.take()
        [('b', 'second')]
    """

    def __init__(self, *, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"at least one slot is needed, not {slots}")
        self._slots = slots
        self._waiting: OrderedDict[Key, tuple[Entry, bool]] = OrderedDict()
        self._running: dict[Key, bool] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._running

    def push(self, key: Key, entry: Entry, *, needs_slot: bool = True) -> None:
        """Put an entry at the end of the queue. A key that waits or runs already is left as it is."""
        if key not in self:
            self._waiting[key] = (entry, needs_slot)

    def take(self) -> list[tuple[Key, Entry]]:
        """Move every entry that may run now from waiting to running, and return those, in order."""
        free = self._slots - sum(self._running.values())
        taken: list[tuple[Key, Entry]] = []
        for key, (entry, needs_slot) in list(self._waiting.items()):
            if needs_slot and free <= 0:
                continue
            free -= needs_slot
            del self._waiting[key]
            self._running[key] = needs_slot
            taken.append((key, entry))
        return taken

    def drop(self, key: Key) -> bool:
        """Take a waiting entry out of the queue; return whether it was waiting."""
        return self._waiting.pop(key, None) is not None

    def release(self, key: Key) -> None:
        """Give back the slot of a running entry. Unknown keys are ignored."""
        self._running.pop(key, None)
