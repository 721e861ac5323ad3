"""How an attempt ended, read from the files that its process and its zygote left.

Rule: whatever the files hold becomes an event; a damaged one is a failure of the attempt, never of the backend. What
the facts mean is decided by the engine's ``completion``, not here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.errors_pb2 import ErrorDocument
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError, Message

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.completion import MAX_OUTPUTS_BYTES, AttemptReport, judge
from hydraflyte.backend.engine.events import (
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptSucceeded,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.executor.attempts import EXIT_FILE, REFUSED_FILE, read_tail
from hydraflyte.backend.ports import FuturesWritten
from hydraflyte.identifiers import AttemptId

BAD_TASK_DEFINITION = "BadTaskDefinition"
AttemptEnd = AttemptSucceeded | FuturesWritten | AttemptFailed | AttemptLost | AttemptAborted
_Document = TypeVar("_Document", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRecord:
    """What the zygote wrote when it reaped the process."""

    exit_code: int | None
    signal: int | None
    oom_killed: bool
    aborted: bool


def fail_for_good(attempt: AttemptId, *, code: str, message: str) -> AttemptFailed:
    """Return the event of an attempt that no repetition can help."""
    return AttemptFailed(attempt=attempt, failure=Failure(kind=ErrorKind.USER, code=code, message=message))


def measure_results(spec: AttemptSpec) -> int:
    """Return the bytes of the files that ``read_end`` would parse."""
    prefix = Path(spec.output_prefix)
    return sum(_size(prefix / name) for name in ("outputs.pb", "error.pb", "futures.pb"))


def read_end(spec: AttemptSpec, directory: Path) -> AttemptEnd | None:
    """Return how the attempt ended, or None if no record of its end exists."""
    record = read_record(directory)
    if record is None:
        return None
    if record.aborted:
        return AttemptAborted(attempt=spec.attempt)
    refusal = _read_refusal(directory)
    if refusal is not None:
        return AttemptFailed(attempt=spec.attempt, failure=refusal)
    report = _report(spec, directory, record)
    end = judge(report)
    if not isinstance(end, DynamicJobSpec):
        return end
    outputs = spec.task.interface.outputs
    return FuturesWritten(attempt=spec.attempt, futures=end, outputs=outputs, has_deck=report.has_deck)


def _report(spec: AttemptSpec, directory: Path, record: ExitRecord) -> AttemptReport:
    prefix = Path(spec.output_prefix)
    outputs, outputs_problem = _read_document(prefix / "outputs.pb", LiteralMap)
    error, error_problem = _read_document(prefix / "error.pb", ErrorDocument)
    futures, futures_problem = _read_document(prefix / "futures.pb", DynamicJobSpec, most_bytes=None)
    return AttemptReport(
        attempt=spec.attempt,
        exit_code=record.exit_code,
        signal=record.signal,
        log_tail=read_tail(directory / "stderr.log") or read_tail(directory / "stdout.log"),
        declares_outputs=bool(spec.task.interface.outputs.variables),
        outputs=outputs,
        outputs_size_bytes=_size(prefix / "outputs.pb"),
        error=error,
        error_uri=str(prefix / "error.pb"),
        output_prefix=spec.output_prefix,
        unreadable=futures_problem or error_problem or outputs_problem,
        futures=futures,
        has_deck=(prefix / "deck.html").exists(),
        is_out_of_memory=record.oom_killed,
    )


def read_record(directory: Path) -> ExitRecord | None:
    """Return what is written down of the end of the attempt's process, or None if nothing is."""
    try:
        fields = json.loads((directory / EXIT_FILE).read_bytes())
        return ExitRecord(
            exit_code=fields["exit_code"],
            signal=fields["signal"],
            oom_killed=fields["oom_killed"],
            aborted=fields["aborted"],
        )
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not what a zygote writes: nothing durable is known
        return None


def _read_refusal(directory: Path) -> Failure | None:
    """Return why the attempt was never started, as a zygote or a keeper wrote it down; None if it was."""
    try:
        fields = json.loads((directory / REFUSED_FILE).read_bytes())
        return Failure(
            kind=ErrorKind.USER,
            code=str(fields.get("code", BAD_TASK_DEFINITION)),
            message=str(fields["message"]),
            is_retryable=bool(fields.get("is_retryable", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_document(
    path: Path, kind: type[_Document], *, most_bytes: int | None = MAX_OUTPUTS_BYTES
) -> tuple[_Document | None, str]:
    """Return (content, "") of a protobuf file, (None, "") if there is none or it is too large, else (None, why)."""
    if most_bytes is not None and _size(path) > most_bytes:
        return None, ""
    try:
        return kind.FromString(path.read_bytes()), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path} cannot be read: {error}"
    except DecodeError as error:
        return None, f"{path} holds no {kind.__name__}: {error}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
