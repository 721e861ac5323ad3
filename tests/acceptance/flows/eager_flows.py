"""Eager tasks: plain asyncio code whose calls are executions of their own."""

import asyncio

from flytekit import eager, task


@task
async def double(a: int) -> int:
    return a * 2


@task
def total(parts: list[int]) -> int:
    return sum(parts)


@eager
async def doubles(count: int) -> int:
    parts = await asyncio.gather(*(double(a=number) for number in range(count)))
    return total(parts=list(parts))
