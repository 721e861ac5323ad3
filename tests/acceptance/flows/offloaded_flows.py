"""Outputs that flytekit writes to files of their own, looked into and handed on in every way a workflow has.

With ``_F_L_MIN_SIZE_MB=0`` every output is offloaded, however small.
"""

from dataclasses import dataclass

from flytekit import LaunchPlan, conditional, dynamic, map_task, task, workflow

OFFLOAD_ALL = {"_F_L_MIN_SIZE_MB": "0", "_F_L_MAX_SIZE_MB": "1000"}


@dataclass
class Point:
    x: int
    tags: list[str]


@task(environment=OFFLOAD_ALL)
def number(x: int) -> int:
    return x


@task(environment=OFFLOAD_ALL)
def count_up(n: int) -> list[int]:
    return list(range(n))


@task(environment=OFFLOAD_ALL)
def point(x: int) -> Point:
    return Point(x=x, tags=["a", "b"])


@task(environment=OFFLOAD_ALL)
def squares_by_name(n: int) -> dict[str, int]:
    return {f"k{i}": i * i for i in range(n)}


@task(environment=OFFLOAD_ALL)
def square(x: int) -> int:
    return x * x


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def shout(text: str, x: int) -> str:
    return f"{text.upper()} {x}"


@workflow
def handed_on(n: int) -> int:
    return total(xs=count_up(n=n))


@workflow
def attributes(x: int) -> tuple[str, int, int]:
    where = point(x=x)
    return shout(text=where.tags[1], x=where.x), squares_by_name(n=4)["k3"], count_up(n=5)[2]


@workflow
def mapped(n: int) -> int:
    return total(xs=map_task(square)(x=count_up(n=n)))


@workflow
def inner(n: int) -> list[int]:
    return count_up(n=n)


inner_plan = LaunchPlan.get_or_create(inner, name="offloaded.inner_plan")


@workflow
def from_sub_workflow(n: int) -> tuple[int, int]:
    numbers = inner(n=n)
    return total(xs=numbers), numbers[1]


@workflow
def from_child(n: int) -> tuple[int, int]:
    numbers = inner_plan(n=n)
    return total(xs=numbers), numbers[1]


@workflow
def to_child(n: int) -> int:
    return triple_plan(x=number(x=n))


@workflow
def triple(x: int) -> int:
    return total(xs=[x, x, x])


triple_plan = LaunchPlan.get_or_create(triple, name="offloaded.triple_plan")


@workflow
def mapped_over_plans(n: int) -> list[int]:
    return map_task(triple_plan)(x=count_up(n=n))


@workflow
def decided(x: int) -> int:
    chosen = number(x=x)
    return conditional("size").if_(chosen > 3).then(square(x=chosen)).else_().then(number(x=0))


@dynamic(environment=OFFLOAD_ALL)
def counts_at_run_time(n: int) -> list[int]:
    return count_up(n=n)


@workflow
def from_dynamic(n: int) -> tuple[int, int]:
    numbers = counts_at_run_time(n=n)
    return total(xs=numbers), numbers[1]


@workflow
def given_back(n: int) -> list[int]:
    return count_up(n=n)


@workflow
def mapped_input(xs: list[int]) -> list[int]:
    return map_task(square)(x=xs)
