"""The phases of executions, node executions and task executions: flyteidl's names and numbers.

A test compares these enums with flyteidl's own. Terminal sets and nothing else live here too.
"""

from __future__ import annotations

from enum import IntEnum


class ExecutionPhase(IntEnum):
    """``flyteidl.core.WorkflowExecution.Phase``."""

    UNDEFINED = 0  # created, the engine has not looked at it yet
    QUEUED = 1  # waits for the engine (propeller never reports it)
    RUNNING = 2  # nodes are being run
    SUCCEEDING = 3  # all nodes done, outputs being written
    SUCCEEDED = 4
    FAILING = 5  # a node failed; others are being aborted, the failure node may run
    FAILED = 6
    ABORTED = 7  # terminated by a person or by the parent execution
    TIMED_OUT = 8  # propeller never reports it: a time-out of an execution is FAILED
    ABORTING = 9  # termination asked for, attempts being killed


class NodePhase(IntEnum):
    """``flyteidl.core.NodeExecution.Phase``."""

    UNDEFINED = 0  # not yet started: no row exists
    QUEUED = 1  # inputs resolved, waits for its first attempt
    RUNNING = 2
    SUCCEEDED = 3
    FAILING = 4  # its failure node runs (sub-workflows)
    FAILED = 5
    ABORTED = 6
    SKIPPED = 7  # something upstream was skipped, failed or timed out
    TIMED_OUT = 8
    DYNAMIC_RUNNING = 9  # its dynamic workflow runs
    RECOVERED = 10  # result taken over from the execution being recovered


class TaskPhase(IntEnum):
    """``flyteidl.core.TaskExecution.Phase``."""

    UNDEFINED = 0
    QUEUED = 1  # handed to the executor, waits for a slot
    RUNNING = 2
    SUCCEEDED = 3
    ABORTED = 4
    FAILED = 5
    INITIALIZING = 6
    WAITING_FOR_RESOURCES = 7
    RETRYABLE_FAILED = 8  # flyteadmin shows a failed attempt as FAILED; known so that the enum is complete


TERMINAL_EXECUTION_PHASES = frozenset(
    {ExecutionPhase.SUCCEEDED, ExecutionPhase.FAILED, ExecutionPhase.ABORTED, ExecutionPhase.TIMED_OUT}
)
TERMINAL_NODE_PHASES = frozenset(
    {
        NodePhase.SUCCEEDED,
        NodePhase.FAILED,
        NodePhase.ABORTED,
        NodePhase.SKIPPED,
        NodePhase.TIMED_OUT,
        NodePhase.RECOVERED,
    }
)
OCCUPYING_PHASES = frozenset({NodePhase.QUEUED, NodePhase.RUNNING})
"""Phases in which a task node counts towards ``max_parallelism``."""
TERMINAL_TASK_PHASES = frozenset({TaskPhase.SUCCEEDED, TaskPhase.ABORTED, TaskPhase.FAILED, TaskPhase.RETRYABLE_FAILED})
