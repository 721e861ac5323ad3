"""Workflows made at run time: flat, nested, below and above other constructs, with maps, failing, and eager tasks."""

import asyncio
import functools

from flytekit import conditional, dynamic, eager, map_task, task, workflow


@task
def square(x: int) -> int:
    return x * x


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def refuse(x: int) -> int:
    if x:
        raise ValueError(f"no {x}")
    return x


@workflow
def fourth_power(x: int) -> int:
    return square(x=square(x=x))


@dynamic
def squares(n: int) -> int:
    return total(xs=[square(x=i) for i in range(n)])


@dynamic
def of_everything(n: int) -> tuple[int, int, list[int]]:
    return squares(n=n), fourth_power(x=n), [square(x=n), square(x=n + 1)]


@dynamic
def nothing_to_run(n: int) -> int:
    return n + 1


@dynamic
def doomed(n: int) -> int:
    return square(x=refuse(x=n))


@task
def shifted(x: int, by: int) -> int:
    return x + by


@dynamic
def mapped(n: int) -> list[int]:
    return map_task(functools.partial(shifted, by=n))(x=list(range(n)))


@dynamic
def takes_outputs(xs: list[int]) -> dict[str, int]:
    return keep(xs={str(x): square(x=x) for x in xs})


@task
def keep(xs: dict[str, int]) -> dict[str, int]:
    return xs


@dynamic
def countdown(n: int) -> int:
    if n == 0:
        return 0
    return countdown(n=n - 1)


@workflow
def flat(n: int) -> int:
    return squares(n=n)


@workflow
def nested(n: int) -> tuple[int, int, list[int]]:
    return of_everything(n=n)


@workflow
def below_a_sub_workflow(n: int) -> int:
    return square(x=flat(n=n))


@workflow
def static_result(n: int) -> int:
    return square(x=nothing_to_run(n=n))


@workflow
def child_fails(n: int) -> int:
    return doomed(n=n)


@workflow
def map_inside(n: int) -> list[int]:
    return mapped(n=n)


@workflow
def fed_by_tasks(n: int) -> dict[str, int]:
    return takes_outputs(xs=[square(x=n), n])


@workflow
def recursive(n: int) -> int:
    return countdown(n=n)


@workflow
def in_an_arm(n: int) -> int:
    return conditional("which").if_(n > 2).then(squares(n=n)).else_().then(square(x=n))


@task
async def double(a: int) -> int:
    return a * 2


@eager
async def doubles(count: int) -> int:
    parts = await asyncio.gather(*(double(a=number) for number in range(count)))
    return total(xs=list(parts))


@eager
async def recovers(x: int) -> int:
    try:
        return refuse(x=x)
    except Exception:
        return await double(a=x)
