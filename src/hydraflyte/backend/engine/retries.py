"""Whether a failed attempt is followed by another one.

Follows flytepropeller (pkg/controller/nodes/executor.go): two budgets, the user's and the system's. The one
rule: a failure that is not retryable keeps its own code and message; one that ran out of budget is wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass

from hydraflyte.backend.engine.failures import ErrorKind, Failure

MAX_SYSTEM_FAILURES = 3
TIMEOUT_EXPIRED = "TimeoutExpired"
ACTIVE_DEADLINE = "Timeout"
LOST = "ResourceDeletedExternally"
NODE_ABORTED = "NodeAborted"
AUTO_ABORT_REASON = "Some node execution failed, auto-abort."


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many attempts a node has had and may have.

    Attributes:
        attempt: number of the attempt that failed, from 0.
        system_failures: earlier attempts that failed through no fault of the user's.
        retries: further attempts that the user allows.
    """

    attempt: int
    system_failures: int
    retries: int


def final_failure(failure: Failure, budget: Budget) -> Failure | None:
    """Return the failure that the node ends with, or None if it gets another attempt.

    >>> crash = Failure(kind=ErrorKind.USER, code="Error", message="exit code 3", is_retryable=True)
    >>> final_failure(crash, Budget(attempt=0, system_failures=0, retries=0)).message
    '[1/1] currentAttempt done. Last Error: USER::exit code 3'
    """
    if not failure.is_retryable:
        return failure
    if failure.kind is ErrorKind.SYSTEM:
        current, most = budget.system_failures, MAX_SYSTEM_FAILURES
    else:
        current, most = budget.attempt + 1 - budget.system_failures, budget.retries + 1
    if current < most:
        return None
    return Failure(
        kind=ErrorKind.USER,
        code=f"RetriesExhausted|{failure.code}",
        message=f"[{current}/{most}] currentAttempt done. Last Error: {failure.kind.name}::{failure.message}",
        uri=failure.uri,
    )


def may_be_interruptible(system_failures: int) -> bool:
    """Return whether an attempt after so many system failures may still be taken away: the last ones may not.

    flytepropeller's interruptible-failure-threshold of -1, of as many system failures as are retried.
    """
    return system_failures < MAX_SYSTEM_FAILURES - 1


def lost(reason: str) -> Failure:
    """Return the failure of an attempt whose process is gone without a result."""
    return Failure(kind=ErrorKind.SYSTEM, code=LOST, message=reason, is_retryable=True)


def attempt_timed_out(timeout: str) -> Failure:
    """Return the failure of an attempt that ran longer than its task allows; another one may be made."""
    message = f"task execution timeout [{timeout}] expired"
    return Failure(kind=ErrorKind.USER, code=TIMEOUT_EXPIRED, message=message, is_retryable=True)


def node_timed_out(deadline: str) -> Failure:
    """Return the failure of a node whose attempts together took too long."""
    return Failure(kind=ErrorKind.USER, code=ACTIVE_DEADLINE, message=f"active deadline [{deadline}] elapsed")


def aborted(reason: str) -> Failure:
    """Return what is said of a node that was killed because of something else."""
    return Failure(kind=ErrorKind.UNKNOWN, code=NODE_ABORTED, message=reason)
