"""Maps over what is no map task: launch plans, reference tasks and launch plans, and the older map task."""

import functools
import os

from flytekit import (
    conditional,
    current_context,
    dynamic,
    map_task,
    reference_launch_plan,
    reference_task,
    task,
    workflow,
)
from flytekit.core.legacy_map_task import map_task as older_map_task
from flytekit.exceptions.user import FlyteRecoverableException
from library_flows import scale_plan, silent_plan, tripled_plan

LIBRARY_VERSION = "library-1"


@reference_task(project="flytesnacks", domain="development", name="library_flows.triple", version=LIBRARY_VERSION)
def triple_there(x: int) -> int: ...


@reference_launch_plan(
    project="flytesnacks", domain="development", name="library.tripled_plan", version=LIBRARY_VERSION
)
def tripled_there(x: int) -> int: ...


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def shifted(x: int, shift: int) -> int:
    return x + shift


@task
def positive_only(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


@task
def mostly_positive(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


@task(retries=1)
def second_try(x: int) -> int:
    if x == 2 and current_context().execution_id and os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("once more")
    return x


@task
def says_nothing(x: int):
    print(x)


@workflow
def over_a_plan(xs: list[int]) -> list[int]:
    return map_task(tripled_plan, concurrency=2)(x=xs)


@workflow
def over_a_plan_then_on(xs: list[int]) -> int:
    return total(xs=map_task(tripled_plan)(x=xs))


@workflow
def over_a_plan_with_two_lists(xs: list[int], factors: list[int]) -> list[int]:
    return map_task(scale_plan)(x=xs, factor=factors)


@workflow
def over_a_silent_plan(xs: list[int]):
    map_task(silent_plan)(x=xs)


@workflow
def over_a_plan_that_may_fail(xs: list[int]) -> list[int | None]:
    return map_task(tripled_plan, min_success_ratio=0.5)(x=xs)


@workflow
def over_a_reference_plan(xs: list[int]) -> list[int]:
    return map_task(tripled_there)(x=xs)


@workflow
def over_a_reference_task(xs: list[int]) -> list[int]:
    return map_task(triple_there, concurrency=1)(x=xs)


@workflow
def over_a_reference_task_then_on(xs: list[int]) -> int:
    return total(xs=map_task(triple_there)(x=xs))


@dynamic
def plans_at_run_time(n: int) -> list[int]:
    return map_task(tripled_plan)(x=list(range(n)))


@workflow
def over_a_plan_in_dynamic(n: int) -> list[int]:
    return plans_at_run_time(n=n)


@workflow
def mapped_below(xs: list[int]) -> int:
    return total(xs=map_task(tripled_plan)(x=xs))


@workflow
def over_a_plan_in_a_condition(xs: list[int], a: int) -> int:
    return conditional("where").if_(a > 0).then(mapped_below(xs=xs)).else_().then(total(xs=xs))


@workflow
def older(xs: list[int]) -> list[int]:
    return older_map_task(functools.partial(shifted, shift=5), concurrency=2)(x=xs)


@workflow
def older_then_on(xs: list[int]) -> int:
    return total(xs=older_map_task(positive_only)(x=xs))


@workflow
def older_that_may_fail(xs: list[int]) -> list[int | None]:
    return older_map_task(mostly_positive, min_success_ratio=0.5)(x=xs)


@workflow
def older_that_may_not_fail(xs: list[int]) -> list[int]:
    return older_map_task(positive_only)(x=xs)


@workflow
def older_tried_again(xs: list[int]) -> list[int]:
    return older_map_task(second_try)(x=xs)


@workflow
def older_without_outputs(xs: list[int]):
    older_map_task(says_nothing)(x=xs)
