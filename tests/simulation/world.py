"""A world made from a seed: a random workflow, and executors, catalog, clock and crashes that behave at random.

Everything random comes from one ``random.Random(seed)``, so a seed tells the whole story again. The world keeps
to the executor's contract (each attempt that was started ends exactly once) but not to any order: events come
late, twice, or after a restart that forgot every command.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.literals_pb2 import LiteralMap, RetryStrategy
from flyteidl.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate
from tests.unit.backend.workflows import (
    INT,
    NONE,
    PLAN,
    approve_node,
    array_node,
    array_over,
    bind,
    branch_node,
    collect,
    compare,
    compiled,
    const,
    given,
    list_of,
    literal,
    literals,
    older_map_task,
    plan,
    plan_node,
    ref,
    signal_node,
    task,
    task_node,
    union_of,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.dynamic import compile_dynamic
from hydraflyte.backend.compiler.interfaces import Registered
from hydraflyte.backend.engine import layout, machine
from hydraflyte.backend.engine.commands import (
    AbortAttempt,
    AbortChild,
    Command,
    LookUpCache,
    OpenSignal,
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
    CacheAnswered,
    ChildEnded,
    ChildStarted,
    Event,
    ExecutionRequested,
    SignalSet,
    TimePassed,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.graph import WorkflowGraph, entity_key
from hydraflyte.backend.engine.levels import produced_workflows
from hydraflyte.backend.engine.phases import (
    TERMINAL_EXECUTION_PHASES,
    TERMINAL_NODE_PHASES,
    ExecutionPhase,
    NodePhase,
    TaskPhase,
)
from hydraflyte.backend.engine.state import ExecutionState, NodeKind, NodeState
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MAX_STEPS = 20_000
MAPPED = "mapped"
OLDER = "older"
DYNAMIC = "dynamic"  # the task whose attempts produce workflows
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
    tasks: Mapping[str, TaskTemplate]
    now: datetime = START
    files: dict[str, bytes] = field(default_factory=dict)
    processes: dict[AttemptId, Process] = field(default_factory=dict)
    ended: dict[AttemptId, Event] = field(default_factory=dict)  # what the executor could still say of the past
    catalog: dict[tuple[str, str], bytes] = field(default_factory=dict)
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
        _check_end(self)
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
        again = machine.step(before, event, self.now)
        assert again.state == step.state, "the same step twice gave two states"
        assert again.commands == step.commands, "the same step twice gave different commands"
        _check_touched(before, step.state, step.touched)
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
                self.catalog[command.dataset, command.tag] = command.outputs.SerializeToString(deterministic=True)
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
        """Tell of children that ended, and of signals that were set."""
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
            return AttemptProducedWorkflow(attempt=attempt, workflow=self._produce(attempt))
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

    def _produce(self, attempt: AttemptId) -> CompiledWorkflowClosure:
        """A workflow at random, of the same tasks, that takes nothing."""
        tasks = [template for template in self.tasks.values() if template.id.name not in (MAPPED, OLDER)]
        nodes: list[Node] = []
        for number in range(self.rng.randrange(1, 4)):
            source = ref(self.rng.choice(nodes).id) if nodes and self.rng.random() < 0.5 else const(number)
            if self.rng.random() < 0.2:
                nodes.append(plan_node(f"dn{number}", x=source))
                continue
            timeout_s = self.rng.choice([0, 10])
            nodes.append(task_node(f"dn{number}", self.rng.choice(tasks), timeout_s=timeout_s, x=source))
        spec = DynamicJobSpec(nodes=nodes, tasks=tasks, outputs=bind({"o0": ref(self.rng.choice(nodes).id)}))
        registered = Registered(launch_plans={entity_key(PLAN.identifier): PLAN})
        return compile_dynamic(spec, attempt, variables({"o0": INT}), registered)

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
        found = self.catalog.get((command.dataset, command.tag))
        outputs = None if found is None else LiteralMap.FromString(found)
        has_failed = outputs is None and self.rng.random() < 0.1
        answer = CacheAnswered(node=command.node, attempt=command.attempt, outputs=outputs, has_failed=has_failed)
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
        times = [at for at in self.alarms if at > self.now]
        for process in self.processes.values():
            times += [at for at in (process.starts_at, process.ends_at) if at > self.now]
        times += [at for name in self.watched if (at := self.children[name].ends_at) > self.now]
        times += [at for signal_id in self.opened if (at := self.signals[signal_id]) > self.now]
        if self.abort_at is not None and self.abort_at > self.now:
            times.append(self.abort_at)
        assert times, f"seed {self.seed}: nothing will ever happen again; {self.state.phase.name}"
        self.now = min(times)
        if any(at <= self.now for at in self.alarms):
            self.alarms = [at for at in self.alarms if at > self.now]
            self.inbox.append(TimePassed())
        if self.abort_at is not None and self.abort_at <= self.now:
            self.abort_at = None
            self.inbox.append(AbortRequested(cause="simulated", principal="nobody"))

    def _restart(self) -> None:
        """Forget everything that is not durable, as after ``kill -9``, and come up again."""
        self.story.append(f"{(self.now - START).total_seconds():8.1f}s restart")
        durable_aborts = [event for event in self.inbox if isinstance(event, AbortRequested)]  # the client asks again
        self.inbox.clear()
        self.alarms.clear()
        self.watched.clear()
        self.opened.clear()
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
    tasks = _tasks(rng)
    closure = _closure(rng, tasks)
    execution_plan = plan(closure, max_parallelism=rng.choice([0, 0, 1, 2, 5]), overwrite_cache=rng.random() < 0.1)
    world = World(
        seed=seed,
        rng=rng,
        state=machine.begin(execution_plan, START),
        tasks={template.id.name: template for template in tasks},
        abort_at=START + timedelta(seconds=rng.randrange(120)) if rng.random() < 0.15 else None,
        crash_rate=rng.choice([0.0, 0.0, 0.02, 0.1]),
    )
    return world


def stored(state: ExecutionState, files: Mapping[str, bytes]) -> ExecutionState:
    """Return ``state`` as a store would give it back: literals from files, nothing derived."""
    nodes = {}
    for node_id, node in state.nodes.items():
        nodes[node_id] = replace(node, inputs=_read_inputs(state, node, files), outputs=_outputs(state, node, files))
    produced: dict[str, WorkflowGraph] = {}
    for parent, attempt in {(node.parent, node.retry_group or 0) for node in nodes.values() if node.parent}:
        if nodes[parent].kind is NodeKind.TASK:
            content = files[layout.dynamic_workflow_uri(state, nodes[parent], attempt)]
            produced |= produced_workflows(parent, attempt, CompiledWorkflowClosure.FromString(content))
    return replace(state, nodes=nodes, produced=produced, admission=None)


def _read_inputs(state: ExecutionState, node: NodeState, files: Mapping[str, bytes]) -> LiteralMap | None:
    content = files.get(layout.inputs_uri(state, node))
    has_inputs = content is not None and node.inputs is not None
    assert has_inputs == (node.inputs is not None), f"the inputs of {node.node_id} are not on file"
    return LiteralMap.FromString(content) if has_inputs and content is not None else None


def _outputs(state: ExecutionState, node: NodeState, files: Mapping[str, bytes]) -> LiteralMap | None:
    """A task's process wrote its own ``outputs.pb``; all other outputs must have been written by a step."""
    if node.phase is not NodePhase.SUCCEEDED:
        return None
    content = files.get(layout.outputs_uri(state, node))
    if content is not None:
        return LiteralMap.FromString(content)
    assert node.attempts, f"the outputs of {node.node_id} are not on file"
    return node.outputs


