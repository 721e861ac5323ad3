"""When a schedule fires: cron expressions with time zones, and fixed rates. Pure; no clock, nothing is started.

The one rule: a schedule means here what it means to Flyte's scheduler (robfig/cron v3, ``cron.ParseStandard``): a
cron expression fires at every instant whose wall clock in its zone matches, so a time that daylight saving skips does
not fire that day, and one that it repeats fires twice. It must not know launch plans, the backend or the launcher.
"""

from __future__ import annotations

import calendar
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, available_timezones

from flyteidl.admin.schedule_pb2 import FixedRateUnit, Schedule

from hydraflyte.errors import ScheduleError

_MINUTE = timedelta(minutes=1)
_YEARS_AHEAD = 5  # robfig/cron takes an expression without a match that long for one that never fires
_FOREVER = datetime.max.replace(tzinfo=timezone.utc)

_ALIASES = {  # of robfig/cron
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FLYTEKIT_ALIASES = {  # flytekit lets them pass (core/schedule.py), flyteadmin does not know them
    **dict.fromkeys(("hourly", "hours"), "@hourly"),
    **dict.fromkeys(("daily", "days"), "@daily"),
    **dict.fromkeys(("weekly", "weeks"), "@weekly"),
    **dict.fromkeys(("monthly", "months"), "@monthly"),
    **dict.fromkeys(("annually", "yearly", "years"), "@yearly"),
}
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S*)\s+(.*)", re.DOTALL)
_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h))+)")
_EVERY_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS: Mapping[int, timedelta] = {
    FixedRateUnit.MINUTE: timedelta(minutes=1),
    FixedRateUnit.HOUR: timedelta(hours=1),
    FixedRateUnit.DAY: timedelta(days=1),
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


class FireRule(Protocol):
    """The instants at which a schedule fires."""

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first fire time after ``instant``, or None if there is none.

        A fixed rate counts from ``instant``: give it the time of activation, or the last fire time.
        """
        ...

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last fire time after ``after`` and not later than ``until``, or None."""
        ...


def next_fire_times(
    schedule: Schedule, *, after: datetime, count: int, since: datetime | None = None
) -> tuple[datetime, ...]:
    """Return the next ``count`` instants, aware and in UTC, at which the schedule fires; fewer if it ends before.

    Args:
        since: the activation, or an earlier fire time, from which a fixed rate counts; None if that is ``after``.

    Raises:
        ScheduleError: the schedule is empty, or its expression cannot be read.

    >>> from flyteidl.admin.schedule_pb2 import CronSchedule, Schedule
    >>> nightly = Schedule(cron_schedule=CronSchedule(schedule="CRON_TZ=Europe/Berlin 30 1 * * *"))
    >>> [str(at) for at in next_fire_times(nightly, after=datetime(2026, 7, 1, tzinfo=timezone.utc), count=2)]
    ['2026-07-01 23:30:00+00:00', '2026-07-02 23:30:00+00:00']
    """
    rule = read_schedule(schedule)
    found: list[datetime] = []
    start = after if since is None else rule.last_between(since, after) or since
    at = rule.next_after(start)
    while at is not None and len(found) < count:
        found.append(at)
        at = rule.next_after(at)
    return tuple(found)


def read_schedule(schedule: Schedule) -> FireRule:
    """Return the rule of a schedule. The ``offset`` of a cron schedule has no effect, as on a Flyte cluster.

    Raises:
        ScheduleError: the schedule is empty, or its expression cannot be read.
    """
    match schedule.WhichOneof("ScheduleExpression"):
        case "cron_schedule":
            return _read_expression(schedule.cron_schedule.schedule)
        case "rate":
            return _read_rate(schedule.rate.value, schedule.rate.unit)
        case "cron_expression":
            raise ScheduleError(
                f"The schedule {schedule.cron_expression!r} is given as an AWS expression, which no scheduler reads.",
                hint="give five fields as `cron_schedule`: minute, hour, day of month, month, day of week.",
            )
        case _:
            raise ScheduleError(
                "The launch plan's schedule is empty.", hint="give a cron schedule or a fixed rate, or no schedule."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cron:
    """Sets of matching fields. ``either_day``: both kinds of day are restricted, and one match is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    zone: tzinfo

    def next_after(self, instant: datetime) -> datetime | None:
        """See ``FireRule.next_after``."""
        at = _whole_minute(instant)
        last_year = at.astimezone(self.zone).year + _YEARS_AHEAD
        try:
            return self._first_from(at + _MINUTE, last_year)
        except OverflowError:  # the year 9999 is the end of Python's calendar
            return None

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """See ``FireRule.last_between``. Halves the span, so that a year of missed minutes costs twenty steps."""
        low, high = 0, int((_whole_minute(until) - _whole_minute(after)) / _MINUTE)
        found = None
        start = _whole_minute(after)
        while low <= high:
            middle = (low + high) // 2
            at = self.next_after(start + middle * _MINUTE)
            if at is not None and at <= until:
                found, low = at, int((at - start) / _MINUTE)
            else:
                high = middle - 1
        return found

    def _first_from(self, at: datetime, last_year: int) -> datetime | None:
        while True:
            local = at.astimezone(self.zone)
            if local.year > last_year:
                return None
            if local.month not in self.months:
                at = self._midnight(_first_of_next_month(local.date()), at)
            elif not self._is_day(local.date()):
                at = self._midnight(local.date() + timedelta(days=1), at)
            elif local.hour not in self.hours:
                at += (60 - local.minute) * _MINUTE
            elif local.minute not in self.minutes:
                later = (minute for minute in self.minutes if minute > local.minute)
                at += (min(later, default=60) - local.minute) * _MINUTE
            else:
                return at

    def _is_day(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week

    def _midnight(self, day: date, after: datetime) -> datetime:
        """Return the first instant of the local day: later than 00:00 where daylight saving begins at midnight."""
        wall = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return max(_whole_minute(wall), after + _MINUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """Fires every ``every``, in whole seconds."""

    every: timedelta

    def next_after(self, instant: datetime) -> datetime | None:
        """See ``FireRule.next_after``."""
        return self._after(instant, 1)

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """See ``FireRule.last_between``."""
        times = (until - after.replace(microsecond=0)) // self.every
        return self._after(after, times) if times > 0 else None

    def _after(self, instant: datetime, times: int) -> datetime | None:
        start = instant.astimezone(timezone.utc).replace(microsecond=0)
        return start + times * self.every if self.every <= (_FOREVER - start) / times else None


def _whole_minute(instant: datetime) -> datetime:
    return instant.astimezone(timezone.utc).replace(second=0, microsecond=0)


def _first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def _read_rate(value: int, unit: int) -> FireRule:
    if value == 0 or unit not in _UNITS:
        raise ScheduleError(
            f"The fixed rate of {value} units of kind {unit} is none.",
            hint="a fixed rate needs a value above 0 and a unit of MINUTE, HOUR or DAY.",
        )
    return _Rate(every=_multiple(_UNITS[unit], value))


def _multiple(unit: timedelta, value: float) -> timedelta:
    try:
        return unit * value
    except OverflowError:
        return timedelta.max


def _read_expression(text: str) -> FireRule:
    stripped = text.strip()
    zone_text, expression = "", stripped
    prefixed = _ZONE_PREFIX.fullmatch(stripped)
    if prefixed is not None:
        zone_text, expression = prefixed.group(1), prefixed.group(2).strip()
    expression = _FLYTEKIT_ALIASES.get(expression.lower(), expression)
    every = _EVERY.fullmatch(expression)
    if every is not None:
        return _Rate(every=_go_duration(every.group(1)))
    fields = _ALIASES.get(expression.lower(), expression).split()
    if len(fields) != 5:
        raise _unreadable(text, "it has to have five fields, or to be an alias")
    return _read_fields(text, fields, _zone(zone_text, text))


def _read_fields(text: str, fields: list[str], zone: tzinfo) -> FireRule:
    minute, hour, day, month, weekday = fields
    try:
        days, any_day = _field(day, 1, 31, {})
        weekdays, any_weekday = _field(weekday, 0, 6, _WEEKDAYS)
        return _Cron(
            minutes=_field(minute, 0, 59, {})[0],
            hours=_field(hour, 0, 23, {})[0],
            days=days,
            months=_field(month, 1, 12, _MONTHS)[0],
            weekdays=weekdays,
            either_day=not any_day and not any_weekday,
            zone=zone,
        )
    except ValueError as error:
        raise _unreadable(text, str(error)) from error


def _field(text: str, lowest: int, highest: int, names: Mapping[str, int]) -> tuple[frozenset[int], bool]:
    """Return the values that a field allows, and whether it is a star, which leaves the choice to the other day field.

    Raises:
        ValueError: it cannot be read; the text says why.
    """
    values: set[int] = set()
    is_star = False
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, part) if slash else 1
        if step == 0:
            raise ValueError(f"the step of {part!r} is 0")
        first, last = _span(span, lowest, highest, names, is_open=bool(slash))
        if first < lowest or last > highest or first > last:
            raise ValueError(f"{part!r} is not between {lowest} and {highest}, in ascending order")
        values.update(range(first, last + 1, step))
        is_star = is_star or (span in ("*", "?") and step == 1)
    return frozenset(values), is_star


def _span(text: str, lowest: int, highest: int, names: Mapping[str, int], *, is_open: bool) -> tuple[int, int]:
    if text in ("*", "?"):
        return lowest, highest
    first_text, dash, last_text = text.partition("-")
    first = _value(first_text, text, names)
    if dash:
        return first, _value(last_text, text, names)
    return first, highest if is_open else first


def _value(text: str, whole: str, names: Mapping[str, int]) -> int:
    named = names.get(text.lower())
    return _number(text, whole) if named is None else named


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise ValueError(f"{text!r} in {whole!r} is not a number")
    return int(text)


def _go_duration(text: str) -> timedelta:
    """Return a duration as Go writes it, such as ``1h30m``; in whole seconds, one at least, as robfig/cron has it."""
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _EVERY_PART.findall(text))
    return max(_multiple(timedelta(seconds=1), float(int(min(seconds, 1e14)))), timedelta(seconds=1))


def _zone(name: str, text: str) -> tzinfo:
    if name in ("", "UTC"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # a path, a folder of zones; KeyError is ZoneInfoNotFoundError
        meant = difflib.get_close_matches(name, available_timezones(), n=1)
        question = f" (did you mean {meant[0]}?)" if meant else ""
        raise _unreadable(text, f"no time zone is called {name!r}{question}") from error


def _unreadable(text: str, reason: str) -> ScheduleError:
    return ScheduleError(
        f"The cron schedule {text[:200]!r} cannot be read: {reason}.",
        hint="write minute, hour, day of month, month and day of week (0 is Sunday), such as `30 7 * * mon-fri`, or an"
        " alias such as @daily; a zone goes in front, such as `CRON_TZ=Europe/Berlin 30 7 * * *`.",
    )
