"""All rules of who may become what: one table a machine, on one page.

The one rule: phases change nowhere else. A pair (phase, cause) without a row is a defect of the engine and
raises InvalidTransitionError. Diagrams in the docs are generated from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from hydraflyte.backend.engine.events import (
    AbortRequested,
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
    CacheAnswered,
    ChildStarted,
    Event,
    ExecutionRequested,
    SignalSet,
    TimePassed,
)
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.errors import InvalidTransitionError


class Cause(Enum):
    """Why the engine itself moves something, where no single event says it."""

    PASSED = "passed"  # a start-node or end-node: done as soon as it is reached
    QUEUED = "queued"  # inputs resolved, a slot is free
    ENTERED = "entered"  # a sub-workflow's children may start
    NOT_STARTABLE = "not startable"  # its inputs or its command line cannot be made
    UPSTREAM_LOST = "upstream lost"  # all upstream ended, one of them not well
    ATTEMPT_REPLACED = "attempt replaced"  # it failed, budget left: the attempt changes, the node does not
    ATTEMPT_SUCCEEDED = "attempt succeeded"
    WORKFLOW_PRODUCED = "workflow produced"  # by an attempt of a dynamic task: the node goes on with that
    ATTEMPT_GAVE_UP = "attempt gave up"  # permanent failure, or no budget left
    DEADLINE_PASSED = "deadline passed"  # the active deadline, over all attempts
    CHILDREN_SUCCEEDED = "children succeeded"
    CHILD_FAILED = "child failed"
    CHILDREN_ENDED = "children ended"  # after a failure: nothing runs any more, the failure node neither
    CHILD_EXECUTION_SUCCEEDED = "child execution succeeded"  # that of a launch-plan node
    CHILD_EXECUTION_FAILED = "child execution failed"  # or was aborted, or refused
    REJECTED = "rejected"  # somebody answered no to an approval
    KILLED = "killed"  # aborted, and its process is gone
    RECOVERED = "recovered"  # taken over from the execution that this one recovers
    CHILD_OVERDUE = "child overdue"  # the child execution took too long: it is being ended
    RESULT_READY = "result ready"  # end-node reached
    RESULT_STORED = "result stored"


NodeCause = type[Event] | Cause
ExecutionCause = type[Event] | Cause
TaskCause = type[Event] | Cause

NODE_TRANSITIONS: Mapping[tuple[NodePhase, NodeCause], NodePhase] = {
    (NodePhase.UNDEFINED, Cause.PASSED): NodePhase.SUCCEEDED,
    (NodePhase.UNDEFINED, Cause.QUEUED): NodePhase.QUEUED,
    (NodePhase.UNDEFINED, Cause.ENTERED): NodePhase.RUNNING,
    (NodePhase.UNDEFINED, Cause.RECOVERED): NodePhase.RECOVERED,
    (NodePhase.UNDEFINED, Cause.WORKFLOW_PRODUCED): NodePhase.DYNAMIC_RUNNING,  # by the execution being recovered
    (NodePhase.UNDEFINED, Cause.NOT_STARTABLE): NodePhase.FAILED,
    (NodePhase.UNDEFINED, Cause.UPSTREAM_LOST): NodePhase.SKIPPED,
    (NodePhase.QUEUED, CacheAnswered): NodePhase.SUCCEEDED,  # a hit; a miss changes no phase
    (NodePhase.QUEUED, AttemptStarted): NodePhase.RUNNING,
    (NodePhase.QUEUED, Cause.NOT_STARTABLE): NodePhase.FAILED,
    (NodePhase.QUEUED, Cause.ATTEMPT_REPLACED): NodePhase.QUEUED,
    (NodePhase.QUEUED, Cause.ATTEMPT_GAVE_UP): NodePhase.FAILED,
    (NodePhase.QUEUED, Cause.DEADLINE_PASSED): NodePhase.TIMED_OUT,
    (NodePhase.QUEUED, Cause.KILLED): NodePhase.ABORTED,
    (NodePhase.RUNNING, AttemptStarted): NodePhase.RUNNING,  # a later attempt
    (NodePhase.RUNNING, Cause.NOT_STARTABLE): NodePhase.FAILED,
    (NodePhase.RUNNING, Cause.ATTEMPT_REPLACED): NodePhase.RUNNING,
    (NodePhase.RUNNING, Cause.ATTEMPT_SUCCEEDED): NodePhase.SUCCEEDED,
    (NodePhase.RUNNING, Cause.ATTEMPT_GAVE_UP): NodePhase.FAILED,
    (NodePhase.RUNNING, Cause.DEADLINE_PASSED): NodePhase.TIMED_OUT,
    (NodePhase.RUNNING, Cause.CHILDREN_SUCCEEDED): NodePhase.SUCCEEDED,
    (NodePhase.RUNNING, Cause.CHILD_FAILED): NodePhase.FAILING,
    (NodePhase.RUNNING, Cause.KILLED): NodePhase.ABORTED,
    (NodePhase.QUEUED, ChildStarted): NodePhase.RUNNING,
    (NodePhase.QUEUED, Cause.CHILD_EXECUTION_FAILED): NodePhase.FAILED,
    (NodePhase.RUNNING, Cause.CHILD_EXECUTION_SUCCEEDED): NodePhase.SUCCEEDED,
    (NodePhase.RUNNING, Cause.CHILD_EXECUTION_FAILED): NodePhase.FAILED,
    (NodePhase.RUNNING, Cause.CHILD_OVERDUE): NodePhase.FAILING,
    (NodePhase.FAILING, Cause.CHILD_EXECUTION_SUCCEEDED): NodePhase.SUCCEEDED,  # it was quicker than its end
    (NodePhase.FAILING, Cause.CHILD_EXECUTION_FAILED): NodePhase.FAILED,
    (NodePhase.RUNNING, SignalSet): NodePhase.SUCCEEDED,
    (NodePhase.RUNNING, TimePassed): NodePhase.SUCCEEDED,  # a gate that slept
    (NodePhase.RUNNING, Cause.REJECTED): NodePhase.FAILED,
    (NodePhase.RUNNING, Cause.WORKFLOW_PRODUCED): NodePhase.DYNAMIC_RUNNING,
    (NodePhase.DYNAMIC_RUNNING, Cause.CHILDREN_SUCCEEDED): NodePhase.SUCCEEDED,
    (NodePhase.DYNAMIC_RUNNING, Cause.CHILD_FAILED): NodePhase.FAILING,
    (NodePhase.DYNAMIC_RUNNING, Cause.KILLED): NodePhase.ABORTED,
    (NodePhase.FAILING, Cause.CHILDREN_ENDED): NodePhase.FAILED,
    (NodePhase.FAILING, Cause.ATTEMPT_REPLACED): NodePhase.QUEUED,  # a dynamic task: a child timed out, budget left
    (NodePhase.FAILING, Cause.ATTEMPT_GAVE_UP): NodePhase.FAILED,
    (NodePhase.FAILING, Cause.NOT_STARTABLE): NodePhase.FAILED,
    (NodePhase.FAILING, Cause.KILLED): NodePhase.ABORTED,
}

TASK_TRANSITIONS: Mapping[tuple[TaskPhase, TaskCause], TaskPhase] = {
    (TaskPhase.UNDEFINED, Cause.QUEUED): TaskPhase.QUEUED,
    (TaskPhase.QUEUED, AttemptStarted): TaskPhase.RUNNING,
    (TaskPhase.QUEUED, AttemptFailed): TaskPhase.FAILED,  # its process could not even be started
    (TaskPhase.QUEUED, AttemptLost): TaskPhase.FAILED,
    (TaskPhase.QUEUED, Cause.DEADLINE_PASSED): TaskPhase.FAILED,
    (TaskPhase.QUEUED, AttemptAborted): TaskPhase.ABORTED,
    (TaskPhase.RUNNING, AttemptSucceeded): TaskPhase.SUCCEEDED,
    (TaskPhase.RUNNING, AttemptFailed): TaskPhase.FAILED,
    (TaskPhase.RUNNING, AttemptLost): TaskPhase.FAILED,
    (TaskPhase.RUNNING, Cause.DEADLINE_PASSED): TaskPhase.FAILED,
    (TaskPhase.RUNNING, AttemptAborted): TaskPhase.ABORTED,
}

EXECUTION_TRANSITIONS: Mapping[tuple[ExecutionPhase, ExecutionCause], ExecutionPhase] = {
    (ExecutionPhase.UNDEFINED, ExecutionRequested): ExecutionPhase.RUNNING,
    (ExecutionPhase.UNDEFINED, AbortRequested): ExecutionPhase.ABORTING,
    (ExecutionPhase.RUNNING, Cause.RESULT_READY): ExecutionPhase.SUCCEEDING,
    (ExecutionPhase.SUCCEEDING, Cause.RESULT_STORED): ExecutionPhase.SUCCEEDED,
    (ExecutionPhase.RUNNING, Cause.CHILD_FAILED): ExecutionPhase.FAILING,
    (ExecutionPhase.FAILING, Cause.CHILDREN_ENDED): ExecutionPhase.FAILED,
    (ExecutionPhase.RUNNING, AbortRequested): ExecutionPhase.ABORTING,
    (ExecutionPhase.FAILING, AbortRequested): ExecutionPhase.ABORTING,
    (ExecutionPhase.ABORTING, Cause.KILLED): ExecutionPhase.ABORTED,
}


def next_node_phase(phase: NodePhase, cause: NodeCause, *, story: str) -> NodePhase:
    """Return what a node becomes.

    Args:
        story: what is known of the node, for the error.

    Raises:
        InvalidTransitionError: the table has no row.
    """
    if (phase, cause) not in NODE_TRANSITIONS:
        raise _no_row("node execution", phase, cause, story)
    return NODE_TRANSITIONS[phase, cause]


def next_task_phase(phase: TaskPhase, cause: TaskCause, *, story: str) -> TaskPhase:
    """Return what an attempt becomes; like :func:`next_node_phase`."""
    if (phase, cause) not in TASK_TRANSITIONS:
        raise _no_row("task execution", phase, cause, story)
    return TASK_TRANSITIONS[phase, cause]


def next_execution_phase(phase: ExecutionPhase, cause: ExecutionCause, *, story: str) -> ExecutionPhase:
    """Return what an execution becomes; like :func:`next_node_phase`."""
    if (phase, cause) not in EXECUTION_TRANSITIONS:
        raise _no_row("execution", phase, cause, story)
    return EXECUTION_TRANSITIONS[phase, cause]


def _no_row(what: str, phase: Enum, cause: NodeCause, story: str) -> InvalidTransitionError:
    name = cause.name if isinstance(cause, Cause) else cause.__name__
    return InvalidTransitionError(
        f"A {what} that is {phase.name} cannot take {name}. {story}",
        hint="this is a defect in hydraflyte: report it with the execution's events (`hydraflyte executions show`).",
    )
