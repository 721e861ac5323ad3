"""What the tests of unmodified clients register once: a deck, a file, a sub-workflow, a gate, a schedule."""

from datetime import datetime, timedelta
from pathlib import Path

from flytekit import CronSchedule, LaunchPlan, approve, current_context, task, workflow
from flytekit.deck import Deck
from flytekit.types.file import FlyteFile


@task(enable_deck=True)
def show(x: int) -> int:
    Deck("numbers", f"<p>the number {x}</p>")
    print(f"showing {x}")
    return x


@task(cache=True, cache_version="1")
def counted(x: int) -> int:
    return x + 1


@task
def write(x: int) -> FlyteFile:
    path = Path(current_context().working_directory) / "number.txt"
    path.write_text(f"number {x}\n")
    return FlyteFile(str(path))


@workflow
def written(x: int) -> FlyteFile:
    return write(x=x)


@workflow
def story(x: int = 3) -> tuple[int, FlyteFile]:
    """Show a number and write it to a file, the latter in a sub-workflow."""
    return show(x=x), written(x=x)


@workflow
def asks(x: int = 1) -> int:
    return show(x=approve(show(x=x), "go-on", timeout=timedelta(minutes=2)))


@task
def stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%d")


@workflow
def at_time(when: datetime) -> str:
    return stamp(when=when)


nightly = LaunchPlan.get_or_create(
    at_time,
    name="client_flows.nightly",
    schedule=CronSchedule(schedule="0 3 * * *", kickoff_time_input_arg="when"),
)
