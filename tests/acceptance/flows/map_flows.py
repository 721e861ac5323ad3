"""Map tasks: plain, with a value for all items, few at a time, over nothing, with items that fail, in other tasks."""

import functools
import os

from flytekit import current_context, dynamic, map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def shifted_square(x: int, shift: int) -> int:
    return x * x + shift


@task
def positive_only(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


@task
def index_of_item(x: int) -> str:
    return f"{x}:{os.environ[os.environ['BATCH_JOB_ARRAY_INDEX_VAR_NAME']]}"


@task(retries=1)
def second_try(x: int) -> int:
    if x == 2 and current_context().execution_id and os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("once more")
    return x


@task(cache=True, cache_version="1")
def cached_square(x: int) -> int:
    return x * x


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@workflow
def squares(xs: list[int]) -> list[int]:
    return map_task(functools.partial(shifted_square, shift=1), concurrency=2)(x=xs)


@workflow
def sum_of_squares(xs: list[int]) -> int:
    return total(xs=map_task(functools.partial(shifted_square, shift=0))(x=xs))


@workflow
def some_may_fail(xs: list[int]) -> list[int | None]:
    return map_task(positive_only, min_success_ratio=0.5)(x=xs)


@workflow
def none_may_fail(xs: list[int]) -> list[int]:
    return map_task(positive_only)(x=xs)


@workflow
def indexes(xs: list[int]) -> list[str]:
    return map_task(index_of_item)(x=xs)


@workflow
def tried_again(xs: list[int]) -> list[int]:
    return map_task(second_try)(x=xs)


@workflow
def cached_squares(xs: list[int]) -> list[int]:
    return map_task(cached_square)(x=xs)


@task(cache=True, cache_version="1")
def cached_shift(x: int, by: int) -> int:
    return x + by


@workflow
def cached_shifts(xs: list[int], by: int) -> list[int]:
    return map_task(functools.partial(cached_shift, by=by))(x=xs)


@dynamic
def mapped_at_run_time(n: int) -> list[int]:
    return map_task(functools.partial(shifted_square, shift=n))(x=list(range(n)))


@workflow
def map_in_dynamic(n: int) -> list[int]:
    return mapped_at_run_time(n=n)
