"""Fire times, written out: the instants of robfig/cron, which Flyte's scheduler uses."""

from __future__ import annotations

import doctest
from datetime import datetime, timedelta, timezone

import pytest
from flyteidl.admin.schedule_pb2 import CronSchedule, FixedRate, FixedRateUnit, Schedule
from hypothesis import given
from hypothesis import strategies as st

from hydraflyte import fire_times as module
from hydraflyte.errors import ScheduleError
from hydraflyte.fire_times import next_fire_times, read_schedule


def cron(expression: str, *, offset: str = "") -> Schedule:
    return Schedule(cron_schedule=CronSchedule(schedule=expression, offset=offset))


def rate(value: int, unit: str) -> Schedule:
    return Schedule(rate=FixedRate(value=value, unit=FixedRateUnit.Value(unit)))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def fire_times(schedule: Schedule, after: str, count: int = 3) -> list[str]:
    return [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in next_fire_times(schedule, after=utc(after), count=count)]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00+00:00", ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]),
        ("* * * * *", "2026-01-01T00:00:59.999999+00:00", ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]),
        ("0/15 * * * *", "2026-07-09T14:45:00+00:00", ["2026-07-09T15:00:00Z", "2026-07-09T15:15:00Z"]),
        ("20-35/15 * * * *", "2026-07-09T14:45:00+00:00", ["2026-07-09T15:20:00Z", "2026-07-09T15:35:00Z"]),
        ("30 7 * * mon-fri", "2026-11-20T08:00:00+00:00", ["2026-11-23T07:30:00Z", "2026-11-24T07:30:00Z"]),
        ("0 0 31 * *", "2026-01-31T00:00:00+00:00", ["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"]),
        ("0 0 29 feb *", "2026-01-01T00:00:00+00:00", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("59 23 31 DEC *", "2026-12-31T23:59:00+00:00", ["2027-12-31T23:59:00Z", "2028-12-31T23:59:00Z"]),
        # both kinds of day restricted: either is enough; a star leaves the choice to the other; a stepped star does not
        ("0 0 1 * 0", "2026-11-01T00:00:00+00:00", ["2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z"]),
        ("0 0 1 * *", "2026-11-01T00:00:00+00:00", ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        ("0 0 ? * 0", "2026-11-01T00:00:00+00:00", ["2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z"]),
        ("0 0 */15 * 0", "2026-11-01T00:00:00+00:00", ["2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z"]),
        ("0 0 */15 * 0", "2026-11-15T00:00:00+00:00", ["2026-11-16T00:00:00Z", "2026-11-22T00:00:00Z"]),
    ],
)
def test_a_cron_schedule_fires_when_all_fields_match(expression: str, after: str, expected: list[str]) -> None:
    assert fire_times(cron(expression), after, 2) == expected


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("@hourly", "2026-11-21T13:00:00Z"),
        ("@daily", "2026-11-22T00:00:00Z"),
        ("@midnight", "2026-11-22T00:00:00Z"),
        ("@weekly", "2026-11-22T00:00:00Z"),
        ("@monthly", "2026-12-01T00:00:00Z"),
        ("@annually", "2027-01-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@every 1h30m", "2026-11-21T13:35:07Z"),
        ("@every 90s", "2026-11-21T12:06:37Z"),
        ("@every 20ms", "2026-11-21T12:05:08Z"),
        ("hourly", "2026-11-21T13:00:00Z"),  # flytekit lets the plain words pass
        ("days", "2026-11-22T00:00:00Z"),
        ("CRON_TZ=Asia/Tokyo @daily", "2026-11-21T15:00:00Z"),
    ],
)
def test_an_alias_stands_for_its_expression(alias: str, expected: str) -> None:
    assert fire_times(cron(alias), "2026-11-21T12:05:07+00:00", 1) == [expected]


