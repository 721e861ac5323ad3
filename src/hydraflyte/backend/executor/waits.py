"""Why an attempt waits, in words: what it asks for, what is free, and who holds the rest.

Pure: it reads the queue and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from hydraflyte.backend.executor.budget import BudgetQueue
from hydraflyte.backend.executor.demands import Demand
from hydraflyte.backend.quantities import bytes_text

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")

_MOST_NAMED = 3
_AMOUNTS: Mapping[str, tuple[str, Callable[[int], str]]] = {
    "cpu_millis": (" of CPU", lambda amount: f"{amount / 1000:g}"),
    "memory_bytes": (" of memory", bytes_text),
    "gpus": (" GPU(s)", str),
}  # field of Demand -> what it is called, and how much of it in words


def why_waiting(queue: BudgetQueue[Key, Entry], key: Key) -> str | None:
    """Return why the entry of this key has not started, or None if it does not wait."""
    demand = queue.demand_of_waiting(key)
    if demand is None:
        return None
    before = queue.count_before(key)
    lacking = [name for name in _AMOUNTS if getattr(demand, name) > getattr(queue.free, name)]
    if not lacking:
        return f"waits for resources: what it asks for is free, but kept for {before} attempt(s) that came before it"
    asked = " and ".join(_asked_text(name, demand, queue) for name in lacking)
    first_come = f"; {before} attempt(s) came before it" if before else ""
    return f"waits for resources: it asks for {asked}; held by {_holders_text(lacking, queue.running)}{first_come}"


def _asked_text(name: str, demand: Demand, queue: BudgetQueue[Key, Entry]) -> str:
    unit, text = _AMOUNTS[name]
    asked, free, capacity = (text(getattr(each, name)) for each in (demand, queue.free, queue.capacity))
    return f"{asked}{unit}, of {capacity} with {free} free"


def _holders_text(lacking: list[str], running: Mapping[Key, Demand]) -> str:
    holders = [
        f"{key} ({_amounts_text(lacking, demand)})"
        for key, demand in running.items()
        if any(getattr(demand, name) for name in lacking)
    ]
    more = len(holders) - _MOST_NAMED
    return ", ".join(holders[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _amounts_text(names: list[str], demand: Demand) -> str:
    found = ((getattr(demand, name), *_AMOUNTS[name]) for name in names)
    return " and ".join(f"{text(amount)}{unit}" for amount, unit, text in found if amount)
