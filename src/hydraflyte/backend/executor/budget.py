"""Who may run now: a queue in order of arrival, in front of what the machine has.

Pure: it holds ids and amounts and decides, it starts nothing. Rule: what fits may overtake what does not, but never
takes what that one is waiting for, so a large demand is met as soon as it would have been without overtaking.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from hydraflyte.backend.executor.demands import LEAST_CPU_MILLIS, Demand

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")


class BudgetQueue(Generic[Key, Entry]):
    """First come, first served, as far as the capacity reaches.

    Args:
        capacity: the most that may be taken at once.

    Example:
        >>> queue: BudgetQueue[str, str] = BudgetQueue(capacity=Demand(cpu_millis=1000))
        >>> queue.push("a", "first", Demand(cpu_millis=1000))
        >>> queue.push("b", "second", Demand(cpu_millis=500))
        >>> queue.take()
        [('a', 'first')]
        >>> queue.take()
        []
        >>> queue.release("a")
        >>> queue.take()
        [('b', 'second')]
    """

    def __init__(self, *, capacity: Demand) -> None:
        if capacity.cpu_millis < LEAST_CPU_MILLIS:
            raise ValueError(f"at least {LEAST_CPU_MILLIS} thousandths of a CPU are needed, not {capacity.cpu_millis}")
        self._capacity = capacity
        self._free = capacity
        self._waiting: OrderedDict[Key, tuple[Entry, Demand]] = OrderedDict()
        self._at_once: OrderedDict[Key, Entry] = OrderedDict()  # they take nothing, so they never wait
        self._running: dict[Key, Demand] = {}

    @property
    def capacity(self) -> Demand:
        """The most that may be taken at once."""
        return self._capacity

    @property
    def free(self) -> Demand:
        """What nothing that runs has."""
        return self._free

    @property
    def running(self) -> Mapping[Key, Demand]:
        """What each running entry has, in the order in which they started."""
        return self._running

    def demand_of_waiting(self, key: Key) -> Demand | None:
        """Return what a waiting entry wants, or None if none of this key waits."""
        return self._waiting[key][1] if key in self._waiting else None

    def count_before(self, key: Key) -> int:
        """Return how many entries wait that came before this one."""
        return next(place for place, waiting in enumerate(self._waiting) if waiting == key)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._running or key in self._at_once

    def push(self, key: Key, entry: Entry, demand: Demand) -> None:
        """Put an entry at the end of the queue. A key that waits or runs already is left as it is."""
        if key in self:
            return
        if demand == Demand():
            self._at_once[key] = entry
        else:
            self._waiting[key] = (entry, demand)

    def take(self) -> list[tuple[Key, Entry]]:
        """Move every entry that may run now from waiting to running, and return those, in order."""
        taken = list(self._at_once.items())
        self._running.update((key, Demand()) for key in self._at_once)
        self._at_once.clear()
        room = self._free  # what is left when those before have got, or have been kept, what they want
        started: list[Key] = []
        for key, (entry, demand) in self._waiting.items():
            if room.cpu_millis < LEAST_CPU_MILLIS and room.gpus == 0:
                break  # nothing that waits is content with less
            if demand.fits(room):
                started.append(key)
                taken.append((key, entry))
                self._free -= demand
            room -= demand.capped(room)
        for key in started:
            self._running[key] = self._waiting.pop(key)[1]
        return taken

    def drop(self, key: Key) -> bool:
        """Take a waiting entry out of the queue; return whether it was waiting."""
        return self._waiting.pop(key, None) is not None or self._at_once.pop(key, None) is not None

    def release(self, key: Key) -> None:
        """Give back what a running entry took. Unknown keys are ignored."""
        demand = self._running.pop(key, None)
        if demand is not None:
            self._free += demand


class DevicePool(Generic[Key]):
    """Hands out devices, each to one key at a time, the first free ones first.

    Example:
        >>> pool: DevicePool[str] = DevicePool(["0", "1"])
        >>> pool.take("a", 1), pool.take("b", 1)
        (('0',), ('1',))
        >>> pool.release("a")
        >>> pool.take("c", 1)
        ('0',)
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        self._taken: dict[Key, tuple[str, ...]] = {}

    def take(self, key: Key, count: int) -> tuple[str, ...]:
        """Return ``count`` devices that nobody else has; the budget has seen to it that there are so many."""
        in_use = {device for devices in self._taken.values() for device in devices}
        chosen = tuple(device for device in self._devices if device not in in_use)[:count]
        assert len(chosen) == count, f"{count} devices were promised, {len(chosen)} are free"
        if chosen:
            self._taken[key] = chosen
        return chosen

    def release(self, key: Key) -> None:
        """Give back what a key has. Unknown keys are ignored."""
        self._taken.pop(key, None)
