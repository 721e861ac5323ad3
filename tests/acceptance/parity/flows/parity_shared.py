"""A task and a workflow that another project registers for others to refer to."""

from flytekit import task, workflow


@task
def shared_square(x: int) -> int:
    return x * x


@workflow
def fourth_power(x: int) -> int:
    return shared_square(x=shared_square(x=x))
