"""The state of one execution while a step changes it.

The one rule: a draft lives no longer than its step, and the only way to a new phase is through the tables.
It decides nothing; the modules that know the rules do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from hydraflyte.backend.engine import retries, transitions
from hydraflyte.backend.engine.commands import Command, ReleaseReservation
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.graph import WorkflowGraph
from hydraflyte.backend.engine.levels import Level
from hydraflyte.backend.engine.offloaded import NONE_READ, Contents
from hydraflyte.backend.engine.phases import OCCUPYING_PHASES, TERMINAL_NODE_PHASES, ExecutionPhase, NodePhase
from hydraflyte.backend.engine.state import Admission, ExecutionPlan, ExecutionState, NodeState, Step, Written
from hydraflyte.backend.engine.transitions import ExecutionCause, NodeCause
from hydraflyte.identifiers import NodeId


class Draft:
    """A mutable view of an ExecutionState, and what the step has to tell the world so far."""

    def __init__(self, state: ExecutionState, now: datetime, contents: Contents = NONE_READ) -> None:
        self.now = now
        self.contents = contents
        self.ended: deque[NodeId] = deque()  # nodes whose end has not been passed on to others yet
        self.admission = state.admission or Admission()
        self._execution = state
        self._nodes: dict[NodeId, NodeState] | None = None  # copied at the first change
        self._commands: list[Command] = []
        self._writes: dict[str, Written] = {}
        self._touched: set[NodeId] = set()

    @property
    def plan(self) -> ExecutionPlan:
        return self._execution.plan

    @property
    def phase(self) -> ExecutionPhase:
        return self._execution.phase

    @property
    def nodes(self) -> Mapping[NodeId, NodeState]:
        return self._execution.nodes if self._nodes is None else self._nodes

    @property
    def state(self) -> ExecutionState:
        """The state as it would be if the step ended here."""
        if self._nodes is None:
            return self._execution
        return replace(self._execution, nodes=self._nodes)

    @property
    def execution(self) -> ExecutionState:
        """The execution's own fields; its ``nodes`` are those from before the step."""
        return self._execution

    @property
    def abort_reason(self) -> str:
        """Why nodes are being killed at present."""
        return self._execution.abort_cause or retries.AUTO_ABORT_REASON

    def new_node(self, level: Level, spec_node_id: str) -> NodeState:
        """Return a node execution in phase UNDEFINED; it exists only once it is moved."""
        return NodeState(
            node_id=level.id_of(spec_node_id),
            spec_node_id=spec_node_id,
            kind=level.workflow.nodes[spec_node_id].kind,
            phase=NodePhase.UNDEFINED,
            created_at=self.now,
            updated_at=self.now,
            scope=level.workflow.key,
            parent=level.parent,
            retry_group=None if level.parent is None else level.attempt,
        )

    def move(self, node: NodeState, cause: NodeCause) -> NodeState:
        """Store ``node`` in the phase that ``cause`` leads to, and return it.

        Raises:
            InvalidTransitionError: the table has no row.
        """
        phase = transitions.next_node_phase(node.phase, cause, story=story_of(node))
        if node.takes_slot:
            self._count_slot((phase in OCCUPYING_PHASES) - (node.phase in OCCUPYING_PHASES))
        is_ended = phase in TERMINAL_NODE_PHASES
        if is_ended and node.holds_reservation:
            self.command(ReleaseReservation(node=node.node_id, dataset=node.cache_dataset, tag=node.cache_tag))
        node = self.keep(replace(node, phase=phase, holds_reservation=node.holds_reservation and not is_ended))
        if is_ended:
            self.ended.append(node.node_id)
        return node

    def end(self, node: NodeState, cause: NodeCause, failure: Failure | None = None) -> NodeState:
        """Like :meth:`move`, for the last move: the node ended now."""
        return self.move(replace(node, failure=failure, ended_at=self.now), cause)

    def keep(self, node: NodeState) -> NodeState:
        """Store ``node``, its phase unchanged, and return it."""
        node = replace(node, updated_at=self.now)
        if self._nodes is None:
            self._nodes = dict(self._execution.nodes)
        self._nodes[node.node_id] = node
        self._touched.add(node.node_id)
        return node

    def move_execution(self, execution: ExecutionState, cause: ExecutionCause) -> None:
        """Store the execution's own fields in the phase that ``cause`` leads to.

        Raises:
            InvalidTransitionError: the table has no row.
        """
        phase = transitions.next_execution_phase(execution.phase, cause, story=f"Execution {self.plan.execution_id}.")
        self._execution = replace(execution, phase=phase, updated_at=self.now)

    def keep_execution(self, execution: ExecutionState) -> None:
        """Store the execution's own fields, its phase unchanged."""
        self._execution = replace(execution, updated_at=self.now)

    def add_workflows(self, workflows: Mapping[str, WorkflowGraph]) -> None:
        """Make workflows known that a dynamic task produced."""
        self._execution = replace(self._execution, produced={**self._execution.produced, **workflows})

    def wait_for_slot(self, level: Level, spec_node_id: str) -> None:
        """Queue a task node that is ready, until ``max_parallelism`` lets it start."""
        waiting = {**self.admission.waiting, level.id_of(spec_node_id): (level.parent, spec_node_id)}
        self.admission = replace(self.admission, waiting=waiting)

    def stop_waiting(self, nodes: Iterable[NodeId]) -> None:
        """Take ``nodes`` from that queue."""
        waiting = dict(self.admission.waiting)
        for node in nodes:
            del waiting[node]
        self.admission = replace(self.admission, waiting=waiting)

    def _count_slot(self, change: int) -> None:
        if change:
            self.admission = replace(self.admission, occupied=self.admission.occupied + change)

    def command(self, command: Command) -> None:
        """Have ``command`` carried out once the new state is stored."""
        self._commands.append(command)

    def write(self, uri: str, message: Written) -> None:
        """Have ``message`` written before the new state is stored."""
        self._writes[uri] = message

    def finish(self) -> Step:
        """Return what the step led to."""
        return Step(
            state=replace(self.state, admission=self.admission),
            commands=tuple(self._commands),
            writes=self._writes,
            touched=frozenset(self._touched),
        )


def story_of(node: NodeState) -> str:
    """Return what happened to ``node`` so far, in one line."""
    attempts = ", ".join(f"{a.attempt} {a.phase.name}" for a in node.attempts) or "none"
    failure = f" Failure: {node.failure.code}." if node.failure else ""
    return f"Node {node.node_id} ({node.kind.value}), attempt {node.attempt}. Attempts: {attempts}.{failure}"
