"""Every kind of entity that a workflow can use is found, named, ordered, and loadable from the bundle."""

from __future__ import annotations

STEPS = """
from flytekit import task

@task
def step(x: int) -> int:
    return x + 1
"""

MAIN = """
@hydra.main(version_base=None, config_path=None)
def main(cfg):
    return pipeline(x=1)

if __name__ == "__main__":
    main()
"""


def test_a_workflow_with_every_kind_of_node(project):
    project.write({"steps.py": STEPS, "train.py": EVERYTHING + MAIN})

    report = project.launch("train.py")

    assert report["error"] is None, report
    assert [name for name in report["entities"] if "map_" not in name] == [
        "task train.plain",
        "task train.on_trouble",
        "task steps.step",
        "task train.fan_out",
        "task train.in_nested_branch",
        "task train.in_branch",
        "task train.otherwise",
        "task train.recursive",
        "workflow train.inner",
        "workflow train.middle",
        "plan train.inner",
        "workflow train.planned",
        "plan nightly",
        "workflow train.pipeline",
    ]
    assert [name.partition("_")[0] for name in report["entities"] if "map_" in name] == [
        "task train.map",
        "task train.map",
    ]


def test_an_eager_task_is_launched_as_the_workflow_that_flytekit_makes_of_it(project):
    project.write({"train.py": EAGER + MAIN.replace("return pipeline(x=1)", "return asyncio.run(lively(x=1))")})

    report = project.launch("train.py")

    assert report["error"] is None, report
    assert report["entities"] == [
        "task train.step",
        "task train.lively",
        "task train.lively-cleanup",
        "workflow train.inner",
        "plan train.inner",
        "workflow train.lively",
    ]


EAGER = """
import asyncio
import hydra
from flytekit import LaunchPlan, eager, task, workflow

@task
def step(x: int) -> int:
    return x

@workflow
def inner(x: int) -> int:
    return step(x=x)

inner_plan = LaunchPlan.get_or_create(inner)

@eager
async def lively(x: int) -> int:
    return inner_plan(x=x) + step(x=x)
"""

EVERYTHING = """
import functools
import hydra
import steps
from flytekit import LaunchPlan, conditional, dynamic, map_task, reference_task, task, workflow
from flytekit.core.legacy_map_task import map_task as legacy_map_task

@task
def plain(x: int) -> int:
    return x

@task
def on_trouble(x: int) -> None:
    pass

@task
def mapped(x: int, y: int) -> int:
    return x + y

@task
def in_branch(x: int) -> int:
    return x

@task
def in_nested_branch(x: int) -> int:
    return x

@task
def otherwise(x: int) -> int:
    return x

@task
def not_used(x: int) -> int:
    return x

@reference_task(project="p", domain="d", name="elsewhere.task", version="1")
def fetched(x: int) -> int:
    ...

@workflow
def inner(x: int) -> int:
    return plain(x=x)

@workflow(on_failure=on_trouble)
def middle(x: int) -> int:
    return inner(x=x)

@workflow
def planned(x: int) -> int:
    return inner(x=x)

inner_plan = LaunchPlan.get_or_create(inner)
nightly = LaunchPlan.get_or_create(planned, name="nightly", default_inputs={"x": 3})
STAGES = [nightly]

def helper(x):
    inner_plan(x=x)
    return steps.step(x=x)

@dynamic
def fan_out(x: int) -> int:
    return helper(x)

@dynamic
def recursive(x: int) -> int:
    for stage in STAGES:
        stage(x=x)
    return recursive(x=x - 1) if x else plain(x=x)

@workflow
def pipeline(x: int) -> int:
    a = middle(x=x)
    map_task(functools.partial(mapped, y=a))(x=[1, 2])
    legacy_map_task(plain)(x=[1, 2])
    fan_out(x=a)
    fetched(x=a)
    c = (
        conditional("outer").if_(x > 3).then(
            conditional("nested").if_(x > 5).then(in_nested_branch(x=x)).else_().fail("too small")
        ).elif_(x > 2).then(in_branch(x=x)).else_().then(otherwise(x=x))
    )
    return recursive(x=c)
"""
