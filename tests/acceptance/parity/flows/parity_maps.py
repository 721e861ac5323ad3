"""Map tasks: sizes from none, bound inputs, limits, failing items, retries, several lists and outputs, Nones."""

import functools
import os
from dataclasses import dataclass

from flytekit import map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@dataclass
class Point:
    x: int
    y: int


@task
def shift(x: int, by: int) -> int:
    return x + by


@task
def positive(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


@task(retries=1)
def second_try(x: int) -> int:
    if x == 2 and os.environ.get("FLYTE_ATTEMPT_NUMBER") == "0":
        raise FlyteRecoverableException("once more")
    return x


@task
def mirrored(point: Point) -> Point:
    return Point(point.y, point.x)


@task
def joined(name: str, number: int, factor: float) -> str:
    return f"{name}{number * factor:g}"


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def without_outputs(x: int):
    print(x)


@workflow
def two_at_a_time(xs: list[int]) -> list[int]:
    return map_task(functools.partial(shift, by=1), concurrency=2)(x=xs)


@workflow
def bound_to_an_input(xs: list[int], by: int) -> list[int]:
    return map_task(functools.partial(shift, by=by))(x=xs)


@workflow
def fed_and_summed(n: int) -> int:
    return total(xs=map_task(functools.partial(shift, by=2))(x=numbers(n=n)))


@workflow
def some_may_fail(xs: list[int]) -> list[int | None]:
    return map_task(positive, min_success_ratio=0.5)(x=xs)


@workflow
def too_many_fail(xs: list[int]) -> list[int | None]:
    return map_task(positive, min_success_ratio=0.5)(x=xs)


@workflow
def none_may_fail(xs: list[int]) -> list[int]:
    return map_task(positive)(x=xs)


@workflow
def tried_again(xs: list[int]) -> list[int]:
    return map_task(second_try)(x=xs)


@workflow
def several_lists(names: list[str], numbers: list[int]) -> list[str]:
    return map_task(functools.partial(joined, factor=0.5))(name=names, number=numbers)


@workflow
def of_dataclasses(points: list[Point]) -> list[Point]:
    return map_task(mirrored)(point=points)


@workflow
def map_of_a_map(xs: list[int]) -> list[int]:
    return map_task(functools.partial(shift, by=10))(x=map_task(functools.partial(shift, by=1))(x=xs))


@workflow
def gives_nothing(xs: list[int]):
    map_task(without_outputs)(x=xs)


@workflow
def in_a_sub_workflow(xs: list[int]) -> int:
    return total(xs=two_at_a_time(xs=xs))


@task
def indexed(x: int) -> str:
    name = os.environ.get("BATCH_JOB_ARRAY_INDEX_VAR_NAME", "")
    return f"{x} is item {os.environ.get(name, '?')}"


@workflow
def items_know_their_index(xs: list[int]) -> list[str]:
    return map_task(indexed)(x=xs)
