"""Drives the engine by hand: an event in, commands out, the invariants checked after each step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from tests.unit.backend.workflows import Value, literal, literals

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import Command
from hydraflyte.backend.engine.events import (
    AbortRequested,
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
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
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionPlan, NodeState, Step
from hydraflyte.identifiers import AttemptId, NodeId

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
C = TypeVar("C", bound=Command)


class Run:
    """One execution under test. ``commands`` and ``writes`` are those of the last step."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self.now = START
        self.state = machine.begin(plan, self.now)
        self.commands: tuple[Command, ...] = ()
        self.writes: Mapping[str, LiteralMap | TaskTemplate] = {}
        self.files: dict[str, LiteralMap | TaskTemplate] = {}

    def send(self, event: Event) -> Step:
        step = machine.step(self.state, event, self.now)
        machine.check_invariants(step.state)
        self.state, self.commands, self.writes = step.state, step.commands, step.writes
        self.files.update(step.writes)
        return step

    def begin(self) -> Step:
        return self.send(ExecutionRequested())

    def start(self, node: str) -> Step:
        return self.send(AttemptStarted(attempt=self.attempt(node)))

    def succeed(self, node: str, **outputs: Value) -> Step:
        return self.send(AttemptSucceeded(attempt=self.attempt(node), outputs=literals(**outputs)))

    def fail(
        self, node: str, *, code: str = "Oops", kind: ErrorKind = ErrorKind.USER, is_retryable: bool = False
    ) -> Step:
        failure = Failure(kind=kind, code=code, message=f"{node} went wrong", is_retryable=is_retryable)
        return self.send(AttemptFailed(attempt=self.attempt(node), failure=failure))

    def lose(self, node: str) -> Step:
        return self.send(AttemptLost(attempt=self.attempt(node), reason="the backend was restarted"))

    def miss_cache(self, node: str) -> Step:
        return self.send(CacheAnswered(node=NodeId(node), attempt=0, outputs=None))

    def confirm_abort(self, node: str) -> Step:
        return self.send(AttemptAborted(attempt=self.attempt(node)))

    def terminate(self, cause: str = "enough") -> Step:
        return self.send(AbortRequested(cause=cause, principal="ann"))

    def pass_time(self, seconds: float) -> Step:
        self.now += timedelta(seconds=seconds)
        return self.send(TimePassed())

    def start_child(self, node: str) -> Step:
        return self.send(ChildStarted(node=NodeId(node)))

    def succeed_child(self, node: str, **outputs: Value) -> Step:
        return self.send(ChildEnded(node=NodeId(node), outputs=literals(**outputs)))

    def fail_child(self, node: str) -> Step:
        failure = Failure(kind=ErrorKind.USER, code="USER:ValueError", message="the child's own words")
        return self.send(ChildEnded(node=NodeId(node), failure=failure))

    def abort_child(self, node: str) -> Step:
        return self.send(ChildEnded(node=NodeId(node)))

    def set_signal(self, signal_id: str, value: Value) -> Step:
        return self.send(SignalSet(signal_id=signal_id, value=literal(value)))

    def attempt(self, node: str) -> AttemptId:
        return AttemptId(execution=self.state.plan.execution_id, node=NodeId(node), attempt=self.node(node).attempt)

    def node(self, node: str) -> NodeState:
        return self.state.nodes[NodeId(node)]

    def phases(self) -> dict[str, str]:
        """Phases by node id, without the start-nodes and end-nodes that SUCCEEDED."""
        return {
            str(node.node_id): node.phase.name
            for node in self.state.nodes.values()
            if not (node.spec_node_id in ("start-node", "end-node") and node.phase is NodePhase.SUCCEEDED)
        }

    def commanded(self, kind: type[C]) -> list[C]:
        """The commands of one kind, of the last step."""
        return [command for command in self.commands if isinstance(command, kind)]
