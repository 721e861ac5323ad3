"""How an execution ends that cannot be driven on: a defect of the engine, or a state that cannot be stored.

The one rule: this never asks how things came about. It looks at no workflow and at no table of transitions, for those
may be what failed; whatever is open ends as ABORTED, and what runs for it elsewhere is ended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hydraflyte.backend.engine import launchplans, retries
from hydraflyte.backend.engine.attempts import attempt_id
from hydraflyte.backend.engine.commands import AbortAttempt, Command, ReleaseReservation
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.phases import (
    TERMINAL_NODE_PHASES,
    TERMINAL_TASK_PHASES,
    ExecutionPhase,
    NodePhase,
    TaskPhase,
)
from hydraflyte.backend.engine.state import AttemptState, ExecutionState, NodeState, Step
from hydraflyte.backend.engine.tasks import is_open

ENGINE_FAILURE = "EngineFailure"
_REASON = "the execution failed"


def give_up(state: ExecutionState, reason: str, now: datetime) -> Step:
    """Return the end of the execution as FAILED, for ``reason``, with everything below it ended."""
    open_nodes = [node for node in state.nodes.values() if node.phase not in TERMINAL_NODE_PHASES]
    failure = Failure(kind=ErrorKind.SYSTEM, code=ENGINE_FAILURE, message=reason)
    ended = replace(
        state,
        phase=ExecutionPhase.FAILED,
        failure=failure,
        updated_at=now,
        ended_at=now,
        nodes={**state.nodes, **{node.node_id: _ended(node, now) for node in open_nodes}},
    )
    commands = tuple(command for node in open_nodes for command in _commands(state, node))
    return Step(state=ended, commands=commands, touched=frozenset(node.node_id for node in open_nodes))


def _commands(state: ExecutionState, node: NodeState) -> list[Command]:
    commands: list[Command] = []
    if is_open(node):
        commands.append(AbortAttempt(attempt=attempt_id(state, node), reason=_REASON))
    if node.kind is NodeKind.LAUNCH_PLAN:
        commands.append(launchplans.abort_command(state, node, _REASON))
    if node.holds_reservation:
        commands.append(ReleaseReservation(node=node.node_id, dataset=node.cache_dataset, tag=node.cache_tag))
    return commands


def _ended(node: NodeState, now: datetime) -> NodeState:
    return replace(
        node,
        phase=NodePhase.ABORTED,
        failure=retries.aborted(_REASON),
        updated_at=now,
        ended_at=now,
        holds_reservation=False,
        attempts=tuple(_ended_attempt(attempt, now) for attempt in node.attempts),
    )


def _ended_attempt(attempt: AttemptState, now: datetime) -> AttemptState:
    if attempt.phase in TERMINAL_TASK_PHASES:
        return attempt
    failure = attempt.failure or retries.aborted(_REASON)
    return replace(attempt, phase=TaskPhase.ABORTED, failure=failure, updated_at=now, ended_at=now)