def _tasks(rng: random.Random) -> list[TaskTemplate]:
    tasks = []
    for number in range(3):
        metadata = TaskMetadata(
            discoverable=rng.random() < 0.4,
            discovery_version="1",
            retries=RetryStrategy(retries=rng.randrange(3)),
        )
        tasks.append(task(f"t{number}", metadata=metadata, outputs={"o0": INT} if number else None))
    dynamic = TaskMetadata(discoverable=rng.random() < 0.3, retries=RetryStrategy(retries=rng.randrange(2)))
    tasks.append(task(DYNAMIC, metadata=dynamic))
    mapped = TaskMetadata(discoverable=rng.random() < 0.4, discovery_version="1")
    optionals = list_of(union_of(NONE, INT))
    tasks.append(older_map_task(OLDER, min_success_ratio=rng.choice([1.0, 0.5]), parallelism=rng.randrange(3)))
    tasks.append(task(MAPPED, inputs={"x": list_of(INT)}, outputs={"o0": optionals}, metadata=mapped))
    return tasks


def _closure(rng: random.Random, tasks: list[TaskTemplate]) -> CompiledWorkflowClosure:
    subs: list[WorkflowTemplate] = []
    for number in range(rng.randrange(4)):
        subs.append(_workflow(rng, f"sub{number}", tasks, subs))
    return compiled(_workflow(rng, "main", tasks, subs), tasks, subs)


def _workflow(
    rng: random.Random, name: str, tasks: list[TaskTemplate], subs: list[WorkflowTemplate]
) -> WorkflowTemplate:
    nodes: list[Node] = []
    arrays: list[Node] = []
    for number in range(rng.randrange(1, 8)):
        before = [node.id for node in nodes]
        if before and rng.random() < 0.2:
            arrays.append(_array(rng, f"m{number}", tasks, before))
        else:
            nodes.append(_node(rng, f"n{number}", tasks, subs, before))
            if arrays and rng.random() < 0.5:
                nodes[-1].upstream_node_ids.append(rng.choice(arrays).id)
    failure_node = _node(rng, "fn0", tasks, subs, []) if rng.random() < 0.25 else None
    return workflow(
        name,
        [*nodes, *arrays],
        outputs={"o0": (INT, ref(rng.choice(nodes).id))},
        failure_node=failure_node,
        finishes_others=rng.random() < 0.5,
    )


