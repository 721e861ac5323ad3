"""Many seeds on all processors.

The one rule: a seed that fails stops nothing; each is told with the command that replays it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.world import World, run_seed

CHUNK = 50


@dataclass(slots=True)
class Tally:
    """What came of many seeds.

    Attributes:
        ends: how often an execution ended in which phase; recoveries count apart, after the word ``recovered``.
        events: how many events were delivered.
        failures: for each seed that failed, what went wrong and how to replay it.
    """

    seeds: int = 0
    events: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count ``other`` in."""
        self.seeds += other.seeds
        self.events += other.events
        self.ends.update(other.ends)
        self.failures.extend(other.failures)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        return f"{self.seeds} seeds, {self.events} events, {len(self.failures)} failed: {ends}"


def run_seeds(first: int, count: int) -> Tally:
    """Run ``count`` seeds from ``first`` on, in as many processes as there are processors."""
    tally = Tally()
    processes = min(os.cpu_count() or 1, -(-count // CHUNK))
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads of whoever asks
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for part in pool.map(_run_chunk, _chunks(first, count)):
            tally.add(part)
    return tally


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


def _run_chunk(seeds: range) -> Tally:
    tally = Tally(seeds=len(seeds))
    for seed in seeds:
        worlds: list[World] = []
        try:
            run_seed(seed, worlds.append)
        except Exception as error:  # whatever it is, it is this seed's
            command = f"python -m tests.simulation --seed {seed}"
            tally.failures.append(f"replay with: {command}\n{type(error).__name__}: {error}")
        tally.events += sum(world.steps for world in worlds)
        for prefix, world in zip(("", "recovered "), worlds, strict=False):
            tally.ends[prefix + world.state.phase.name] += 1
    return tally
