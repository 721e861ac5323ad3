"""Why something failed, in Flyte's words: kind, code, message, and whether another attempt may help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ErrorKind(str, Enum):
    """``flyteidl.core.ExecutionError.ErrorKind``, by name."""

    UNKNOWN = "UNKNOWN"
    USER = "USER"  # counts against the task's own retries
    SYSTEM = "SYSTEM"  # counts against the three system retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure of an attempt, a node or an execution.

    Attributes:
        code: Flyte's error code, such as ``USER:RuntimeError`` or ``TimeoutExpired``.
        message: text for the user; for a Python exception, the user's own traceback.
        is_retryable: whether another attempt may be made (budget permitting).
        uri: path of the ``error.pb`` the failure was read from, or ``""``.
    """

    kind: ErrorKind
    code: str
    message: str
    is_retryable: bool = False
    uri: str = ""
