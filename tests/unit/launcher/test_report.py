"""What is shown of a launch."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flyteidl.core import identifier_pb2, literals_pb2
from tests.unit.launcher.terminal import FakeTerminal

from hydraflyte.errors import ExecutionError, ExecutionFailedError
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.jobs import as_hydra_prints_it
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.wait import NOT_STARTED, Outcome

LINK = "http://127.0.0.1:30081/console/projects/flytesnacks/domains/development/executions/fit-" + "x" * 60
EMBEDDED = Endpoint(
    target="unix:socket",
    insecure=True,
    console_url="http://127.0.0.1:30081",
    front_page="http://127.0.0.1:30081/console?key=k",
    origin="a test",
    is_embedded=True,
)


def submission(number: int) -> Submission:
    execution = identifier_pb2.WorkflowExecutionIdentifier(name=f"digits-k12345678-{number}")
    return Submission(number=number, execution=execution, link=LINK)


def succeeded(number: int) -> Outcome:
    outputs = literals_pb2.LiteralMap()
    return Outcome(number=number, phase="SUCCEEDED", link=LINK, duration=timedelta(seconds=2.34), outputs=outputs)


def shown(report: SweepReport, stream: io.StringIO) -> list[str]:
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_there_is_one_line_per_event_and_a_table_at_the_end() -> None:
    stream = io.StringIO()
    report = SweepReport([(0, ["lr=0.1"]), (1, ["lr=0.2"])], stream=stream)

    with report:
        report.submitted(submission(0))
        report.ended(succeeded(0), 0.9)
    report.summary(EMBEDDED, "k12345678")

    lines = shown(report, stream)
    assert lines[0] == f"job 0 [lr=0.1] submitted: {LINK}"
    assert lines[1] == "job 0 [lr=0.1] SUCCEEDED after 2.3 s: 0.9"
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
        "job", "overrides", "phase", "duration", "output", "execution",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[5].split("|")[1:-1]] == [
        "0", "lr=0.1", "SUCCEEDED", "2.3 s", "0.9", "digits-k12345678-0",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == ["1", "lr=0.2", "-", "", "", ""]
    assert lines[-4:] == [
        f"job 0  {LINK}",
        "sweep  http://127.0.0.1:30081/console/projects/flytesnacks/domains/development/sweeps/k12345678",
        "hydraflyte executions show NAME shows one of them",
        "console: http://127.0.0.1:30081/console (it and the links open after the address that "
        "`hydraflyte status` prints)",
    ]
    assert max(len(line) for line in lines if "|" in line) < 80


def test_a_failed_job_is_shown_with_its_whole_error_at_once() -> None:
    stream = io.StringIO()
    report = SweepReport([(0, [])], stream=stream)
    error = ExecutionError("Job 0 ended FAILED: ValueError: x", hint="see the log")

    report.ended(Outcome(number=0, phase="FAILED", link=LINK, error=error), None)

    assert shown(report, stream) == ["job 0 FAILED", "Job 0 ended FAILED: ValueError: x", "hint: see the log"]


def test_what_a_job_raised_is_shown_once() -> None:
    stream = io.StringIO()
    report = SweepReport([(1, [])], stream=stream)
    error = ExecutionFailedError(
        "Job 1 ended FAILED (execution p/d/e): ValueError: x\nTraceback\nValueError: x",
        hint="see the log",
        execution="p/d/e",
        phase="FAILED",
        traceback_text="Traceback\nValueError: x",
    )

    report.ended(Outcome(number=1, phase="FAILED", link=LINK, error=error), None)

    assert shown(report, stream) == ["job 1 FAILED", "Traceback", "ValueError: x", "hint: see the log"]


def test_an_error_that_was_shown_is_brief_afterwards_and_keeps_the_whole() -> None:
    report = SweepReport([(1, ["+tag=boom"])], stream=io.StringIO())
    whole = ExecutionFailedError(
        "Job 1 ended FAILED (execution p/d/e): ValueError: x\nTraceback\nValueError: x",
        hint="see the log",
        execution="p/d/e",
        phase="FAILED",
        traceback_text="Traceback\nValueError: x",
    )

    outcome = Outcome(number=1, phase="FAILED", link=LINK, error=whole)
    raised = as_hydra_prints_it(whole, brief=report.brief(outcome))

    assert isinstance(raised, ExecutionFailedError)
    assert str(raised) == "job 1 [+tag=boom] FAILED: ValueError: x"
    assert raised.traceback_text == "Traceback\nValueError: x"
    assert raised.__cause__ is whole


def test_a_job_that_never_started_takes_one_line() -> None:
    stream = io.StringIO()
    report = SweepReport([(3, ["lr=1"])], stream=stream)
    error = ExecutionError("Job 3 was not started, because another job failed.", hint="…")

    report.ended(Outcome(number=3, phase=NOT_STARTED, error=error), None)

    assert shown(report, stream) == ["job 3 [lr=1] not started: Job 3 was not started, because another job failed."]


def test_brackets_and_colons_of_overrides_are_shown_as_they_are() -> None:
    stream = io.StringIO()
    report = SweepReport([(0, ["layers=[1,2]", "name=:smile:"])], stream=stream)

    report.submitted(submission(0))

    assert shown(report, stream)[0].startswith("job 0 [layers=[1,2] name=:smile:] submitted: http")


def test_a_long_output_is_shortened_in_the_table() -> None:
    stream = io.StringIO()
    report = SweepReport([(0, [])], stream=stream)

    report.ended(succeeded(0), "x" * 500)

    assert shown(report, stream)[0] == "job 0 SUCCEEDED after 2.3 s: '" + "x" * 58 + "…"


def test_an_interrupt_without_executions_says_so() -> None:
    stream = io.StringIO()

    SweepReport([(0, [])], stream=stream).interrupted((), "k1", 0)

    assert shown(SweepReport([], stream=stream), stream) == ["Interrupted. No execution is under way."]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "12"}.items():
        monkeypatch.setenv(name, value)
    return FakeTerminal(height=12)


def test_the_key_of_the_console_is_shown_to_a_terminal_alone(terminal: FakeTerminal) -> None:
    report = SweepReport([(0, [])], stream=terminal)

    report.summary(EMBEDDED, "k12345678")

    assert "console, to open before the links: http://127.0.0.1:30081/console?key=k" in "\n".join(terminal.screen())


def test_lines_from_many_threads_leave_no_copy_of_the_live_table_behind(terminal: FakeTerminal) -> None:
    report = SweepReport([(number, [f"lr={number}"]) for number in range(40)], stream=terminal)

    with report, ThreadPoolExecutor(max_workers=16) as pool:
        for _ in range(5):
            list(pool.map(report.submitted, [submission(number) for number in range(40)]))
            list(pool.map(lambda number: report.phase_changed(number, "RUNNING"), range(40)))
        list(pool.map(lambda number: report.ended(succeeded(number), 0.5), range(40)))
    report.summary(EMBEDDED, "k12345678")

    screen = terminal.screen()
    assert terminal.erased > 0
    assert sum("submitted: " in line for line in screen) == 200
    assert sum("SUCCEEDED after" in line for line in screen) == 40
    assert sum(line.split()[:2] == ["job", "overrides"] for line in screen) == 1


def test_a_live_table_higher_than_the_screen_leaves_nothing_behind(terminal: FakeTerminal) -> None:
    report = SweepReport([(number, [f"lr={number}"]) for number in range(20)], stream=terminal)

    with report:
        report.line("before")
        report.submitted(submission(0))

    assert [line for line in terminal.screen() if line] == ["before", f"job 0 [lr=0] submitted: {LINK}"]


def test_the_table_fits_on_80_columns_without_breaking_overrides_or_names(terminal: FakeTerminal) -> None:
    report = SweepReport([(0, ["model.learning_rate=0.01"])], stream=terminal)

    with report:
        report.submitted(submission(0))
        report.ended(succeeded(0), 0.9583333333333334)
    report.summary(EMBEDDED, "k12345678")

    screen = terminal.screen()
    assert "job 0 [model.learning_rate=0.01] SUCCEEDED after 2.3 s: 0.9583333333333334" in screen
    assert screen[-8:-5] == [
        "job  overrides                 phase      duration  output    execution",
        "────────────────────────────────────────────────────────────────────────────────",
        "0    model.learning_rate=0.01  SUCCEEDED  2.3 s     0.958333  digits-k12345678-0",
    ]


def test_a_wide_table_keeps_overrides_whole_and_folds_the_rest(terminal: FakeTerminal) -> None:
    report = SweepReport([(0, ["model.learning_rate=0.01"])], stream=terminal)

    report.ended(succeeded(0), {"accuracy": 0.9583333333333334, "loss": [0.1, 123456.789]})
    report.summary(EMBEDDED, "k12345678")

    table = terminal.screen()[1:-5]
    assert max(map(len, table)) <= 80
    assert any("model.learning_rate=0.01  SUCCEEDED" in line for line in table)
    assert "0.958333," in "".join(table)


def test_more_than_twenty_jobs_have_their_links_above_only() -> None:
    stream = io.StringIO()
    report = SweepReport([(number, []) for number in range(30)], stream=stream)

    for number in range(30):
        report.submitted(submission(number))
    report.summary(EMBEDDED, "k12345678")

    links = [line for line in shown(report, stream) if line.endswith(f"  {LINK}")]
    assert [line.split()[1] for line in links] == [str(number) for number in range(20)]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (0.9583333333333334, "0.958333"),
        (1.0, "1.0"),
        (1e-9 / 3, "3.33333e-10"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ({"a": 1 / 3, "b": "x"}, "{'a': 0.333333, 'b': 'x'}"),
        ((1 / 3, 2), "(0.333333, 2)"),
        (True, "True"),
    ],
)
def test_numbers_have_six_digits_in_the_table(output: object, expected: str) -> None:
    stream = io.StringIO()
    report = SweepReport([(0, [])], stream=stream)

    report.ended(succeeded(0), output)
    report.summary(EMBEDDED, "k12345678")

    (row,) = [line for line in shown(report, stream) if line.startswith("|0")]
    assert row.split("|")[5].strip() == expected
