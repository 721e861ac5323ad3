"""Three tasks in a row, one of them in a sub-workflow."""

from typing import NamedTuple

from flytekit import task, workflow


class Parts(NamedTuple):
    quotient: int
    remainder: int


@task
def double(x: int) -> int:
    print(f"doubling {x}")
    return 2 * x


@task
def divide(x: int, by: int) -> Parts:
    return Parts(x // by, x % by)


@workflow
def halves(x: int) -> Parts:
    return divide(x=x, by=2)


@workflow
def arithmetic(x: int = 5) -> tuple[int, int]:
    """Return (2x + 0) div 2 and mod 2 through a task and a sub-workflow."""
    parts = halves(x=double(x=x))
    return parts.quotient, parts.remainder
