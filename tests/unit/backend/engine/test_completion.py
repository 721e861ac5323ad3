from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.workflow_pb2 import Node
from tests.unit.backend.workflows import literals

from hydraflyte.backend.engine.completion import MAX_OUTPUTS_BYTES, AttemptReport, judge
from hydraflyte.backend.engine.events import AttemptFailed, AttemptSucceeded
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

ATTEMPT = AttemptId(execution=ExecutionId(project="p", domain="d", name="e1"), node=NodeId("n0"), attempt=0)
EXITED_WELL = AttemptReport(attempt=ATTEMPT, exit_code=0, declares_outputs=True, output_prefix="/o")
DIED = AttemptReport(attempt=ATTEMPT, exit_code=3, log_tail="boom", declares_outputs=True)


def error(kind: int = ContainerError.NON_RECOVERABLE, origin: int = ExecutionError.USER) -> ErrorDocument:
    return ErrorDocument(error=ContainerError(code="USER:ValueError", message="Trace", kind=kind, origin=origin))  # type: ignore[arg-type]  # enums are ints


def failure(report: AttemptReport) -> Failure:
    event = judge(report)
    assert isinstance(event, AttemptFailed)
    return event.failure


def test_declared_outputs_that_were_written_are_a_success() -> None:
    event = judge(replace(EXITED_WELL, outputs=literals(o0=1), has_deck=True))

    assert event == AttemptSucceeded(attempt=ATTEMPT, outputs=literals(o0=1), has_deck=True)


def test_a_task_without_outputs_needs_no_file() -> None:
    event = judge(replace(EXITED_WELL, declares_outputs=False))

    assert event == AttemptSucceeded(attempt=ATTEMPT, outputs=literals())


def test_outputs_that_are_missing_are_a_retryable_failure() -> None:
    found = failure(EXITED_WELL)

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.UNKNOWN, "OutputsNotFound", True)


def test_outputs_that_are_too_large_are_a_permanent_failure() -> None:
    found = failure(replace(EXITED_WELL, outputs_size_bytes=MAX_OUTPUTS_BYTES + 1))

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.USER, "OutputSizeExceeded", False)


def test_outputs_that_cannot_be_read_are_retried_for_the_system() -> None:
    found = failure(replace(EXITED_WELL, unreadable="outputs.pb is cut off"))

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.SYSTEM, "OutputsUnreadable", True)


def test_a_written_error_is_believed_before_outputs_and_exit_code() -> None:
    found = failure(replace(EXITED_WELL, outputs=literals(o0=1), error=error(), error_uri="/o/error.pb"))

    assert found == Failure(
        kind=ErrorKind.USER, code="USER:ValueError", message="Trace", is_retryable=False, uri="/o/error.pb"
    )


@pytest.mark.parametrize("kind", [ContainerError.RECOVERABLE, ContainerError.NON_RECOVERABLE])
@pytest.mark.parametrize("origin", [ExecutionError.USER, ExecutionError.SYSTEM, ExecutionError.UNKNOWN])
def test_a_written_error_says_whose_it_is_and_whether_to_retry(kind: int, origin: int) -> None:
    found = failure(replace(EXITED_WELL, error=error(kind, origin)))

    assert found.is_retryable == (kind == ContainerError.RECOVERABLE)
    assert found.kind.value == ExecutionError.ErrorKind.Name(origin)  # type: ignore[arg-type]  # enums are ints


def test_a_written_error_is_shown_after_a_bad_exit_too() -> None:
    assert failure(replace(DIED, error=error())).code == "USER:ValueError"


def test_a_bad_exit_is_the_users_and_retryable() -> None:
    found = failure(DIED)

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.USER, "Error", True)
    assert found.message == "[n0] terminated with exit code (3). Reason [Error]. Message: \nboom"


@pytest.mark.parametrize("report", [{"exit_code": 137}, {"exit_code": 247}, {"exit_code": None, "signal": 9}])
def test_sigkill_is_the_systems_and_retryable(report: dict[str, int | None]) -> None:
    found = failure(replace(DIED, **report))  # type: ignore[arg-type]  # fields of AttemptReport

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.SYSTEM, "Interrupted", True)


def test_other_signals_are_the_users() -> None:
    found = failure(replace(DIED, exit_code=None, signal=11))

    assert (found.kind, found.code) == (ErrorKind.USER, "Error")
    assert "exit code (139)" in found.message


def test_running_out_of_memory_is_the_users() -> None:
    found = failure(replace(DIED, exit_code=None, signal=9, is_out_of_memory=True))

    assert (found.kind, found.code, found.is_retryable) == (ErrorKind.USER, "OOMKilled", True)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            {"signal": 9},
            "The process was killed by SIGKILL and printed nothing; the machine may have run out of memory.",
        ),
        ({"signal": 11}, "The process was ended by SIGSEGV and printed nothing."),
        ({"exit_code": 143}, "The process was ended by SIGTERM and printed nothing."),
        ({"exit_code": 3}, "The process printed nothing."),
        ({"signal": 9, "is_out_of_memory": True}, "The process used more memory than it may, and printed nothing."),
    ],
)
def test_what_is_known_is_said_of_a_process_that_printed_nothing(report: dict[str, Any], said: str) -> None:
    found = failure(replace(DIED, **{"exit_code": None, "log_tail": "", **report}))

    assert found.message.partition("Message: \n")[2] == said


def test_a_workflow_that_was_produced_is_believed_before_all_else() -> None:
    futures = DynamicJobSpec(nodes=[Node(id="dn0")])

    end = judge(replace(EXITED_WELL, futures=futures, outputs=literals(o0=1), error=error()))

    assert end == futures


def test_a_workflow_that_a_dying_process_left_is_not_run() -> None:
    assert failure(replace(DIED, futures=DynamicJobSpec(nodes=[Node(id="dn0")]))).code == "Error"
