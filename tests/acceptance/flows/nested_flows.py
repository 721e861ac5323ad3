"""Workflows that begin other executions, and workflows that wait for people."""

import datetime
import os
import time

from flytekit import LaunchPlan, approve, sleep, task, wait_for_input, workflow


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def environment(name: str) -> str:
    return os.environ.get(name, "not set")


@task
def break_down(a: int) -> int:
    if a:
        raise ValueError(f"no way on from {a}")
    return a


@task
def wait_long(a: int) -> int:
    time.sleep(600)
    return a


@workflow
def sums(a: int, b: int = 10) -> int:
    return add(a=a, b=b)


@workflow
def shows_environment(name: str) -> str:
    return environment(name=name)


@workflow
def breaks(a: int) -> int:
    return break_down(a=a)


@workflow
def waits(a: int) -> int:
    return wait_long(a=a)


sums_plan = LaunchPlan.get_or_create(sums, name="nested.sums_plan", default_inputs={"b": 100})
fixed_plan = LaunchPlan.get_or_create(sums, name="nested.fixed_plan", fixed_inputs={"b": 1000})
environment_plan = LaunchPlan.get_or_create(shows_environment, name="nested.environment_plan")
breaking_plan = LaunchPlan.get_or_create(breaks, name="nested.breaking_plan")
waiting_plan = LaunchPlan.get_or_create(waits, name="nested.waiting_plan")


@workflow
def two_children(a: int) -> tuple[int, int]:
    first = sums_plan(a=a)
    second = fixed_plan(a=first)
    return first, second


outer_plan = LaunchPlan.get_or_create(two_children, name="nested.outer_plan")


@workflow
def grandchildren(a: int) -> int:
    first, second = outer_plan(a=a)
    return add(a=first, b=second)


@workflow
def asks_a_child(name: str) -> str:
    return environment_plan(name=name)


@workflow
def has_a_breaking_child(a: int) -> int:
    return breaking_plan(a=a)


@workflow
def has_a_waiting_child(a: int) -> int:
    return waiting_plan(a=a)


@workflow
def asks_for_a_number(a: int) -> int:
    answer = wait_for_input("number", timeout=datetime.timedelta(hours=1), expected_type=int)
    return add(a=a, b=answer)


@workflow
def asks_for_approval(a: int) -> int:
    total = add(a=a, b=1)
    return add(a=approve(total, "fine", timeout=datetime.timedelta(hours=1)), b=1)


@workflow
def sleeps(a: int) -> int:
    first = add(a=a, b=1)
    nap = sleep(datetime.timedelta(seconds=1))
    second = add(a=first, b=1)
    first >> nap
    nap >> second
    return second


@workflow
def has_an_overdue_child(a: int) -> int:
    return waiting_plan(a=a).with_overrides(timeout=datetime.timedelta(seconds=1))
