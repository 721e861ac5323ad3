"""Dynamic tasks: flat, below a sub-workflow, inside each other, without nodes, with a failing child."""

from flytekit import dynamic, task, workflow


@task
def square(x: int) -> int:
    return x * x


@task
def add(xs: list[int]) -> int:
    return sum(xs)


@task
def refuse(x: int) -> int:
    if x:
        raise ValueError(f"no {x}")
    return x


@workflow
def squared_twice(x: int) -> int:
    return square(x=square(x=x))


@dynamic
def squares(n: int) -> int:
    return add(xs=[square(x=i) for i in range(n)])


@dynamic
def nested(n: int) -> tuple[int, int]:
    return squares(n=n), squared_twice(x=n)


@dynamic
def nothing_to_run(n: int) -> int:
    return n


@dynamic
def doomed(n: int) -> int:
    return refuse(x=n)


@workflow
def sum_of_squares(n: int) -> int:
    return squares(n=n)


@workflow
def nested_dynamics(n: int) -> tuple[int, int]:
    return nested(n=n)


@workflow
def below_a_sub_workflow(n: int) -> int:
    return square(x=sum_of_squares(n=n))


@workflow
def static_result(n: int) -> int:
    return nothing_to_run(n=n)


@workflow
def failing_child(n: int) -> int:
    return doomed(n=n)
