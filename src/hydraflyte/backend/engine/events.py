"""Everything that can happen to an execution, as frozen values.

An event carries only what its source knows. The engine never asks for more: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from hydraflyte.backend.engine.failures import Failure
from hydraflyte.identifiers import AttemptId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequested:
    """The execution was accepted and stored; the engine may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLink:
    """Where a captured stream of an attempt can be read. ``uri`` is an absolute HTTP path of the console."""

    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """The executor started the attempt's process."""

    attempt: AttemptId
    logs: tuple[LogLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSucceeded:
    """The attempt's process ended well. ``outputs`` is what it wrote to ``outputs.pb`` (empty if none declared)."""

    attempt: AttemptId
    outputs: LiteralMap
    has_deck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptProducedWorkflow:
    """The attempt's process ended well, and what it gives is a workflow to run (``futures.pb``, compiled)."""

    attempt: AttemptId
    workflow: CompiledWorkflowClosure
    has_deck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """The attempt ended badly, whatever the reason (section 3.4 of the semantics)."""

    attempt: AttemptId
    failure: Failure
    has_deck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLost:
    """The attempt's process is gone and left no result: the backend or its executor died (SYSTEM, retryable)."""

    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptAborted:
    """The process of an aborted attempt is gone."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAnswered:
    """The catalog was asked. ``outputs`` is None on a miss."""

    node: NodeId
    attempt: int
    outputs: LiteralMap | None
    source: AttemptId | None = None  # who produced the artifact, on a hit
    has_failed: bool = False  # the catalog could not be read: the task runs as after a miss
    is_reserved: bool = False  # on a miss: no other node that reserves runs the task with these inputs meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """A WakeAt instant was reached. Carries nothing: the engine compares ``now`` with its own deadlines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRequested:
    """Somebody asked for termination."""

    cause: str
    principal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted:
    """The child execution of a launch-plan node exists."""

    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """The child execution of a launch-plan node has ended, or could not be begun.

    ``outputs`` are set if it SUCCEEDED, ``failure`` if it FAILED or was refused; neither if it was aborted.
    """

    node: NodeId
    outputs: LiteralMap | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSet:
    """A client gave a signal of this execution its value."""

    signal_id: str
    value: Literal


Event = (
    ExecutionRequested
    | AttemptStarted
    | AttemptSucceeded
    | AttemptProducedWorkflow
    | AttemptFailed
    | AttemptLost
    | AttemptAborted
    | CacheAnswered
    | TimePassed
    | AbortRequested
    | ChildStarted
    | ChildEnded
    | SignalSet
)
