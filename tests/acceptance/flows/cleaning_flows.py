"""Workflows that leave files behind, for themselves and for others."""

import os
from datetime import timedelta

from flytekit import approve, task, workflow
from flytekit.types.file import FlyteFile


@task
def write(text: str) -> FlyteFile:
    print(f"writing {text}")
    with open("note.txt", "w") as file:
        file.write(text)
    return FlyteFile("note.txt")


@task
def read(note: FlyteFile) -> str:
    with open(note) as file:
        return file.read()


@workflow
def writes(text: str) -> FlyteFile:
    return write(text=text)


@task
def ask() -> bool:
    return True


@task
def read_if(note: FlyteFile, may: bool) -> str:
    with open(note) as file:
        return file.read()


@workflow
def reads_later(note: FlyteFile) -> str:
    return read_if(note=note, may=approve(ask(), "go-on", timeout=timedelta(hours=1)))


@task(cache=True, cache_version="1")
def write_once(text: str, folder: str) -> FlyteFile:
    open(os.path.join(folder, f"run-{len(os.listdir(folder))}"), "w").close()
    with open("note.txt", "w") as file:
        file.write(text)
    return FlyteFile("note.txt")


@workflow
def writes_once(text: str, folder: str) -> str:
    return read(note=write_once(text=text, folder=folder))


@task
def insist(note: FlyteFile, folder: str) -> str:
    if not os.path.exists(os.path.join(folder, "mended")):
        raise ValueError("broken")
    with open(note) as file:
        return file.read()


@workflow
def breaks(text: str, folder: str) -> str:
    return insist(note=write(text=text), folder=folder)
