from __future__ import annotations

from enum import IntEnum

import pytest
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import ExecutionError, NodeExecution, TaskExecution, WorkflowExecution

from hydraflyte.backend.engine.events import AttemptStarted
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.phases import (
    TERMINAL_EXECUTION_PHASES,
    TERMINAL_NODE_PHASES,
    TERMINAL_TASK_PHASES,
    ExecutionPhase,
    NodePhase,
    TaskPhase,
)
from hydraflyte.backend.engine.state import CacheStatus
from hydraflyte.backend.engine.transitions import (
    EXECUTION_TRANSITIONS,
    NODE_TRANSITIONS,
    TASK_TRANSITIONS,
    Cause,
    next_node_phase,
)
from hydraflyte.errors import InvalidTransitionError


@pytest.mark.parametrize(
    ("ours", "flytes"),
    [
        (ExecutionPhase, WorkflowExecution.Phase),
        (NodePhase, NodeExecution.Phase),
        (TaskPhase, TaskExecution.Phase),
    ],
)
def test_phases_have_the_names_and_numbers_of_flyteidl(ours: type[IntEnum], flytes: object) -> None:
    assert {member.name: member.value for member in ours} == dict(flytes.items())  # type: ignore[attr-defined]


def test_cache_statuses_have_the_names_of_flyteidl() -> None:
    assert {member.value for member in CacheStatus} == set(CatalogCacheStatus.keys())


def test_error_kinds_have_the_names_of_flyteidl() -> None:
    assert {member.value for member in ErrorKind} == set(ExecutionError.ErrorKind.keys())


def test_nothing_leaves_a_terminal_phase() -> None:
    assert not [phase for phase, _ in NODE_TRANSITIONS if phase in TERMINAL_NODE_PHASES]
    assert not [phase for phase, _ in TASK_TRANSITIONS if phase in TERMINAL_TASK_PHASES]
    assert not [phase for phase, _ in EXECUTION_TRANSITIONS if phase in TERMINAL_EXECUTION_PHASES]


def test_every_phase_that_is_reached_is_terminal_or_can_be_left() -> None:
    for table, terminal in (
        (NODE_TRANSITIONS, TERMINAL_NODE_PHASES),
        (TASK_TRANSITIONS, TERMINAL_TASK_PHASES),
        (EXECUTION_TRANSITIONS, TERMINAL_EXECUTION_PHASES),
    ):
        left = {phase for phase, _ in table}
        assert set(table.values()) - set(terminal) <= left


def test_a_missing_row_tells_the_story_of_the_node() -> None:
    with pytest.raises(InvalidTransitionError) as raised:
        next_node_phase(NodePhase.SUCCEEDED, AttemptStarted, story="Node n0 (task), attempt 0.")

    expected = "A node execution that is SUCCEEDED cannot take AttemptStarted. Node n0 (task), attempt 0."
    assert raised.value.message == expected


def test_causes_are_all_used() -> None:
    used = {cause for table in (NODE_TRANSITIONS, TASK_TRANSITIONS, EXECUTION_TRANSITIONS) for _, cause in table}

    assert set(Cause) <= used
