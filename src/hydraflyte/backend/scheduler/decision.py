"""Which fire times of a schedule are begun now, which are left out, and when to look again. Pure.

The one rule: a fire time that is begun lies after the anchor, and the anchor then moves up to it; so whatever the
clock does, none is begun twice, and never many at once. It must not know launch plans, the store or the loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from hydraflyte.catch_up import CatchUp
from hydraflyte.fire_times import FireRule

ON_TIME = timedelta(seconds=30)
"""How late a fire time may be and still counts as met; what is later was missed."""

MOST_AT_ONCE = 10
"""Most executions that one look begins, and most open executions of a launch plan while it makes up for missed ones."""

SET_BACK = timedelta(minutes=1)
"""An anchor further ahead than this means that the clock was set back, not that it was adjusted a little."""

_SOON = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about one schedule.

    Attributes:
        begin: fire times to begin an execution for, oldest first.
        anchor: where the next look starts if nothing is begun: past missed fire times that are left out.
        look_again_at: when something may be due; None if the schedule never fires again.
    """

    begin: tuple[datetime, ...]
    anchor: datetime
    look_again_at: datetime | None


def decide(rule: FireRule, *, anchor: datetime, now: datetime, catch_up: CatchUp, open_executions: int) -> Decision:
    """Return what is due at ``now``.

    Args:
        rule: when the schedule fires.
        anchor: the activation, or the last fire time that was begun or left out.
        now: the current instant; it may lie before the anchor, when the clock was set back.
        catch_up: what to do about fire times that are later than ``ON_TIME``.
        open_executions: how many executions of the launch plan have not ended.
    """
    if anchor - now > SET_BACK:
        anchor = now  # fire times that come again are known by the names of their executions
    missed = rule.last_between(anchor, now - ON_TIME)
    on_time = tuple(islice(_between(rule, missed or anchor, now), MOST_AT_ONCE))
    begin = on_time
    if missed is not None and catch_up is CatchUp.ALL:
        room = max(0, MOST_AT_ONCE - open_executions)
        begin = tuple(islice(_between(rule, anchor, now), room))
    elif missed is not None:
        is_made_up_for = catch_up is CatchUp.LAST and not on_time
        begin, anchor = ((missed,), anchor) if is_made_up_for else (on_time, missed)
    after = rule.next_after(begin[-1] if begin else anchor)
    return Decision(begin=begin, anchor=anchor, look_again_at=None if after is None else max(after, now + _SOON))


def _between(rule: FireRule, after: datetime, until: datetime) -> Iterator[datetime]:
    at = rule.next_after(after)
    while at is not None and at <= until:
        yield at
        at = rule.next_after(at)
