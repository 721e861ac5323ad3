"""Tasks that end badly, each in its own way."""

import os
import signal
import time
from datetime import timedelta

from flytekit import task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def explode(message: str) -> int:
    if message:
        raise ValueError(f"cannot go on: {message}")
    return 0


@workflow
def raises(message: str = "no data") -> int:
    return explode(message=message)


@task
def leave(code: int) -> int:
    print("about to leave")
    os._exit(code)
    return code


@workflow
def exits(code: int = 3) -> int:
    return leave(code=code)


@task
def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@workflow
def is_killed() -> int:
    return die()


@task
def chatter(megabytes: int) -> int:
    line = "x" * 1023 + "\n"
    for _ in range(megabytes * 1024):
        print(line, end="")
    return megabytes


@workflow
def prints_much(megabytes: int = 100) -> int:
    return chatter(megabytes=megabytes)


@task(timeout=timedelta(seconds=1))
def linger() -> int:
    time.sleep(600)
    return 1


@workflow
def never_ends() -> int:
    return linger()


@task(retries=2)
def count_attempts(folder: str) -> int:
    """Fail until the third attempt; every attempt leaves a file."""
    attempts = len(os.listdir(folder))
    open(os.path.join(folder, str(attempts)), "w").close()
    if attempts < 2:
        raise FlyteRecoverableException(f"attempt {attempts}")
    return attempts


@workflow
def recovers(folder: str) -> int:
    return count_attempts(folder=folder)


@task
def first(folder: str) -> str:
    open(os.path.join(folder, f"first-{time.monotonic_ns()}"), "w").close()
    return folder


@task
def wait_for_file(folder: str) -> str:
    """Say that it runs, then wait until somebody puts ``go`` into the folder."""
    open(os.path.join(folder, f"waiting-{time.monotonic_ns()}"), "w").close()
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.05)
    return folder


@workflow
def is_interrupted(folder: str) -> str:
    return wait_for_file(folder=first(folder=folder))
