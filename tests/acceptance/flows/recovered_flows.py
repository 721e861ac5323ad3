"""Workflows that fail until a file is there, and leave a mark for every task that runs."""

import functools
import os
import time

from flytekit import LaunchPlan, WorkflowFailurePolicy, conditional, current_context, dynamic, map_task, task, workflow

FIXED = "fixed"  # the file that makes fragile tasks succeed


def mark(folder: str, name: str) -> None:
    open(os.path.join(folder, f"{name}.{time.monotonic_ns()}"), "w").close()


@task
def steady(folder: str, name: str) -> str:
    mark(folder, name)
    return name


@task
def fragile(folder: str, name: str) -> str:
    mark(folder, name)
    if not os.path.exists(os.path.join(folder, FIXED)):
        raise ValueError(f"{name} is broken")
    return name


@workflow
def chain(folder: str) -> str:
    return fragile(folder=folder, name=steady(folder=folder, name="first"))


@workflow
def sound_part(folder: str, name: str) -> str:
    return steady(folder=folder, name=name)


@workflow
def broken_part(folder: str, name: str) -> str:
    return fragile(folder=folder, name=steady(folder=folder, name=name))


@dynamic
def sound_dynamic(folder: str) -> str:
    mark(folder, "sound_dynamic")
    return steady(folder=folder, name="in_sound_dynamic")


@dynamic
def broken_dynamic(folder: str) -> str:
    mark(folder, "broken_dynamic")
    return fragile(folder=folder, name=steady(folder=folder, name="in_broken_dynamic"))


@task
def mapped(number: int, folder: str) -> int:
    mark(folder, f"item{number}")
    if number == 1 and not os.path.exists(os.path.join(folder, FIXED)):
        raise ValueError(f"item {number} is broken")
    return number * 10


sound_plan = LaunchPlan.get_or_create(sound_part, name="recovered.sound_plan")
broken_plan = LaunchPlan.get_or_create(broken_part, name="recovered.broken_plan")


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def every_construct(folder: str, kind: str) -> list[int]:
    sound_part(folder=folder, name="in_sound_part")
    broken_part(folder=folder, name="in_broken_part")
    sound_dynamic(folder=folder)
    broken_dynamic(folder=folder)
    items = map_task(functools.partial(mapped, folder=folder), concurrency=1)(number=[0, 1, 2])
    sound_plan(folder=folder, name="in_sound_child")
    broken_plan(folder=folder, name="in_broken_child")
    conditional("arm").if_(kind == "sound").then(steady(folder=folder, name="arm")).else_().fail("no such kind")
    return items


@task
def saves_checkpoint(folder: str) -> str:
    """Fail after half of the work; the other half goes on from a checkpoint."""
    checkpoint = current_context().checkpoint
    done = checkpoint.read() or b""
    mark(folder, f"begins_with_{len(done)}_bytes")
    checkpoint.write(b"half")
    if not os.path.exists(os.path.join(folder, FIXED)):
        raise ValueError("half of it is done")
    return done.decode()


@workflow
def has_checkpoint(folder: str) -> str:
    return saves_checkpoint(folder=folder)


@task
def clean(folder: str) -> None:
    mark(folder, "clean")


@workflow(on_failure=clean)
def cleans_up(folder: str) -> str:
    return fragile(folder=folder, name=steady(folder=folder, name="first"))
