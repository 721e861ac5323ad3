"""Which job of a sweep is which job of the launch that goes on with it.

Pure. One rule: a number of a sweep stands for the same overrides for ever, so that whoever reads the sweep later finds
each result under what it is the result of.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Set
from itertools import count

Overrides = tuple[str, ...]


def numbers_in_sweep(
    known: Mapping[int, Overrides], wanted: Mapping[int, Overrides], reserved: Set[int]
) -> dict[int, int]:
    """Return the number in the sweep of each job of a launch, by its number in the launch.

    A job keeps its own number where it can. A job that the sweep does not have gets one that no other has had.

    Args:
        known: the overrides of the sweep's jobs that this launch has not claimed yet, by number.
        wanted: the overrides of the launch's jobs, by number.
        reserved: numbers that no new job may have.

    Example:
        >>> n = [("+n=0",), ("+n=1",), ("+n=2",), ("+n=3",)]
        >>> numbers_in_sweep({0: n[1], 1: n[2]}, {0: n[2], 1: n[3], 2: n[1]}, {0, 1})
        {0: 1, 2: 0, 1: 3}
    """
    numbers = {number: number for number, overrides in wanted.items() if known.get(number) == overrides}
    others: dict[Overrides, deque[int]] = defaultdict(deque)
    for number in sorted(known.keys() - numbers.keys()):
        others[known[number]].append(number)
    for number, overrides in wanted.items():
        if number not in numbers and others[overrides]:
            numbers[number] = others[overrides].popleft()
    new = [number for number in wanted if number not in numbers]
    used = reserved | set(numbers.values())
    numbers |= {number: number for number in new if number not in used}
    unheard_of = count(max(used | wanted.keys(), default=-1) + 1)
    return numbers | {number: next(unheard_of) for number in new if number not in numbers}
