"""What other workflows refer to by name: registered once, under a fixed version, before they are."""

from flytekit import LaunchPlan, task, workflow


@task
def triple(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return 3 * x


@task
def scaled(x: int, factor: int, offset: int) -> int:
    return x * factor + offset


@workflow
def tripled(x: int) -> int:
    return triple(x=x)


@workflow
def scale(x: int, factor: int = 1, offset: int = 0) -> int:
    return scaled(x=x, factor=factor, offset=offset)


@workflow
def triple_without_result(x: int):
    triple(x=x)


tripled_plan = LaunchPlan.get_or_create(tripled, name="library.tripled_plan")
scale_plan = LaunchPlan.get_or_create(
    scale, name="library.scale_plan", default_inputs={"factor": 2}, fixed_inputs={"offset": 100}
)
silent_plan = LaunchPlan.get_or_create(triple_without_result, name="library.silent_plan")
