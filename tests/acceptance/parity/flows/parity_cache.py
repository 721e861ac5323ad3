"""Cached tasks: hits, ignored inputs, hashes of literals, versions, what is never cached."""

import time
import uuid
from pathlib import Path
from typing import Annotated

from flytekit import Cache, HashMethod, task, workflow
from flytekit.types.file import FlyteFile


def content_of(file: FlyteFile) -> str:
    return Path(file).read_text()


HashedFile = Annotated[FlyteFile, HashMethod(content_of)]


@task(cache=Cache(version="1"))
def draw(key: str) -> str:
    return f"{key} {uuid.uuid4()}"


@task(cache=Cache(version="1", ignored_inputs=("noise",)))
def draw_whatever(key: str, noise: int) -> str:
    return f"{key} {uuid.uuid4()}"


@task(cache=Cache(version="1"))
def print_only(key: str):
    print(key)


@task
def write(key: str) -> HashedFile:
    path = Path(f"{uuid.uuid4()}.txt").absolute()
    path.write_text(key)
    return FlyteFile(path=str(path))


@task(cache=Cache(version="1"))
def read(file: FlyteFile) -> str:
    return f"{Path(file).read_text()} {uuid.uuid4()}"


@task
def plain(key: str) -> str:
    return f"{key} {uuid.uuid4()}"


@task(cache=Cache(version="1", serialize=True))
def draw_slowly(key: str) -> str:
    time.sleep(1)
    return f"{key} {uuid.uuid4()}"


@workflow
def draws(key: str) -> str:
    return draw(key=key)


@workflow
def draws_elsewhere(key: str) -> str:
    return plain(key=draw(key=key))


@workflow
def ignores(key: str, noise: int) -> str:
    return draw_whatever(key=key, noise=noise)


@workflow
def gives_nothing(key: str):
    print_only(key=key)


@workflow
def hashes(key: str) -> str:
    return read(file=write(key=key))


@workflow
def overrides(key: str) -> str:
    return plain(key=key).with_overrides(cache=Cache(version="of the node"))


@workflow
def draws_one_at_a_time(key: str) -> str:
    return draw_slowly(key=key)
