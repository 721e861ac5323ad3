"""Launch plans as nodes, gates, and tasks that were registered by somebody else."""

import datetime
import os

from flytekit import LaunchPlan, approve, reference_launch_plan, reference_task, sleep, task, workflow
from flytekit import wait_for_input as wait_for

HOUR = datetime.timedelta(hours=1)


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def refuse(a: int) -> int:
    if a:
        raise ValueError(f"no {a}")
    return a


@task
def variable(name: str) -> str:
    return os.environ.get(name, "not set")


@workflow
def sums(a: int, b: int = 10) -> int:
    return add(a=a, b=b)


@workflow
def fails(a: int) -> int:
    return refuse(a=a)


@workflow
def shows(name: str) -> str:
    return variable(name=name)


defaults = LaunchPlan.get_or_create(sums, name="parity_children.defaults", default_inputs={"b": 100})
fixed = LaunchPlan.get_or_create(sums, name="parity_children.fixed", fixed_inputs={"b": 1000})
failing = LaunchPlan.get_or_create(fails, name="parity_children.failing")
showing = LaunchPlan.get_or_create(shows, name="parity_children.showing")


@workflow
def children(a: int) -> int:
    return fixed(a=defaults(a=a))


outer = LaunchPlan.get_or_create(children, name="parity_children.outer")


@workflow
def grandchildren(a: int) -> int:
    return add(a=outer(a=a), b=1)


@workflow
def child_fails(a: int) -> int:
    return failing(a=a)


@workflow
def child_is_told(name: str) -> str:
    return showing(name=name)


@workflow
def waits_for_a_number(a: int) -> int:
    return add(a=a, b=wait_for("number", timeout=HOUR, expected_type=int))


@workflow
def waits_for_a_text(a: int) -> str:
    text = wait_for("text", timeout=HOUR, expected_type=str)
    add(a=a, b=1)
    return text


@workflow
def waits_for_approval(a: int) -> int:
    return add(a=approve(add(a=a, b=1), "fine", timeout=HOUR), b=1)


@workflow
def waits_in_a_sub_workflow(a: int) -> int:
    return add(a=waits_for_a_number(a=a), b=1)


@workflow
def sleeps(a: int) -> int:
    first = add(a=a, b=1)
    nap = sleep(datetime.timedelta(seconds=1))
    second = add(a=first, b=1)
    first >> nap
    nap >> second
    return second


@workflow
def waits_in_vain(a: int) -> int:
    return add(a=a, b=wait_for("never", timeout=datetime.timedelta(seconds=1), expected_type=int))


@reference_task("flytesnacks", "development", "parity_shared.shared_square", "shared")
def their_task(x: int) -> int: ...


@reference_task("flyteexamples", "staging", "parity_shared.shared_square", "shared")
def task_of_another_project(x: int) -> int: ...


@reference_launch_plan("flytesnacks", "development", "parity_shared.fourth_power", "shared")
def their_launch_plan(x: int) -> int: ...


@reference_launch_plan("flyteexamples", "staging", "parity_shared.fourth_power", "shared")
def launch_plan_of_another_project(x: int) -> int: ...


@workflow
def refers_to_a_task(a: int) -> int:
    return their_task(x=a)


@workflow
def refers_to_a_launch_plan(a: int) -> int:
    return add(a=their_launch_plan(x=a), b=1)


@workflow
def refers_to_another_project(x: int) -> int:
    return add(a=task_of_another_project(x=x), b=launch_plan_of_another_project(x=x))
