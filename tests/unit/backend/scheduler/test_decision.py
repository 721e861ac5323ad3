"""What fires now: on time, after downtime, and when the clock jumps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from flyteidl.admin.schedule_pb2 import CronSchedule, FixedRate, Schedule
from hypothesis import given
from hypothesis import strategies as st

from hydraflyte.backend.scheduler.decision import MOST_AT_ONCE, Decision, decide
from hydraflyte.catch_up import CatchUp
from hydraflyte.fire_times import read_schedule

HOURLY = read_schedule(Schedule(cron_schedule=CronSchedule(schedule="@hourly")))
MINUTELY = read_schedule(Schedule(cron_schedule=CronSchedule(schedule="* * * * *")))
EVERY_TEN_MINUTES = read_schedule(Schedule(rate=FixedRate(value=10)))
NEVER = read_schedule(Schedule(cron_schedule=CronSchedule(schedule="0 0 30 2 *")))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-21T{text}+00:00")


def look(rule, *, anchor: str, now: str, catch_up: str = "last", open_executions: int = 0) -> Decision:
    return decide(rule, anchor=at(anchor), now=at(now), catch_up=CatchUp(catch_up), open_executions=open_executions)


@pytest.mark.parametrize("catch_up", ["none", "last", "all"])
def test_a_fire_time_that_has_come_is_begun(catch_up: str) -> None:
    decision = look(HOURLY, anchor="11:00:00", now="12:00:00", catch_up=catch_up)

    assert decision == Decision(begin=(at("12:00:00"),), anchor=at("11:00:00"), look_again_at=at("13:00:00"))


def test_before_the_fire_time_nothing_is_begun() -> None:
    decision = look(HOURLY, anchor="11:00:00", now="11:59:59")

    assert decision == Decision(begin=(), anchor=at("11:00:00"), look_again_at=at("12:00:00"))


def test_a_schedule_that_never_fires_is_not_looked_at_again() -> None:
    assert look(NEVER, anchor="11:00:00", now="12:00:00").look_again_at is None


def test_after_downtime_only_the_last_fire_time_is_made_up_for() -> None:
    decision = look(HOURLY, anchor="03:00:00", now="12:10:00", catch_up="last")

    assert decision.begin == (at("12:00:00"),)
    assert decision.look_again_at == at("13:00:00")


def test_a_fire_time_met_after_downtime_stands_for_the_missed_ones() -> None:
    decision = look(HOURLY, anchor="03:00:00", now="12:00:05", catch_up="last")

    assert decision.begin == (at("12:00:00"),)
    assert decision.anchor == at("11:00:00")


def test_missed_fire_times_are_left_out_when_asked_for() -> None:
    decision = look(HOURLY, anchor="03:00:00", now="12:10:00", catch_up="none")

    assert decision == Decision(begin=(), anchor=at("12:00:00"), look_again_at=at("13:00:00"))


def test_all_missed_fire_times_are_begun_in_order_when_asked_for() -> None:
    decision = look(HOURLY, anchor="09:00:00", now="12:10:00", catch_up="all")

    assert decision.begin == (at("10:00:00"), at("11:00:00"), at("12:00:00"))


def test_many_missed_fire_times_are_begun_ten_at_a_time() -> None:
    decision = look(MINUTELY, anchor="03:00:00", now="12:10:00", catch_up="all")

    assert decision.begin == tuple(at(f"03:{minute:02}:00") for minute in range(1, 11))
    assert decision.look_again_at == at("12:10:01")


def test_making_up_waits_while_ten_executions_are_open() -> None:
    room_for_two = look(MINUTELY, anchor="03:00:00", now="12:10:00", catch_up="all", open_executions=8)
    no_room = look(MINUTELY, anchor="03:00:00", now="12:10:00", catch_up="all", open_executions=12)

    assert room_for_two.begin == (at("03:01:00"), at("03:02:00"))
    assert no_room == Decision(begin=(), anchor=at("03:00:00"), look_again_at=at("12:10:01"))


def test_open_executions_do_not_hold_up_what_is_on_time() -> None:
    decision = look(HOURLY, anchor="11:00:00", now="12:00:00", catch_up="all", open_executions=500)

    assert decision.begin == (at("12:00:00"),)


@pytest.mark.parametrize("catch_up", ["none", "last"])
def test_a_fixed_rate_keeps_its_beat_through_downtime(catch_up: str) -> None:
    decision = look(EVERY_TEN_MINUTES, anchor="11:03:20", now="12:10:00", catch_up=catch_up)

    assert decision.begin == (() if catch_up == "none" else (at("12:03:20"),))
    assert decision.look_again_at == at("12:13:20")


def test_a_clock_adjusted_a_little_backwards_begins_nothing_twice() -> None:
    decision = look(HOURLY, anchor="12:00:00", now="11:59:58")

    assert decision == Decision(begin=(), anchor=at("12:00:00"), look_again_at=at("13:00:00"))


def test_a_clock_that_was_far_ahead_does_not_silence_a_schedule() -> None:
    decision = decide(
        HOURLY, anchor=at("12:00:00") + timedelta(days=365), now=at("12:10:00"), catch_up=CatchUp.ALL, open_executions=0
    )

    assert decision == Decision(begin=(), anchor=at("12:10:00"), look_again_at=at("13:00:00"))


@given(
    jumps=st.lists(st.integers(-7200, 7200), max_size=40),
    catch_up=st.sampled_from(CatchUp),
    rule=st.sampled_from([HOURLY, MINUTELY, EVERY_TEN_MINUTES]),
)
def test_whatever_the_clock_does_begun_times_are_few_past_and_new(jumps, catch_up, rule) -> None:
    now = anchor = at("12:00:00")

    for jump in jumps:
        now += timedelta(seconds=jump)
        decision = decide(rule, anchor=anchor, now=now, catch_up=catch_up, open_executions=0)
        assert len(decision.begin) <= MOST_AT_ONCE
        assert list(decision.begin) == sorted(set(decision.begin))
        assert all(decision.anchor < fired <= now for fired in decision.begin)
        anchor = decision.begin[-1] if decision.begin else decision.anchor


@given(pauses=st.lists(st.integers(1, 4000), min_size=1, max_size=40))
def test_when_all_are_made_up_for_none_is_lost(pauses) -> None:
    start = now = anchor = datetime(2026, 1, 1, 12, 0, 30, tzinfo=timezone.utc)
    begun: list[datetime] = []

    for pause in [*pauses, *[1] * 300]:
        now += timedelta(seconds=pause)
        decision = decide(MINUTELY, anchor=anchor, now=now, catch_up=CatchUp.ALL, open_executions=0)
        begun += decision.begin
        anchor = decision.begin[-1] if decision.begin else decision.anchor

    minutes = int((now - start).total_seconds() + 30) // 60
    assert begun == [start.replace(second=0) + timedelta(minutes=number) for number in range(1, minutes + 1)]
