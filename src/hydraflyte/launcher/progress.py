"""How far a long piece of work has come: a plain line now and then, so that nobody takes it for a program that hangs.

Says nothing of work that is done soon. Only counts and words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from hydraflyte.clock import Clock

_T = TypeVar("_T")
_EVERY = timedelta(seconds=10)


def counted(items: Sequence[_T], what: str, tell: Callable[[str], None], clock: Clock) -> Iterator[_T]:
    """Yield the items; every ten seconds, tell how many have been worked on.

    Args:
        what: the work and its things with a hole for the numbers, such as ``composed {} configs``.

    Example:
        >>> from hydraflyte.clock import ManualClock
        >>> clock = ManualClock()
        >>> for _ in counted(range(3000), "composed {} configs", print, clock):
        ...     clock.advance(timedelta(milliseconds=8))
        composed 1,250 of 3,000 configs
        composed 2,500 of 3,000 configs
    """
    next_at = clock.now() + _EVERY
    for done, item in enumerate(items):
        now = clock.now()
        if now >= next_at:
            next_at = now + _EVERY
            tell(what.format(f"{done:,} of {len(items):,}"))
        yield item
