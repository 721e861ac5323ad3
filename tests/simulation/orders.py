"""Every legal order of the same events: which there are, and what each leads to.

Nothing here is left to chance, and nothing has a deadline: how an attempt, a child, a question to the catalog or a
signal ends follows from its name. The one rule: an order is legal if each source tells its own events in order (a start
before its end); between sources nothing is promised.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from tests.simulation.world import START
from tests.unit.backend.workflows import literal, literals

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import Command, LookUpCache, OpenSignal, StartAttempt, StartChild
from hydraflyte.backend.engine.events import (
    AttemptFailed,
    AttemptProducedWorkflow,
    AttemptStarted,
    AttemptSucceeded,
    CacheAnswered,
    ChildEnded,
    ChildStarted,
    Event,
    ExecutionRequested,
    SignalSet,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, NodeKind
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.backend.engine.state import AttemptState, ExecutionPlan, ExecutionState, NodeState
from hydraflyte.identifiers import AttemptId, NodeId

BOOLEAN = 4  # flyteidl.core.SimpleType
_KINDS_WITH_CHILDREN = frozenset({NodeKind.SUB_WORKFLOW, NodeKind.BRANCH})
FAILURE = Failure(kind=ErrorKind.USER, code="Simulated", message="no luck", is_retryable=True)
Produce = Callable[[AttemptId], CompiledWorkflowClosure]
Name = tuple[str, int]  # of an event: its source, and how many of that source came before


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How everything ends.

    Attributes:
        salt: other salts give other ends.
        failing: how many of a hundred attempts of plain tasks and children fail; items of maps never do, because
            how many of them are begun before a map gives up is a matter of order.
        produce: what attempts of dynamic tasks make; None if they give plain outputs.
    """

    salt: str = ""
    failing: int = 0
    produce: Produce | None = None

    def draw(self, name: str, sides: int) -> int:
        """Return a number below ``sides`` that follows from the name."""
        return zlib.crc32(f"{self.salt}/{name}".encode()) % sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A state, what has been told, and what each source still has to tell (in its order)."""

    state: ExecutionState
    told: frozenset[Name] = frozenset()
    untold: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)


def begin(plan: ExecutionPlan) -> Point:
    """Return the point before anything was told."""
    return Point(state=machine.begin(plan, START), untold={"client": (ExecutionRequested(),)})


def tell(point: Point, source: str, rules: Rules) -> Point:
    """Return the point after ``source`` told its next event."""
    event, *later = point.untold[source]
    step = machine.step(point.state, event, START + timedelta(seconds=len(point.told)))
    machine.check_invariants(step.state)
    untold = {**point.untold, source: tuple(later)}
    untold |= dict(_answers(step.state, step.commands, rules))
    count = sum(name == source for name, _ in point.told)
    return Point(
        state=step.state,
        told=point.told | {(source, count)},
        untold={name: events for name, events in untold.items() if events},
    )


def all_points(plan: ExecutionPlan, rules: Rules, *, most: int) -> dict[frozenset[Name], Point]:
    """Go every legal way, and check that all ways that tell the same lead to the same state.

    Returns:
        what was told -> the point, for every set of events that a legal way tells.

    Raises:
        AssertionError: two ways lead to different states; or there are more than ``most`` points.
    """
    first = begin(plan)
    points = {first.told: first}
    queue = [first]
    while queue:
        point = queue.pop()
        for source in point.untold:
            after = tell(point, source, rules)
            known = points.get(after.told)
            if known is None:
                points[after.told] = after
                queue.append(after)
                assert len(points) <= most, f"more than {most} points"
            else:
                assert_equal(after.state, known.state)
    return points


def random_way(plan: ExecutionPlan, rules: Rules, rng: random.Random) -> Iterator[Point]:
    """Yield the points of one legal way, drawn at random, to its end."""
    point = begin(plan)
    while point.untold:
        point = tell(point, rng.choice(sorted(point.untold)), rules)
        yield point


def assert_equal(one: ExecutionState, other: ExecutionState) -> None:
    """Check that two ways that told the same, or told everything, led to the same."""
    for node_id in {**one.nodes, **other.nodes}:
        found, wanted = _node(one, node_id), _node(other, node_id)
        assert found == wanted, f"{node_id} depends on the order:\n{found}\n{wanted}"
    assert (one.phase, one.outputs) == (other.phase, other.outputs), "the end of the execution depends on the order"
    assert (one.failure is None) == (other.failure is None), "whether the execution fails depends on the order"


def _node(state: ExecutionState, node_id: NodeId) -> NodeState | None:
    """Return a node without what may depend on the order: instants, and which of several failures below came last."""
    node = state.nodes.get(node_id)
    if node is None:
        return None
    is_above_others = node.failure is not None and node.kind in _KINDS_WITH_CHILDREN
    return replace(
        node,
        created_at=START,
        updated_at=START,
        queued_at=None if node.queued_at is None else START,
        started_at=None if node.started_at is None else START,
        ended_at=None if node.ended_at is None else START,
        attempts=tuple(_attempt(attempt) for attempt in node.attempts),
        failure=FAILURE if is_above_others else node.failure,
    )


def _attempt(attempt: AttemptState) -> AttemptState:
    return replace(
        attempt,
        created_at=START,
        updated_at=START,
        started_at=None if attempt.started_at is None else START,
        ended_at=None if attempt.ended_at is None else START,
    )


def _answers(
    state: ExecutionState, commands: Iterable[Command], rules: Rules
) -> Iterator[tuple[str, tuple[Event, ...]]]:
    """Yield what the commands lead to, by the source that will tell it."""
    if state.phase in TERMINAL_EXECUTION_PHASES:
        return
    for command in commands:
        match command:
            case StartAttempt():
                yield f"attempt {command.spec.attempt}", _attempt_events(state, command, rules)
            case StartChild():
                yield f"child {command.node}", _child_events(state, command, rules)
            case LookUpCache():
                answer = CacheAnswered(node=command.node, attempt=command.attempt, outputs=_cached(command, rules))
                yield f"catalog {command.node}", (answer,)
            case OpenSignal():
                is_yes = rules.draw(command.signal_id, 4) > 0
                value = literal(is_yes if command.type.simple == BOOLEAN else 2)
                yield f"signal {command.signal_id}", (SignalSet(signal_id=command.signal_id, value=value),)


def _attempt_events(state: ExecutionState, command: StartAttempt, rules: Rules) -> tuple[Event, ...]:
    attempt = command.spec.attempt
    return AttemptStarted(attempt=attempt), _attempt_end(state, attempt, command.spec.task, rules)


def _attempt_end(state: ExecutionState, attempt: AttemptId, task: TaskTemplate, rules: Rules) -> Event:
    node = state.nodes[attempt.node]
    if rules.produce is not None and task.id.name == "dynamic" and str(attempt.node).count("-") < 3:
        return AttemptProducedWorkflow(attempt=attempt, workflow=rules.produce(attempt))
    if node.item is None and rules.draw(str(attempt), 100) < rules.failing:
        return AttemptFailed(attempt=attempt, failure=FAILURE)
    return AttemptSucceeded(attempt=attempt, outputs=_outputs(task, rules, str(attempt)))


def _outputs(task: TaskTemplate, rules: Rules, name: str) -> LiteralMap:
    return literals(o0=rules.draw(name, 3)) if task.interface.outputs.variables else literals()


def _child_events(state: ExecutionState, command: StartChild, rules: Rules) -> tuple[Event, ...]:
    node = state.nodes[command.node]
    is_item = node.parent is not None and state.nodes[node.parent].kind in ARRAY_KINDS
    end = ChildEnded(node=command.node, outputs=literals(o0=rules.draw(str(command.child), 3)))
    if not is_item and rules.draw(str(command.child), 100) < rules.failing:
        end = ChildEnded(node=command.node, failure=FAILURE)
    return ChildStarted(node=command.node), end


def _cached(command: LookUpCache, rules: Rules) -> LiteralMap | None:
    is_hit = rules.draw(command.tag, 3) == 0 and "flyte_task-t" in command.dataset and "t0" not in command.dataset
    return literals(o0=1) if is_hit else None
