"""How an attempt ended, judged from what its process left behind.

Follows flytepropeller and flyteplugins (nodes/task/handler.go, flytek8s/pod_helper.go). The one rule: what the
process wrote is believed before how it exited; flytekit exits 0 after writing ``error.pb``. Reads no file: the
executor did.
"""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals

from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.events import AttemptFailed, AttemptSucceeded
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.identifiers import AttemptId

MAX_OUTPUTS_BYTES = 10 * 1024 * 1024  # what Flyte's charts allow (storage.limits.maxDownloadMBs)
SIGKILL = 9
_KILLED_EXIT_CODES = frozenset({128 + SIGKILL, 256 - SIGKILL})  # as a shell or a runtime passes SIGKILL on


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """What is known when an attempt's process has ended.

    Attributes:
        exit_code: status, or None if a signal ended the process.
        signal: number of that signal, or None.
        log_tail: the last lines that the process printed.
        declares_outputs: whether the task's interface has outputs.
        outputs: content of ``outputs.pb``, or None if there is no such file.
        outputs_size_bytes: its size; one that is too large need not be parsed.
        error: content of ``error.pb``, or None if there is no such file.
        error_uri: path of ``error.pb``.
        output_prefix: directory of the files above, for messages.
        unreadable: why ``outputs.pb``, ``error.pb`` or ``futures.pb`` exists but cannot be parsed, or ``""``.
        futures: content of ``futures.pb``, or None if there is no such file.
        has_deck: whether there is a ``deck.html``.
        is_out_of_memory: whether the process was killed because it used too much memory.
    """

    attempt: AttemptId
    exit_code: int | None = None
    signal: int | None = None
    log_tail: str = ""
    declares_outputs: bool = False
    outputs: LiteralMap | None = None
    outputs_size_bytes: int = 0
    error: ErrorDocument | None = None
    error_uri: str = ""
    output_prefix: str = ""
    unreadable: str = ""
    futures: DynamicJobSpec | None = None
    has_deck: bool = False
    is_out_of_memory: bool = False


def judge(report: AttemptReport) -> AttemptSucceeded | AttemptFailed | DynamicJobSpec:
    """Return how the attempt ended, or the specification of the workflow that it produced instead of outputs."""
    if report.futures is not None and report.exit_code == 0 and report.signal is None:
        return report.futures  # whatever else the process wrote (nodes/task/handler.go)
    failure = _failure(report)
    if failure is not None:
        return AttemptFailed(attempt=report.attempt, failure=failure, has_deck=report.has_deck)
    outputs = report.outputs if report.outputs is not None else LiteralMap()
    return AttemptSucceeded(attempt=report.attempt, outputs=outputs, has_deck=report.has_deck)


def _failure(report: AttemptReport) -> Failure | None:
    has_exited_well = report.exit_code == 0 and report.signal is None
    if report.error is not None:  # also after a bad exit: flytepropeller would not look, but users want to see it
        return _written_failure(report.error.error, report.error_uri)
    if not has_exited_well:
        return _exit_failure(report)
    return _outputs_failure(report)


def _written_failure(error: ContainerError, uri: str) -> Failure:
    kind = ErrorKind(ExecutionError.ErrorKind.Name(error.origin))
    is_retryable = error.kind == ContainerError.RECOVERABLE
    return Failure(kind=kind, code=error.code, message=error.message, is_retryable=is_retryable, uri=uri)


def _exit_failure(report: AttemptReport) -> Failure:
    if report.is_out_of_memory:
        return _user("OOMKilled", _termination(report, "OOMKilled"), is_retryable=True)
    if report.signal == SIGKILL or report.exit_code in _KILLED_EXIT_CODES:
        message = _termination(report, "Interrupted")
        return Failure(kind=ErrorKind.SYSTEM, code="Interrupted", message=message, is_retryable=True)
    return _user("Error", _termination(report, "Error"), is_retryable=True)


def _termination(report: AttemptReport, reason: str) -> str:
    code = 128 + report.signal if report.signal is not None else report.exit_code
    told = report.log_tail if report.log_tail.strip() else _unsaid(report)
    return f"[{report.attempt.node}] terminated with exit code ({code}). Reason [{reason}]. Message: \n{told}"


def _unsaid(report: AttemptReport) -> str:
    """Return what is known of the end of a process that printed nothing, where Flyte says nothing."""
    number = report.signal
    if number is None and report.exit_code is not None:
        number = SIGKILL if report.exit_code in _KILLED_EXIT_CODES else report.exit_code - 128
    if report.is_out_of_memory:
        return "The process used more memory than it may, and printed nothing."
    if number == SIGKILL:
        return "The process was killed by SIGKILL and printed nothing; the machine may have run out of memory."
    if number in frozenset(Signals):
        return f"The process was ended by {Signals(number).name} and printed nothing."
    return "The process printed nothing."


def _outputs_failure(report: AttemptReport) -> Failure | None:
    if report.unreadable:
        return Failure(kind=ErrorKind.SYSTEM, code="OutputsUnreadable", message=report.unreadable, is_retryable=True)
    if not report.declares_outputs:
        return None
    if report.outputs_size_bytes > MAX_OUTPUTS_BYTES:
        size = f"{report.outputs_size_bytes} bytes, more than {MAX_OUTPUTS_BYTES}"
        return _user("OutputSizeExceeded", f"outputs.pb has {size}; return large data as files", is_retryable=False)
    if report.outputs is None:
        message = f"the task declares outputs but wrote none to {report.output_prefix}"
        return Failure(kind=ErrorKind.UNKNOWN, code="OutputsNotFound", message=message, is_retryable=True)
    return None


def _user(code: str, message: str, *, is_retryable: bool) -> Failure:
    return Failure(kind=ErrorKind.USER, code=code, message=message, is_retryable=is_retryable)