def _node(
    rng: random.Random, node_id: str, tasks: list[TaskTemplate], subs: list[WorkflowTemplate], before: list[str]
) -> Node:
    if rng.random() < 0.15:
        return _branch(rng, node_id, tasks, subs, before)
    return _plain_node(rng, node_id, tasks, subs, before)


def _branch(
    rng: random.Random, node_id: str, tasks: list[TaskTemplate], subs: list[WorkflowTemplate], before: list[str]
) -> Node:
    """A branch node over a value of which nobody knows; its arms may be branches, its default an error."""
    source = ref(rng.choice(before)) if before and rng.random() < 0.7 else given("x")
    arms = []
    for number in range(rng.randrange(1, 3)):
        condition = compare("$v", rng.choice(["EQ", "GT", "LTE"]), rng.randrange(3))
        arms.append((condition, _node(rng, f"a{number}", tasks, subs, before)))
    default = _plain_node(rng, "a9", tasks, subs, before) if rng.random() < 0.8 else None
    return branch_node(node_id, arms, default=default, error="no arm", v=source)


def _plain_node(
    rng: random.Random, node_id: str, tasks: list[TaskTemplate], subs: list[WorkflowTemplate], before: list[str]
) -> Node:
    source = ref(rng.choice(before)) if before and rng.random() < 0.7 else given("x")
    after = rng.sample(before, k=min(len(before), rng.choice([0, 0, 1, 2])))
    chance = rng.random()
    if chance < 0.08:
        return plan_node(node_id, after=after, x=source)
    if chance < 0.12:
        return signal_node(node_id, f"s{rng.randrange(3)}", timeout_s=rng.choice([0, 10]), after=after)
    if chance < 0.16:
        return approve_node(node_id, f"ok{rng.randrange(6)}", after=after, o0=source)
    if subs and rng.random() < 0.35:
        return workflow_node(node_id, rng.choice(subs), after=after, x=source)
    return task_node(
        node_id,
        rng.choice(tasks[:-2]),
        retries=rng.choice([0, 0, 1, 3]),
        timeout_s=rng.choice([0, 0, 0, 10, 40]),
        after=after,
        x=source,
    )


def _array(rng: random.Random, node_id: str, tasks: list[TaskTemplate], before: list[str]) -> Node:
    """A map, of any kind, over up to four items, all of them equal."""
    source = ref(rng.choice(before)) if rng.random() < 0.7 else given("x")
    items = collect(*[source] * rng.randrange(5))
    retries, parallelism, ratio = rng.choice([0, 1]), rng.choice([0, 0, 1, 2]), rng.choice([1.0, 0.5])
    *plain, older, mapped = tasks
    kind = rng.choice(["map task", "map task", "older", "launch plan", "plain task"])
    if kind == "map task":
        return array_node(node_id, mapped, retries=retries, parallelism=parallelism, min_success_ratio=ratio, x=items)
    if kind == "older":
        return task_node(node_id, older, retries=retries, x=items)
    work = plan_node(node_id) if kind == "launch plan" else task_node(node_id, rng.choice(plain[:3]), retries=retries)
    return array_over(work, parallelism=parallelism, min_success_ratio=ratio, x=items)


def _check_touched(before: ExecutionState, after: ExecutionState, touched: frozenset[str]) -> None:
    changed = {node_id for node_id, node in after.nodes.items() if before.nodes.get(node_id) is not node}
    assert changed == touched, f"changed {changed}, told {touched}"
    for node_id, node in before.nodes.items():
        was_ended = node.phase in TERMINAL_NODE_PHASES
        assert not was_ended or after.nodes[node_id] == node, f"{node_id} has ended and changed"


def _check_end(world: World) -> None:
    state = world.state
    for node in state.nodes.values():
        assert node.phase in TERMINAL_NODE_PHASES, f"{node.node_id} is {node.phase.name} though all has ended"
    if state.phase is ExecutionPhase.SUCCEEDED:
        phases = {
            node.phase
            for node in state.nodes.values()
            if node.item is None and not _is_of_replaced_attempt(state, node)  # some items may fail
        }
        assert phases == {NodePhase.SUCCEEDED}, f"SUCCEEDED with {phases}"
        assert layout.execution_outputs_uri(state.plan) in world.files
    for attempt in world.successes:
        node = state.nodes[attempt.node]
        assert node.attempts[attempt.attempt].phase is TaskPhase.SUCCEEDED, f"the result of {attempt} was lost"


def _is_of_replaced_attempt(state: ExecutionState, node: NodeState) -> bool:
    """Below a dynamic task that was tried again, what the earlier attempt produced did not end well."""
    if node.parent is None:
        return False
    parent = state.nodes[node.parent]
    return parent.attempt != node.retry_group or _is_of_replaced_attempt(state, parent)


def _describe(event: Event) -> str:
    about = getattr(event, "attempt", None)
    node = getattr(event, "node", "")
    return f"{type(event).__name__} {about if isinstance(about, AttemptId) else node}".rstrip()