def test_a_time_that_spring_skips_does_not_fire_that_day() -> None:
    nightly = cron("CRON_TZ=America/New_York 30 2 * * *")

    found = fire_times(nightly, "2026-03-07T00:00:00-05:00")

    assert found == ["2026-03-07T07:30:00Z", "2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]


def test_an_hourly_schedule_goes_on_through_the_spring_change() -> None:
    hourly = cron("TZ=America/New_York 0 * * * *")

    found = fire_times(hourly, "2026-03-08T00:30:00-05:00")

    assert found == ["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]


def test_a_time_that_autumn_repeats_fires_twice() -> None:
    nightly = cron("CRON_TZ=America/New_York 0 1 * * *")

    found = fire_times(nightly, "2026-11-01T00:00:00-04:00")

    assert found == ["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z", "2026-11-02T06:00:00Z"]


def test_a_time_after_the_repeated_hour_fires_once() -> None:
    nightly = cron("CRON_TZ=America/New_York 0 2 * * *")

    found = fire_times(nightly, "2026-11-01T00:00:00-04:00", 2)

    assert found == ["2026-11-01T07:00:00Z", "2026-11-02T07:00:00Z"]


def test_the_day_begins_later_where_the_clocks_change_at_midnight() -> None:
    nightly = cron("CRON_TZ=Africa/Cairo 0 0 * * *")  # 2026-04-24 begins at 01:00
    hourly = cron("CRON_TZ=Africa/Cairo 0 * 24 4 *")

    assert fire_times(nightly, "2026-04-22T12:00:00+00:00", 2) == ["2026-04-22T22:00:00Z", "2026-04-24T21:00:00Z"]
    assert fire_times(hourly, "2026-04-22T12:00:00+00:00", 2) == ["2026-04-23T22:00:00Z", "2026-04-23T23:00:00Z"]


def test_a_change_by_half_an_hour_is_followed() -> None:
    every_half_hour = cron("CRON_TZ=Australia/Lord_Howe 0,30 1-2 * * *")  # 02:00 becomes 01:30 on 2026-04-05

    found = fire_times(every_half_hour, "2026-04-04T14:00:00+00:00", 5)

    assert found == [
        "2026-04-04T14:30:00Z",  # 01:30
        "2026-04-04T15:00:00Z",  # 01:30 again
        "2026-04-04T15:30:00Z",
        "2026-04-04T16:00:00Z",
        "2026-04-05T14:30:00Z",
    ]


def test_zones_with_odd_offsets_are_followed() -> None:
    assert fire_times(cron("CRON_TZ=Asia/Kathmandu 0 6 * * *"), "2026-01-01T00:00:00+00:00", 1) == [
        "2026-01-01T00:15:00Z"
    ]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (10, "MINUTE", ["2026-11-21T12:15:07Z", "2026-11-21T12:25:07Z"]),
        (6, "HOUR", ["2026-11-21T18:05:07Z", "2026-11-22T00:05:07Z"]),
        (7, "DAY", ["2026-11-28T12:05:07Z", "2026-12-05T12:05:07Z"]),
        (4294967295, "DAY", []),
        (4294967295, "MINUTE", []),  # 8171 years from now
    ],
)
def test_a_fixed_rate_counts_from_the_instant_given(value: int, unit: str, expected: list[str]) -> None:
    assert fire_times(rate(value, unit), "2026-11-21T12:05:07.9+00:00", 2) == expected


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_a_day_that_never_comes_never_fires(expression: str) -> None:
    assert fire_times(cron(expression), "2026-01-01T00:00:00+00:00") == []


def test_the_calendar_ends() -> None:
    assert fire_times(cron("* * * * *"), "9999-12-31T23:58:00+00:00") == ["9999-12-31T23:59:00Z"]


