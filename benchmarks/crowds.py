"""The workflows of ``limits.py``: one that starts no process, a map as long as wanted, and a chain of 1,000 nodes."""

from flytekit import map_task, task, workflow
from flytekit.core.task import Echo


@task
def increment(x: int) -> int:
    return x + 1


echo = Echo(name="crowds.echo", inputs={"x": int})


@workflow
def says_again(x: int) -> int:
    return echo(x=x)


@workflow
def mapped(xs: list[int]) -> list[int]:
    return map_task(increment)(x=xs)


@workflow
def thousand(x: int) -> int:
    for _ in range(1000):
        x = increment(x=x)
    return x
