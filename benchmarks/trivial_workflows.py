"""The workflows of ``tasks.py``: tasks that do nothing, in a chain and side by side."""

from flytekit import task, workflow


@task
def increment(x: int) -> int:
    return x + 1


@workflow
def one(x: int) -> int:
    return increment(x=x)


@workflow
def chain(x: int) -> int:
    for _ in range(20):
        x = increment(x=x)
    return x


@workflow
def fan_out(x: int) -> None:
    for _ in range(100):
        increment(x=x)
