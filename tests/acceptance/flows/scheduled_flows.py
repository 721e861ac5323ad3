"""Workflows that are started by the clock, or whose end somebody wants to be told of."""

from datetime import datetime

from flytekit import task, workflow


@task
def stamp(at: datetime, note: str) -> str:
    return f"{note} {at:%Y-%m-%d %H:%M:%S}"


@workflow
def stamps(at: datetime, note: str = "fired at") -> str:
    return stamp(at=at, note=note)


@task
def divide(a: int, b: int) -> int:
    return a // b


@workflow
def divides(a: int = 1, b: int = 0) -> int:
    return divide(a=a, b=b)
