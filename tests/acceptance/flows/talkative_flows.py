"""Tasks that print while they run, in step with whoever reads."""

import os
import sys
import time

from flytekit import task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task(retries=1)
def talk(folder: str) -> str:
    attempt = os.environ["FLYTE_ATTEMPT_NUMBER"]
    print(f"attempt {attempt} begins")
    while not os.path.exists(os.path.join(folder, f"go-{attempt}")):
        time.sleep(0.02)
    print(f"attempt {attempt} goes on", file=sys.stderr)
    if attempt == "0":
        raise FlyteRecoverableException("once more")
    return folder


@task
def close(folder: str) -> str:
    print("the last words")
    return folder


@workflow
def talks(folder: str) -> str:
    return close(folder=talk(folder=folder))
