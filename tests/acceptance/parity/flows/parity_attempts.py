"""Retries of every kind, timeouts, overrides, checkpoints, decks, environments: what an attempt is told and leaves."""

import datetime
import itertools
import os
import signal
import time
from pathlib import Path

from flytekit import Deck, Resources, current_context, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


def attempt() -> int:
    return int(os.environ.get("FLYTE_ATTEMPT_NUMBER", "0"))


@task(retries=2)
def recovers(x: int) -> int:
    if attempt() < 2 and "FLYTE_ATTEMPT_NUMBER" in os.environ:
        raise FlyteRecoverableException(f"attempt {attempt()}")
    return x


@task(retries=1)
def never_recovers(x: int) -> int:
    if x:
        raise FlyteRecoverableException(f"attempt {attempt()} of {x}")
    return x


@task(retries=3)
def plain_error(x: int) -> int:
    if x:
        raise ValueError(f"attempt {attempt()} of {x}")
    return x


@task(retries=1)
def exits(code: int) -> int:
    os._exit(code)
    return code


@task
def exits_once(code: int) -> int:
    os._exit(code)
    return code


@task
def is_killed_twice(x: int) -> int:
    if "FLYTE_ATTEMPT_NUMBER" in os.environ and attempt() < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@task
def counts_attempts(x: int) -> str:
    if "FLYTE_ATTEMPT_NUMBER" in os.environ and attempt() < 2:
        raise FlyteRecoverableException("again")
    return f"{x} in attempt {attempt()}"


@task
def takes_its_time(seconds: int) -> int:
    if "FLYTE_ATTEMPT_NUMBER" in os.environ:
        time.sleep(seconds)
    return seconds


@task(retries=2)
def goes_on(x: int) -> int:
    """Fail until the checkpoint says that it was begun twice."""
    checkpoint = current_context().checkpoint
    before = checkpoint.read()
    count = int(before.decode()) if before else 0
    checkpoint.write(f"{count + 1}".encode())
    if "FLYTE_ATTEMPT_NUMBER" in os.environ and count < 2:
        raise FlyteRecoverableException(f"begun {count + 1} times")
    return x


@task(enable_deck=True)
def draws(x: int) -> int:
    Deck("figures", f"<b>{x} in bold</b>")
    return x


@task
def shows(name: str) -> str:
    return os.environ.get(name, "not set")


@task(environment={"COLOUR": "of the task"})
def colour() -> str:
    return os.environ["COLOUR"]


@task(interruptible=True)
def interruptible(x: int) -> int:
    return x


@task(requests=Resources(cpu="1", mem="64Mi"), limits=Resources(cpu="1", mem="512Mi"))
def modest(x: int) -> int:
    return x


@task
def context(x: int) -> dict[str, str]:
    found = current_context()
    return {
        "project": found.execution_id.project,
        "domain": found.execution_id.domain,
        "execution": found.execution_id.name,
        "task": found.task_id.name,
    }


@task
def marks(folder: str, name: str) -> str:
    """Note how many of these run at once."""
    mine = Path(folder, name)
    mine.touch()
    most = len(list(Path(folder).iterdir()))
    time.sleep(0.15 if "FLYTE_ATTEMPT_NUMBER" in os.environ else 0)
    mine.unlink()
    return str(most)


@task
def largest(numbers: list[str]) -> int:
    return max(map(int, numbers))


@workflow
def recoverable(x: int) -> int:
    return recovers(x=x)


@workflow
def unrecoverable(x: int) -> int:
    return never_recovers(x=x)


@workflow
def not_retried(x: int) -> int:
    return plain_error(x=x)


@workflow
def exit_codes(code: int) -> int:
    return exits(code=code)


@workflow
def exit_code_without_retries(code: int) -> int:
    return exits_once(code=code)


@workflow
def system_failures(x: int) -> int:
    return is_killed_twice(x=x)


@workflow
def checkpoints(x: int) -> int:
    return goes_on(x=x)


@workflow
def deck(x: int) -> int:
    return draws(x=x)


@workflow
def environment(name: str) -> tuple[str, str]:
    return shows(name=name), colour()


@workflow
def may_be_interrupted(x: int) -> int:
    return interruptible(x=x)


@workflow
def overridden_retries(x: int) -> str:
    return counts_attempts(x=x).with_overrides(retries=2)


@workflow
def overridden_timeout(seconds: int) -> int:
    return takes_its_time(seconds=seconds).with_overrides(timeout=datetime.timedelta(seconds=1))


@workflow
def overridden_names_and_resources(x: int) -> int:
    first = modest(x=x).with_overrides(node_name="small", name="a small one", requests=Resources(cpu="1", mem="32Mi"))
    return modest(x=first).with_overrides(node_name="other-image", container_image="registry.example/other:1")


@workflow
def told_who_it_is(x: int) -> dict[str, str]:
    return context(x=x)


@workflow
def four_at_once(folder: str) -> int:
    return largest(
        numbers=[
            marks(folder=folder, name="a"),
            marks(folder=folder, name="b"),
            marks(folder=folder, name="c"),
            marks(folder=folder, name="d"),
        ]
    )


@task
def span(number: int) -> list[float]:
    begun = time.time()
    time.sleep(0.3)
    return [begun, time.time()]


@task
def overlaps(spans: list[list[float]]) -> int:
    in_order = sorted(spans)
    return sum(later[0] < earlier[1] for earlier, later in itertools.pairwise(in_order))


@workflow
def side_by_side() -> int:
    return overlaps(spans=[span(number=0), span(number=1), span(number=2)])
