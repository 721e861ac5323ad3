"""The engine's entry points: begin, step, recover, open_attempts, give_up, check_invariants.

The one rule: all of them are functions of their arguments. Which event leads where is said in ``transitions``,
``tasks``, ``progress`` and ``closing``; here events are only handed to them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flyteidl.core.literals_pb2 import LiteralMap
from typing_extensions import assert_never

from hydraflyte.backend.engine import arrays, closing, gates, launchplans, progress, tasks
from hydraflyte.backend.engine.admission import derive
from hydraflyte.backend.engine.attempts import attempt_id, attempt_spec
from hydraflyte.backend.engine.commands import AbortAttempt, AttemptSpec, Command, KeepReservation, StartAttempt
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.events import (
    AbortRequested,
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptProducedWorkflow,
    AttemptStarted,
    AttemptSucceeded,
    CacheAnswered,
    ChildEnded,
    ChildStarted,
    Event,
    ExecutionRequested,
    SignalSet,
    TimePassed,
)
from hydraflyte.backend.engine.giving_up import give_up as give_up
from hydraflyte.backend.engine.invariants import check_invariants as check_invariants
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import level_below, spec_of, top_level
from hydraflyte.backend.engine.offloaded import NONE_READ, Contents
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.backend.engine.state import (
    Admission,
    CacheStatus,
    ExecutionPlan,
    ExecutionState,
    NodeState,
    Step,
)

_ABORTABLE_PHASES = frozenset({ExecutionPhase.UNDEFINED, ExecutionPhase.RUNNING, ExecutionPhase.FAILING})


def begin(plan: ExecutionPlan, now: datetime) -> ExecutionState:
    """Return the state of a new execution: UNDEFINED, without nodes. The event ExecutionRequested comes next."""
    return ExecutionState(
        plan=plan, phase=ExecutionPhase.UNDEFINED, created_at=now, updated_at=now, admission=Admission()
    )


def step(state: ExecutionState, event: Event, now: datetime, contents: Contents = NONE_READ) -> Step:
    """Return what ``event`` leads to. An event that is late or about nothing known changes nothing.

    Args:
        contents: of the offloaded literals that this step was found to need.

    Raises:
        LiteralNeededError: it needs another one; read it, and take the step again.
        InvalidTransitionError: the tables have no row for what happened; a defect of the engine.
    """
    if state.phase in TERMINAL_EXECUTION_PHASES:
        return Step(state=state)
    if state.admission is None:
        state = replace(state, admission=derive(state))
    draft = Draft(state, now, contents)
    _handle(draft, event)
    progress.settle(draft)
    return draft.finish()


def recover(state: ExecutionState, now: datetime) -> tuple[Command, ...]:
    """Return every command whose effect may be missing after a restart; carrying one out twice is harmless.

    Attempts that were RUNNING are not started again: ask the executor how they ended, and step with that event
    or with AttemptLost, before this is called. An execution that is UNDEFINED needs ExecutionRequested instead.
    Reservations come first, before any node that waits for one asks again.
    """
    commands: list[Command] = [
        KeepReservation(node=node.node_id, dataset=node.cache_dataset, tag=node.cache_tag)
        for node in state.nodes.values()
        if node.holds_reservation
    ]
    for node in state.nodes.values():
        if node.kind is NodeKind.TASK:
            commands.extend(_recover_task(state, node))
        elif node.kind is NodeKind.LAUNCH_PLAN:
            commands.extend(launchplans.recover_commands(state, node))
        elif node.kind is NodeKind.GATE:
            commands.extend(gates.recover_commands(state, node))
    return tuple(commands)


def open_attempts(state: ExecutionState) -> tuple[AttemptSpec, ...]:
    """Return the attempts that were handed to an executor and have not ended."""
    return tuple(_spec(state, node) for node in state.nodes.values() if tasks.is_open(node))


def _handle(draft: Draft, event: Event) -> None:
    match event:
        case ExecutionRequested():
            _start(draft)
        case AttemptStarted():
            tasks.attempt_started(draft, event)
            arrays.item_started(draft, event.attempt.node)
        case AttemptSucceeded():
            tasks.attempt_succeeded(draft, event)
            arrays.item_started(draft, event.attempt.node)
        case AttemptProducedWorkflow():
            _enter_produced(draft, event)
        case AttemptFailed() | AttemptLost() | AttemptAborted():
            tasks.attempt_ended_badly(draft, event)
        case CacheAnswered():
            tasks.cache_answered(draft, event)
        case ChildStarted():
            launchplans.started(draft, event)
            arrays.item_started(draft, event.node)
        case ChildEnded():
            launchplans.ended(draft, event)
            arrays.item_started(draft, event.node)
        case SignalSet():
            gates.signal_set(draft, event)
        case TimePassed():
            _check_deadlines(draft)
        case AbortRequested():
            _abort(draft, event)
        case _:
            assert_never(event)


def _start(draft: Draft) -> None:
    if draft.phase is not ExecutionPhase.UNDEFINED:  # sent twice
        return
    draft.move_execution(replace(draft.execution, started_at=draft.now), ExecutionRequested)
    progress.enter(draft, top_level(draft.execution), draft.plan.inputs)


def _enter_produced(draft: Draft, event: AttemptProducedWorkflow) -> None:
    node = tasks.workflow_produced(draft, event)
    if node is not None:
        progress.enter(draft, level_below(draft.execution, node), LiteralMap())


def _check_deadlines(draft: Draft) -> None:
    for node in list(draft.nodes.values()):
        if tasks.is_open(node):
            tasks.check_deadlines(draft, node)
        elif gates.is_waiting(node):
            gates.check_time(draft, node)
        elif node.kind is NodeKind.LAUNCH_PLAN:
            launchplans.check_deadline(draft, node)


def _abort(draft: Draft, event: AbortRequested) -> None:
    if draft.phase not in _ABORTABLE_PHASES:  # asked for twice
        return
    closing.abort(draft, event)
    progress.close_if_drained(draft, top_level(draft.execution))


def _recover_task(state: ExecutionState, node: NodeState) -> list[Command]:
    if tasks.is_asking_cache(node):
        return [tasks.look_up_command(node, spec_of(state, node))]
    if node.cache_status is CacheStatus.CACHE_POPULATED and node.phase is NodePhase.SUCCEEDED:
        return [tasks.write_command(node, attempt_id(state, node))]
    if not tasks.is_open(node):
        return []
    commands: list[Command] = []
    attempt = node.attempts[-1]
    if attempt.phase is TaskPhase.QUEUED and attempt.failure is None:
        commands.append(StartAttempt(spec=_spec(state, node)))
    if attempt.failure is not None:
        commands.append(AbortAttempt(attempt=attempt_id(state, node), reason=attempt.failure.message))
    commands.extend(tasks.wake_commands(node, spec_of(state, node)))
    return commands


def _spec(state: ExecutionState, node: NodeState) -> AttemptSpec:
    task = spec_of(state, node).task
    assert task is not None
    return attempt_spec(state, node, task)
