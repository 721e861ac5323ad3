"""Dynamic tasks that make launch-plan nodes, sub-workflows with failure nodes, conditionals, gates, and each other."""

import datetime

from flytekit import (
    LaunchPlan,
    conditional,
    dynamic,
    map_task,
    reference_launch_plan,
    sleep,
    task,
    workflow,
)
from flytekit.types.error.error import FlyteError

LIBRARY_VERSION = "library-1"


@reference_launch_plan(
    project="flytesnacks", domain="development", name="library.tripled_plan", version=LIBRARY_VERSION
)
def tripled_there(x: int) -> int: ...


@reference_launch_plan(project="flytetester", domain="staging", name="library.scale_plan", version=LIBRARY_VERSION)
def scaled_elsewhere(x: int, factor: int = 2) -> int: ...


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def refuse(x: int) -> int:
    if x:
        raise ValueError(f"no {x}")
    return x


@task
def note(x: int, err: FlyteError | None = None):
    print("noted", x, err.message if err else "no error")


@workflow(on_failure=note)
def guarded(x: int) -> int:
    return refuse(x=x)


@workflow
def doubled(x: int) -> int:
    return add(a=x, b=x)


doubled_plan = LaunchPlan.get_or_create(doubled, name="deep.doubled_plan")


@dynamic
def begins_own_plan(n: int) -> int:
    total = add(a=0, b=0)
    for number in range(n):
        total = add(a=total, b=doubled_plan(x=number))
    return total


@workflow
def own_plan(n: int) -> int:
    return begins_own_plan(n=n)


@dynamic
def begins_reference_plan(n: int) -> int:
    return add(a=tripled_there(x=n), b=scaled_elsewhere(x=n, factor=5))


@workflow
def reference_plans(n: int) -> int:
    return begins_reference_plan(n=n)


@dynamic
def maps_plans(n: int) -> list[int]:
    return map_task(tripled_there)(x=list(range(n)))


@workflow
def mapped_plans(n: int) -> list[int]:
    return maps_plans(n=n)


@dynamic
def chooses(n: int) -> int:
    first = add(a=n, b=1)
    return (
        conditional("size")
        .if_(first > 10)
        .then(doubled(x=first))
        .elif_(first > 5)
        .then(tripled_there(x=first))
        .else_()
        .then(add(a=first, b=first))
    )


@workflow
def choosing(n: int) -> int:
    return chooses(n=n)


@dynamic
def calls_guarded(n: int) -> int:
    return guarded(x=n)


@workflow
def guarded_below(n: int) -> int:
    return calls_guarded(n=n)


@dynamic
def nested_inner(n: int) -> int:
    return add(a=tripled_there(x=n), b=doubled(x=n))


@dynamic
def nested_outer(n: int) -> int:
    return add(a=nested_inner(n=n), b=chooses(n=n))


@workflow
def nested(n: int) -> int:
    return nested_outer(n=n)


@dynamic
def naps(n: int) -> int:
    first = add(a=n, b=1)
    nap = sleep(datetime.timedelta(milliseconds=10))
    second = add(a=first, b=1)
    first >> nap
    nap >> second
    return second


@workflow
def napping(n: int) -> int:
    return naps(n=n)


@dynamic
def begins_what_is_missing(n: int) -> int:
    return LaunchPlan.get_or_create(doubled, name="deep.never_registered")(x=n)


@workflow
def missing_plan(n: int) -> int:
    return begins_what_is_missing(n=n)
