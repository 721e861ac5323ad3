"""From submissions to outcomes, on a scripted backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Lock

import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from tests.unit.launcher.scripted_client import ScriptedFlyteClient

from hydraflyte.errors import BackendUnavailableError, ExecutionError, ExecutionFailedError
from hydraflyte.launcher.execute import Submission, submit
from hydraflyte.launcher.wait import Outcome, Sweep, Watcher

Phase = core_execution_pb2.WorkflowExecution
LAUNCH_PLAN = identifier_pb2.Identifier(
    resource_type=identifier_pb2.LAUNCH_PLAN, project="p", domain="d", name="wf", version="v"
)
AWAY = BackendUnavailableError("No Flyte backend answers.", hint="a test")


class Seen:
    """Remembers what a sweep tells while it runs."""

    def __init__(self) -> None:
        self.submitted: list[int] = []
        self.phases: list[tuple[int, str]] = []

    def watcher(self) -> Watcher:
        return Watcher(
            submitted=lambda submission: self.submitted.append(submission.number),
            phase_changed=lambda number, phase: self.phases.append((number, phase)),
        )


def sweep_on(client: ScriptedFlyteClient, seen: Seen, *, window: int | None = None) -> Sweep:
    client.create(LAUNCH_PLAN, launch_plan_pb2.LaunchPlanSpec())

    def start(number: int) -> Submission:
        request = execution_pb2.ExecutionCreateRequest(project="p", domain="d", name=f"job-{number}")
        request.spec.launch_plan.CopyFrom(LAUNCH_PLAN)
        return submit(client, number, request)

    return Sweep(client=client, start=start, watcher=seen.watcher(), window=window, source_root=Path("/nowhere"))


def outcomes_of(sweep: Sweep, numbers: Sequence[int]) -> Iterator[Outcome]:
    for step in sweep.run_all(numbers, len(numbers)):
        assert isinstance(step, Outcome)
        yield step


def run(sweep: Sweep, numbers: Sequence[int]) -> dict[int, Outcome]:
    return {outcome.number: outcome for outcome in outcomes_of(sweep, numbers)}


def test_every_job_is_submitted_and_followed_to_its_end() -> None:
    seen = Seen()
    client = ScriptedFlyteClient(default_script=(Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED))

    outcomes = run(sweep_on(client, seen), range(3))

    assert sorted(seen.submitted) == [0, 1, 2]
    assert {number: outcome.phase for number, outcome in outcomes.items()} == {
        0: "SUCCEEDED",
        1: "SUCCEEDED",
        2: "SUCCEEDED",
    }
    assert outcomes[1].duration == timedelta(seconds=3)
    assert outcomes[1].link == "http://console/console/projects/p/domains/d/executions/job-1"
    assert [phase for number, phase in seen.phases if number == 1] == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_a_failed_job_keeps_no_other_from_its_end() -> None:
    client = ScriptedFlyteClient(scripts={"job-1": (Phase.FAILED,)})

    outcomes = run(sweep_on(client, Seen()), range(3))

    assert [outcomes[number].phase for number in range(3)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    error = outcomes[1].error
    assert isinstance(error, ExecutionFailedError)
    assert error.message.startswith("Job 1 ended FAILED (execution p/d/job-1): ValueError: x\n")
    assert error.traceback_text.splitlines()[-1] == "ValueError: x"
    assert error.hint == "see http://console/console/projects/p/domains/d/executions/job-1"


def test_an_outcome_is_there_as_soon_as_its_job_ends() -> None:
    client = ScriptedFlyteClient(scripts={"job-0": (Phase.RUNNING,)})  # never ends by itself
    sweep = sweep_on(client, Seen())

    outcomes = outcomes_of(sweep, range(2))
    first = next(outcomes)
    sweep.cancel_rest("enough")
    second = next(outcomes)

    assert (first.number, first.phase) == (1, "SUCCEEDED")
    assert (second.number, second.phase) == (0, "ABORTED")
    assert client.terminated == {"job-0": "enough"}
    assert second.error is not None
    assert "enough" in second.error.message


@pytest.mark.parametrize("count", [2, 60])
def test_jobs_that_could_not_be_cancelled_are_cancelled_when_the_backend_is_back(count: int) -> None:
    seen, lines = Seen(), list[str]()
    client = ScriptedFlyteClient(default_script=(Phase.RUNNING,), deaf=count)
    sweep = sweep_on(client, seen)
    one_by_one = Lock()

    def submitted(submission: Submission) -> None:
        with one_by_one:
            seen.submitted.append(submission.number)
            if len(seen.submitted) == count:
                sweep.cancel_rest("enough")

    sweep.watcher = replace(sweep.watcher, submitted=submitted, line=lines.append)
    outcomes = run(sweep, range(count))

    assert lines == [f"{count} of {count} executions are cancelled when the backend is back"]
    assert {outcome.phase for outcome in outcomes.values()} == {"ABORTED"}
    assert set(client.terminated.values()) == {"enough"}


def test_a_job_that_is_being_submitted_while_the_rest_is_cancelled_is_cancelled_too() -> None:
    client = ScriptedFlyteClient(default_script=(Phase.RUNNING,))
    sweep = sweep_on(client, Seen())
    start = sweep.start

    def start_and_cancel(number: int) -> Submission:
        submission = start(number)
        sweep.cancel_rest("enough")
        return submission

    sweep.start = start_and_cancel
    outcomes = run(sweep, [0])

    assert outcomes[0].phase == "ABORTED"
    assert client.terminated == {"job-0": "enough"}


def test_a_job_waits_until_the_window_has_room_for_it() -> None:
    client = ScriptedFlyteClient(scripts={"job-0": (Phase.RUNNING,)})  # never ends by itself
    sweep = sweep_on(client, Seen(), window=2)

    outcomes = outcomes_of(sweep, range(4))
    first = next(outcomes)
    started_by_then = sorted(client.executions)
    second = next(outcomes)
    sweep.cancel_rest("stop")
    rest = {outcome.number: outcome for outcome in outcomes}

    assert first.number == 1
    assert started_by_then == ["job-0", "job-1"]
    assert second.number == 2
    assert rest[0].phase == "ABORTED"
    assert rest[3].phase == "not started"
    assert isinstance(rest[3].error, ExecutionError)


def test_a_job_that_is_not_accepted_fails_alone() -> None:
    client = ScriptedFlyteClient()
    sweep = sweep_on(client, Seen())
    sweep.start = _refusing_the_second(sweep)

    outcomes = run(sweep, range(3))

    assert [outcomes[number].phase for number in range(3)] == ["SUCCEEDED", "not started", "SUCCEEDED"]


def _refusing_the_second(sweep: Sweep) -> Callable[[int], Submission]:
    accepted = sweep.start

    def start(number: int) -> Submission:
        if number == 1:
            raise ExecutionError("Job 1 was not accepted.", hint="a test")
        return accepted(number)

    return start


def test_a_backend_that_is_away_for_a_while_is_waited_for() -> None:
    client = ScriptedFlyteClient(default_script=(Phase.RUNNING, AWAY, AWAY, Phase.SUCCEEDED))

    outcomes = run(sweep_on(client, Seen()), [0])

    assert outcomes[0].phase == "SUCCEEDED"


@pytest.mark.parametrize("count", [2, 60])
def test_a_backend_that_stays_away_is_told_of_once_and_its_jobs_are_given_up_on(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydraflyte.launcher.absence._QUIET_S", 0.1)
    lines: list[str] = []
    client = ScriptedFlyteClient(default_script=(Phase.RUNNING, AWAY))
    sweep = sweep_on(client, Seen())
    watcher = replace(sweep.watcher, line=lines.append)

    outcomes = run(replace(sweep, watcher=watcher, patience_s=0.5), range(count))

    assert lines == ["the backend at scripted:1 is away; waiting for it for 0 s"]
    assert len(outcomes) == count
    assert outcomes[1].error is not None
    assert outcomes[1].error.message == "How job 1 has ended is not known: the backend at scripted:1 was away for 0 s."


def test_more_jobs_than_pollers_all_come_to_their_end() -> None:
    client = ScriptedFlyteClient(default_script=(Phase.RUNNING, Phase.SUCCEEDED))

    outcomes = run(sweep_on(client, Seen()), range(120))

    assert len(outcomes) == 120
    assert {outcome.phase for outcome in outcomes.values()} == {"SUCCEEDED"}


def test_submitting_without_waiting_asks_for_no_execution() -> None:
    client = ScriptedFlyteClient(default_script=(AWAY,))

    submissions = list(sweep_on(client, Seen()).submit_all(range(2)))

    assert [submission.number for submission in submissions] == [0, 1]
    assert sorted(client.executions) == ["job-0", "job-1"]


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.TIMED_OUT])
def test_every_other_end_than_success_is_an_error(phase: int) -> None:
    outcomes = run(sweep_on(ScriptedFlyteClient(default_script=(phase,)), Seen()), [0])

    assert outcomes[0].phase == Phase.Phase.Name(phase)
    assert isinstance(outcomes[0].error, ExecutionFailedError)


@pytest.mark.parametrize("stopper", [SystemExit(1), ValueError("a defect")])
def test_what_stops_a_submitting_thread_is_raised_instead_of_waiting_for_ever(stopper: BaseException) -> None:
    def show(submission: Submission) -> None:
        raise stopper  # as rich does when stdout was closed (`| head -1`)

    client = ScriptedFlyteClient()
    sweep = replace(sweep_on(client, Seen()), watcher=Watcher(submitted=show, phase_changed=lambda number, phase: None))

    with pytest.raises(type(stopper)):
        run(sweep, range(2))


def test_what_stops_a_following_thread_is_raised_instead_of_waiting_for_ever() -> None:
    def show(number: int, phase: str) -> None:
        raise OSError("No space left on device")

    client = ScriptedFlyteClient()
    sweep = replace(sweep_on(client, Seen()), watcher=Watcher(submitted=lambda submission: None, phase_changed=show))

    with pytest.raises(OSError, match="No space left"):
        run(sweep, range(2))
