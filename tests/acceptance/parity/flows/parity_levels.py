"""Workflows in workflows, in order and at once, as functions and imperatively, with failure handlers and policies."""

import os
from pathlib import Path
from typing import NamedTuple

from flytekit import Workflow, WorkflowFailurePolicy, task, workflow
from flytekit.core.task import Echo
from flytekit.types.error.error import FlyteError


class Sums(NamedTuple):
    total: int
    steps: str


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def join(a: str, b: str) -> str:
    return a + b


@task
def refuse(x: int) -> int:
    if x:
        raise ValueError(f"no {x}")
    return x


@task
def nothing():
    print("nothing to give")


@task
def mark(folder: str, name: str) -> str:
    Path(folder, name).touch()
    return name


@task
def marks_before(folder: str) -> str:
    return ",".join(sorted(os.listdir(folder)))


@task
def clean_up(x: int, folder: str, err: FlyteError | None = None):
    Path(folder, "handled").write_text(f"{x} {err.failed_node_id if err else None} {err.message if err else None}")


@task
def clean_up_badly(x: int):
    raise RuntimeError(f"cannot clean up after {x}")


@workflow
def inner(a: int) -> int:
    return add(a=add(a=a), b=10)


@workflow
def middle(a: int) -> Sums:
    return inner(a=a), join(a="in", b="ner")


@workflow
def nested_twice(a: int) -> Sums:
    first = middle(a=a)
    second = middle(a=first.total)
    return second.total, join(a=first.steps, b=second.steps)


@workflow
def passes_through(a: int) -> tuple[int, int]:
    return a, add(a=a)


@workflow
def constants_and_defaults(a: int = 3) -> tuple[int, str]:
    return add(a=a), join(a="x", b="y")


@workflow
def no_inputs_no_outputs():
    nothing()


@workflow
def in_the_order_told(folder: str) -> str:
    first = mark(folder=folder, name="a")
    second = mark(folder=folder, name="b")
    last = marks_before(folder=folder)
    first >> second >> last
    return last


@workflow
def lists_and_dicts_of_promises(a: int) -> tuple[list[int], dict[str, int]]:
    one, two = add(a=a), add(a=a, b=2)
    return keep_list(xs=[one, two, 7]), keep_dict(xs={"one": one, "two": two})


@task
def keep_list(xs: list[int]) -> list[int]:
    return xs


@task
def keep_dict(xs: dict[str, int]) -> dict[str, int]:
    return xs


@workflow
def fails_at_once(x: int, folder: str) -> str:
    failed = refuse(x=x)
    after = add(a=failed)
    last = mark(folder=folder, name="never")
    after >> last
    return last


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def finishes_others(x: int, folder: str) -> int:
    failed = refuse(x=x)
    other = mark(folder=folder, name="other")
    mark(folder=other_folder(folder=folder, name=other), name="after")
    return add(a=failed)


@task
def other_folder(folder: str, name: str) -> str:
    return folder


@workflow(on_failure=clean_up)
def is_cleaned_up(x: int, folder: str) -> int:
    return refuse(x=x)


@workflow(on_failure=clean_up_badly)
def clean_up_fails(x: int) -> int:
    return refuse(x=x)


@workflow(on_failure=clean_up)
def needs_no_clean_up(x: int, folder: str) -> int:
    return add(a=x)


@workflow
def sub_workflow_is_cleaned_up(x: int, folder: str) -> int:
    return add(a=is_cleaned_up(x=x, folder=folder))


@workflow
def fails_below(x: int) -> int:
    return add(a=fails_inside(x=x))


@workflow
def fails_inside(x: int) -> int:
    return refuse(x=x)


echo = Echo(name="parity.echo", inputs={"a": int})


@workflow
def echoes(a: int) -> int:
    return add(a=echo(a=a))


imperative = Workflow(name="parity_levels.imperative")
imperative.add_workflow_input("a", int)
_first = imperative.add_entity(add, a=imperative.inputs["a"], b=1)
_second = imperative.add_entity(inner, a=_first.outputs["o0"])
imperative.add_workflow_output("result", _second.outputs["o0"])
