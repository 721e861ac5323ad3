"""Workflows whose tasks are cached, and leave a mark whenever they run."""

import os
import time
from typing import Annotated

from flytekit import HashMethod, map_task, task, workflow


def mark(folder: str, name: str) -> None:
    open(os.path.join(folder, f"{name}.{time.monotonic_ns()}"), "w").close()


@task(cache=True, cache_version="1", cache_ignore_input_vars=("label",))
def total(folder: str, a: int, label: str) -> int:
    mark(folder, "total")
    return a + 1


@workflow
def sums(folder: str, a: int, label: str = "plain") -> int:
    return total(folder=folder, a=a, label=label)


class Table:
    """A value that travels as a pickle: its literal names a file, and says nothing of what is in it."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


def content_of(table: Table) -> str:
    return str(table.rows)


@task
def load(rows: int, nonce: str) -> Annotated[Table, HashMethod(content_of)]:
    return Table(rows)


@task(cache=True, cache_version="1")
def count(table: Table, folder: str) -> int:
    mark(folder, "count")
    return table.rows


@workflow
def counts(folder: str, rows: int, nonce: str) -> int:
    return count(table=load(rows=rows, nonce=nonce), folder=folder)


@task(cache=True, cache_serialize=True, cache_version="1")
def slow(folder: str) -> str:
    """Say that it runs, then wait until somebody puts ``go`` into the folder."""
    mark(folder, "slow")
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.02)
    return "done"


@workflow
def takes_turns(folder: str) -> str:
    return slow(folder=folder)


@task(cache=True, cache_version="1")
def square(x: int) -> int:
    return x * x


@workflow
def squares(xs: list[int]) -> list[int]:
    return map_task(square)(x=xs)