def test_the_offset_of_a_cron_schedule_has_no_effect() -> None:
    plain, moved = cron("@daily"), cron("@daily", offset="PT3H")

    assert fire_times(plain, "2026-01-01T12:00:00+00:00") == fire_times(moved, "2026-01-01T12:00:00+00:00")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@fortnightly", "five fields"),
        ("@every", "five fields"),
        ("@every soon", "five fields"),
        ("@every -1h", "five fields"),
        ("60 * * * *", "'60' is not between 0 and 59"),
        ("* 24 * * *", "'24' is not between 0 and 23"),
        ("* * 0 * *", "'0' is not between 1 and 31"),
        ("* * * 13 *", "'13' is not between 1 and 12"),
        ("* * * * 7", "'7' is not between 0 and 6"),
        ("30-10 * * * *", "'30-10' is not between 0 and 59, in ascending order"),
        ("*/0 * * * *", "the step of '*/0' is 0"),
        ("1,,2 * * * *", "'' in '' is not a number"),
        ("1/ * * * *", "'' in '1/' is not a number"),
        ("-5 * * * *", "'' in '-5' is not a number"),
        ("١ * * * *", "is not a number"),
        ("* * * * monday", "'monday' in 'monday' is not a number"),
        ("99999999999999999999 * * * *", "is not a number"),
        ("CRON_TZ=Mars/Base 0 0 * * *", "no time zone is called 'Mars/Base'"),
        ("CRON_TZ=Europe/Zurch 0 0 * * *", "'Europe/Zurch' (did you mean Europe/Zurich?)"),
        ("CRON_TZ=../../etc/passwd 0 0 * * *", "no time zone is called"),
        ("CRON_TZ=/etc/passwd 0 0 * * *", "no time zone is called"),
        ("CRON_TZ=America 0 0 * * *", "no time zone is called 'America'"),
        ("CRON_TZ=Europe/Berlin", "five fields"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        read_schedule(cron(expression))

    assert reason in refused.value.message
    assert "CRON_TZ" in refused.value.hint


@pytest.mark.parametrize("schedule", [Schedule(), rate(0, "HOUR"), Schedule(cron_expression="0 10 * * ? *")])
def test_a_schedule_that_is_none_is_refused(schedule: Schedule) -> None:
    with pytest.raises(ScheduleError):
        next_fire_times(schedule, after=utc("2026-01-01T00:00:00+00:00"), count=1)


@given(
    expression=st.sampled_from(
        [
            "*/7 * * * *",
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "CRON_TZ=Africa/Cairo 0 0,23 * * *",
            "0 0 29 2 *",
            "@every 7m",
        ]
    ),
    minutes=st.integers(0, 60 * 24 * 400),
    seconds=st.integers(0, 59),
)
def test_the_last_fire_time_is_the_one_that_counting_finds(expression: str, minutes: int, seconds: int) -> None:
    rule = read_schedule(cron(expression))
    after = utc("2026-03-01T00:00:30+00:00")
    until = after + timedelta(minutes=minutes % 5000, seconds=seconds)

    counted, at = None, rule.next_after(after)
    while at is not None and at <= until:
        counted, at = at, rule.next_after(at)

    assert rule.last_between(after, until) == counted


def test_the_last_fire_time_of_years_is_found_at_once() -> None:
    rule = read_schedule(cron("* * * 1 *"))

    found = rule.last_between(utc("2020-01-01T00:00:00+00:00"), utc("2026-11-21T12:00:00+00:00"))

    assert found == utc("2026-01-31T23:59:00+00:00")


def test_the_example_is_true() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (rate(6, "HOUR"), ["2026-11-21T14:30:10Z", "2026-11-21T20:30:10Z"]),
        (cron("30 */6 * * *"), ["2026-11-21T12:30:00Z", "2026-11-21T18:30:00Z"]),
    ],
)
def test_a_fixed_rate_counts_from_its_activation_whenever_it_is_asked(schedule: Schedule, expected: list[str]) -> None:
    since, now = utc("2026-11-20T02:30:10+00:00"), utc("2026-11-21T12:00:00+00:00")

    found = next_fire_times(schedule, after=now, count=2, since=since)

    assert [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in found] == expected
