"""A world made from a seed: a random workflow, and executors, catalog, clock and crashes that behave at random.

Everything random comes from one ``random.Random(seed)``, so a seed tells the whole story again. The world keeps
to the executor's contract (each attempt that was started ends exactly once) but not to any order: events come
late, twice, or after a restart that forgot every command.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from flyteidl.core.tasks_pb2 import TaskTemplate
from tests.simulation.catalog import Catalog
from tests.simulation.ends import check_end, check_touched
from tests.simulation.graphs import DYNAMIC, Grower
from tests.simulation.recoveries import check_recovery, recovering_plan
from tests.simulation.storage import stored
from tests.unit.backend.workflows import literal, literals, plan

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import (
    AbortAttempt,
    AbortChild,
    Command,
    KeepReservation,
    LookUpCache,
    OpenSignal,
    ReleaseReservation,
    StartAttempt,
    StartChild,
    WakeAt,
    WriteCache,
)
from hydraflyte.backend.engine.events import (
    AbortRequested,
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptProducedWorkflow,
    AttemptStarted,
    AttemptSucceeded,
    ChildEnded,
    ChildStarted,
    Event,
    ExecutionRequested,
    SignalSet,
    TimePassed,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, ExecutionPhase, TaskPhase
from hydraflyte.backend.engine.state import ExecutionPlan, ExecutionState
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MAX_STEPS = 20_000
REPEATED = 4  # every so many steps one is made twice, to see that it gives the same
PATIENCE_S = 600  # a simulated process that would never end is left alone this long


@dataclass(slots=True)
class Process:
    """A simulated attempt: started for real at ``starts_at``, it would end as ``end`` at ``ends_at``."""

    attempt: AttemptId
    starts_at: datetime
    ends_at: datetime
    end: Event
    is_reported: bool = False  # its start was told


@dataclass(slots=True)
class Child:
    """A child execution: it would end as ``end`` at ``ends_at``."""

    node: NodeId
    ends_at: datetime
    end: ChildEnded


@dataclass(slots=True)
class World:
    """One execution and all that surrounds it."""

    seed: int
    rng: random.Random
    state: ExecutionState
    grower: Grower
    catalog: Catalog
    now: datetime = START
    files: dict[str, bytes] = field(default_factory=dict)
    processes: dict[AttemptId, Process] = field(default_factory=dict)
    ended: dict[AttemptId, Event] = field(default_factory=dict)  # what the executor could still say of the past
    inbox: list[Event] = field(default_factory=list)
    alarms: list[datetime] = field(default_factory=list)
    steps: int = 0
    story: list[str] = field(default_factory=list)
    successes: set[AttemptId] = field(default_factory=set)
    children: dict[ExecutionId, Child] = field(default_factory=dict)  # as durable as the execution itself
    watched: set[ExecutionId] = field(default_factory=set)  # children whose end will be told
    signals: dict[str, datetime] = field(default_factory=dict)  # when somebody sets them
    opened: set[str] = field(default_factory=set)  # signals that will be told
    abort_at: datetime | None = None
    crash_rate: float = 0.0

    def run(self) -> ExecutionState:
        """Live until the execution has ended, and check that it ended well-formed."""
        self.inbox.append(ExecutionRequested())
        while self.state.phase not in TERMINAL_EXECUTION_PHASES:
            self._turn()
            assert self.steps < MAX_STEPS, f"seed {self.seed}: no end in sight"
        check_end(self.state, self.files, self.successes)
        return self.state

    def _turn(self) -> None:
        if self.rng.random() < self.crash_rate:
            self._restart()
        self._let_processes_report()
        self._let_others_report()
        if self.inbox:
            self._deliver(self.inbox.pop(self.rng.randrange(len(self.inbox))))
        else:
            self._advance()

    def _deliver(self, event: Event) -> None:
        self.steps += 1
        self.story.append(f"{(self.now - START).total_seconds():8.1f}s {_describe(event)}")
        if self.rng.random() < 0.05:
            self.inbox.append(event)  # it will come again
        before = self.state
        step = machine.step(before, event, self.now)
        machine.check_invariants(step.state)
        if self.steps % REPEATED == 0:
            again = machine.step(before, event, self.now)
            assert again.state == step.state, "the same step twice gave two states"
            assert again.commands == step.commands, "the same step twice gave different commands"
        check_touched(before, step.state, step.touched)
        for uri, message in step.writes.items():
            self.files[uri] = message.SerializeToString(deterministic=True)
        if self.rng.random() < self.crash_rate:  # between the files and the state: the step never happened
            self._restart()
            self.inbox.append(event)
            return
        self.state = step.state
        if isinstance(event, AttemptSucceeded):
            self._note_success(event)
        if self.rng.random() < self.crash_rate:  # between the state and the commands
            self._restart()
            return
        for command in step.commands:
            self._carry_out(command)

    def _note_success(self, event: AttemptSucceeded) -> None:
        node = self.state.nodes.get(event.attempt.node)
        if node is not None and node.attempts and node.attempts[-1].phase is TaskPhase.SUCCEEDED:
            self.successes.add(event.attempt)

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartAttempt():
                self._start(command)
            case AbortAttempt():
                self._abort(command.attempt)
            case WakeAt():
                self.alarms.append(command.at)
            case LookUpCache():
                self._look_up(command)
            case WriteCache():
                self.catalog.write(command)
            case KeepReservation():
                self.catalog.keep(command)
            case ReleaseReservation():
                self.catalog.release(command)
            case StartChild():
                self._start_child(command)
            case AbortChild():
                self._abort_child(command)
            case OpenSignal():
                self.signals.setdefault(command.signal_id, self.now + timedelta(seconds=self.rng.choice([0, 5, 50])))
                self.opened.add(command.signal_id)

    def _start_child(self, command: StartChild) -> None:
        if command.child not in self.children:
            ends_at = self.now + timedelta(seconds=self.rng.choice([0, 1, 5, 30]))
            end = self._choose_child_end(command.node)
            self.children[command.child] = Child(node=command.node, ends_at=ends_at, end=end)
        self.watched.add(command.child)
        self.inbox.append(ChildStarted(node=command.node))

    def _choose_child_end(self, node: NodeId) -> ChildEnded:
        chance = self.rng.random()
        if chance < 0.8:
            return ChildEnded(node=node, outputs=literals(o0=self.rng.randrange(3)))
        failure = Failure(kind=ErrorKind.USER, code="Simulated", message="the child had no luck")
        return ChildEnded(node=node, failure=failure if chance < 0.9 else None)

    def _abort_child(self, command: AbortChild) -> None:
        child = self.children.get(command.child)
        if child is None:
            self.inbox.append(ChildEnded(node=command.node))
            return
        if child.ends_at > self.now:
            child.ends_at, child.end = self.now, ChildEnded(node=command.node)
        self.watched.add(command.child)

    def _let_others_report(self) -> None:
        """Tell of children that ended, of signals that were set, and what the catalog can answer by now."""
        self.inbox.extend(self.catalog.answers(self.now))
        for name in sorted(self.watched):
            if self.children[name].ends_at <= self.now:
                self.watched.discard(name)
                self.inbox.append(self.children[name].end)
        for signal_id in sorted(self.opened):
            if self.signals[signal_id] <= self.now:
                self.opened.discard(signal_id)
                is_yes = sum(signal_id.encode()) % 4 > 0  # the same answer whenever it is told
                self.inbox.append(SignalSet(signal_id=signal_id, value=literal(is_yes if "ok" in signal_id else 2)))

    def _start(self, command: StartAttempt) -> None:
        spec = command.spec
        attempt = spec.attempt
        assert attempt not in self.successes, f"{attempt} is run again though it succeeded"
        assert spec.inputs_uri in self.files, f"{spec.inputs_uri} is not there when the attempt starts"
        if attempt in self.processes or attempt in self.ended:
            return
        starts_at = self.now + timedelta(seconds=self.rng.choice([0, 0, 1, 20]))
        duration = timedelta(seconds=self.rng.choice([0, 1, 5, 30, 30, PATIENCE_S]))
        end = self._choose_end(attempt, spec.task)
        self.processes[attempt] = Process(attempt=attempt, starts_at=starts_at, ends_at=starts_at + duration, end=end)

    def _choose_end(self, attempt: AttemptId, template: TaskTemplate) -> Event:
        chance = self.rng.random()
        if template.id.name == DYNAMIC and chance < 0.5 and str(attempt.node).count("-") < 4:
            return AttemptProducedWorkflow(attempt=attempt, workflow=self.grower.produced(attempt))
        if chance < 0.80:
            outputs = literals(o0=self.rng.randrange(3)) if template.interface.outputs.variables else literals()
            if self.rng.random() < 0.03:
                outputs = literals()  # a task that forgets its outputs: what is bound to them cannot be resolved
            return AttemptSucceeded(attempt=attempt, outputs=outputs)
        if chance < 0.85:
            return AttemptLost(attempt=attempt, reason="gone")
        kind = self.rng.choice([ErrorKind.USER, ErrorKind.SYSTEM, ErrorKind.UNKNOWN])
        failure = Failure(kind=kind, code="Simulated", message="no luck", is_retryable=self.rng.random() < 0.7)
        return AttemptFailed(attempt=attempt, failure=failure)

    def _abort(self, attempt: AttemptId) -> None:
        process = self.processes.pop(attempt, None)
        if process is None:
            self.inbox.append(self.ended.get(attempt, AttemptAborted(attempt=attempt)))
        elif self.rng.random() < 0.2:  # it was just about to end
            self._end(process)
        else:
            self.ended[attempt] = AttemptAborted(attempt=attempt)
            self.inbox.append(self.ended[attempt])

    def _look_up(self, command: LookUpCache) -> None:
        answer = self.catalog.look_up(command, self.now)
        if answer is not None:
            self.inbox.append(answer)

    def _let_processes_report(self) -> None:
        for process in list(self.processes.values()):
            if not process.is_reported and self.now >= process.starts_at:
                process.is_reported = True
                self.inbox.append(AttemptStarted(attempt=process.attempt))
            if self.now >= process.ends_at:
                del self.processes[process.attempt]
                self._end(process)

    def _end(self, process: Process) -> None:
        self.ended[process.attempt] = process.end
        self.inbox.append(process.end)

    def _advance(self) -> None:
        """Let time pass until something happens."""
        if self._ring():
            return
        times = [at for at in self.alarms if at > self.now]
        for process in self.processes.values():
            times += [at for at in (process.starts_at, process.ends_at) if at > self.now]
        times += [at for name in self.watched if (at := self.children[name].ends_at) > self.now]
        times += [at for signal_id in self.opened if (at := self.signals[signal_id]) > self.now]
        times += self.catalog.next_change(self.now)
        if self.abort_at is not None and self.abort_at > self.now:
            times.append(self.abort_at)
        assert times, f"seed {self.seed}: nothing will ever happen again; {self.state.phase.name}"
        self.now = min(times)
        self._ring()
        if self.abort_at is not None and self.abort_at <= self.now:
            self.abort_at = None
            self.inbox.append(AbortRequested(cause="simulated", principal="nobody"))

    def _ring(self) -> bool:
        """Tell that an instant was reached, if one was."""
        if not any(at <= self.now for at in self.alarms):
            return False
        self.alarms = [at for at in self.alarms if at > self.now]
        self.inbox.append(TimePassed())
        return True

    def _restart(self) -> None:
        """Forget everything that is not durable, as after ``kill -9``, and come up again."""
        self.story.append(f"{(self.now - START).total_seconds():8.1f}s restart")
        durable_aborts = [event for event in self.inbox if isinstance(event, AbortRequested)]  # the client asks again
        self.inbox.clear()
        self.alarms.clear()
        self.watched.clear()
        self.opened.clear()
        self.catalog.restart()
        self.state = stored(self.state, self.files)
        machine.check_invariants(self.state)
        survivors = self.rng.random() < 0.3  # the processes may outlive the backend, or die with it
        if not survivors:
            self.processes.clear()
        if self.state.phase is ExecutionPhase.UNDEFINED:
            self.inbox.append(ExecutionRequested())
        self.inbox.extend(durable_aborts)
        for spec in machine.open_attempts(self.state):
            self._find_again(spec.attempt)
        for command in machine.recover(self.state, self.now):
            self._carry_out(command)

    def _find_again(self, attempt: AttemptId) -> None:
        """Tell how an attempt ended while nobody listened, or that it is lost."""
        node = self.state.nodes[attempt.node]
        if attempt in self.ended:
            self.inbox.append(self.ended[attempt])
        elif attempt in self.processes:
            self.processes[attempt].is_reported = False
        elif node.attempts[-1].phase is TaskPhase.RUNNING and node.attempts[-1].failure is None:
            self.ended[attempt] = AttemptLost(attempt=attempt, reason="the backend was restarted")
            self.inbox.append(self.ended[attempt])


def make_world(seed: int) -> World:
    """Return the world of ``seed``, ready to run."""
    rng = random.Random(seed)
    grower = Grower(rng=rng)
    closure = grower.closure()
    execution_plan = plan(closure, max_parallelism=rng.choice([0, 0, 1, 2, 5]), overwrite_cache=rng.random() < 0.1)
    return _world(seed, grower, execution_plan, Catalog(rng=rng))


def recovering_world(first: World) -> World:
    """Return a world in which another execution recovers that of ``first``, which has ended."""
    world = _world(first.seed, first.grower, recovering_plan(first.state, first.files), first.catalog)
    world.catalog.restart()
    world.now = first.now
    return world


def run_seed(seed: int, watch: Callable[[World], object] = id) -> tuple[World, ...]:
    """Run the world of ``seed`` to its end, and then, if that was a bad one, half of the times a recovery.

    Args:
        watch: is given each world before it runs.
    """
    first = make_world(seed)
    watch(first)
    first.run()
    if first.state.phase is ExecutionPhase.SUCCEEDED or first.rng.random() < 0.5:
        return (first,)
    second = recovering_world(first)
    watch(second)
    second.run()
    check_recovery(first.state, second.state)
    return (first, second)


def _world(seed: int, grower: Grower, execution_plan: ExecutionPlan, catalog: Catalog) -> World:
    rng = grower.rng
    return World(
        seed=seed,
        rng=rng,
        state=machine.begin(execution_plan, START),
        grower=grower,
        catalog=catalog,
        abort_at=START + timedelta(seconds=rng.randrange(120)) if rng.random() < 0.15 else None,
        crash_rate=rng.choice([0.0, 0.0, 0.02, 0.1]),
    )


def _describe(event: Event) -> str:
    about = getattr(event, "attempt", None)
    node = getattr(event, "node", "")
    return f"{type(event).__name__} {about if isinstance(about, AttemptId) else node}".rstrip()
