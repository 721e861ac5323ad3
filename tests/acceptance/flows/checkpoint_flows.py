"""Tasks that go on where their last attempt stopped."""

import os

from flytekit import current_context, map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task(retries=3)
def count_up(target: int) -> list[int]:
    """Take one step per attempt; return where each attempt could have begun."""
    checkpoint = current_context().checkpoint
    steps = list(checkpoint.read() or b"")
    steps.append(len(steps))
    if len(steps) < target:
        checkpoint.write(bytes(steps))
        raise FlyteRecoverableException(f"stopped after step {len(steps)}")
    return steps


@workflow
def resumes(target: int) -> list[int]:
    return count_up(target=target)


@task(retries=3)
def forget_once() -> list[str]:
    """The first attempt dies before it has written anything, the second writes, the third reads."""
    checkpoint = current_context().checkpoint
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt == 0:
        os._exit(1)
    found = checkpoint.read()
    if attempt == 1:
        checkpoint.write(f"attempt 1 found {found}".encode())
        os._exit(1)
    return [str(checkpoint.prev_exists()), found.decode()]


@workflow
def resumes_after_a_crash() -> list[str]:
    return forget_once()


@task(retries=1)
def resume_item(number: int) -> int:
    checkpoint = current_context().checkpoint
    found = checkpoint.read()
    if found is None:
        checkpoint.write(bytes([number]))
        raise FlyteRecoverableException("once")
    return found[0] * 10


@workflow
def items_resume(numbers: list[int]) -> list[int]:
    return map_task(resume_item)(number=numbers)
