"""The state of one execution: frozen values that the machine maps to new ones.

What the store keeps are exactly these values; outputs and inputs are kept as files (``inputs.pb``,
``outputs.pb``) at the addresses that ``layout`` derives, so a restart reads the same state back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.backend.engine.commands import Command
from hydraflyte.backend.engine.events import LogLink
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.graph import ClosureGraph, WorkflowGraph, index_closure
from hydraflyte.backend.engine.kinds import SLOT_KINDS
from hydraflyte.backend.engine.kinds import NodeKind as NodeKind
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

Written = LiteralMap | TaskTemplate | CompiledWorkflowClosure | DynamicJobSpec
"""What a step may have written to a file."""


class CacheStatus(str, Enum):
    """``flyteidl.core.CatalogCacheStatus``, by name."""

    CACHE_DISABLED = "CACHE_DISABLED"
    CACHE_MISS = "CACHE_MISS"
    CACHE_HIT = "CACHE_HIT"
    CACHE_POPULATED = "CACHE_POPULATED"
    CACHE_LOOKUP_FAILURE = "CACHE_LOOKUP_FAILURE"
    CACHE_PUT_FAILURE = "CACHE_PUT_FAILURE"
    CACHE_SKIPPED = "CACHE_SKIPPED"  # overwrite_cache: not looked up
    CACHE_EVICTED = "CACHE_EVICTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredNode:
    """What the execution being recovered knows of one of its node executions.

    Attributes:
        inputs: as resolved then. outputs: None if it did not end well, or if its outputs are gone.
        deck_uri: of its last attempt's deck, or ``""``.
        checkpoints: directory of its last attempt's checkpoints, or ``""``.
        workflow: what its last attempt produced, if it is dynamic; job_spec: what that was compiled from.
        child: the execution that it began, if it is a launch-plan node.
    """

    phase: NodePhase
    inputs: LiteralMap | None = None
    outputs: LiteralMap | None = None
    deck_uri: str = ""
    checkpoints: str = ""
    cache_status: CacheStatus = CacheStatus.CACHE_DISABLED
    cache_dataset: str = ""
    cache_tag: str = ""
    cache_source: AttemptId | None = None
    workflow: CompiledWorkflowClosure | None = None
    job_spec: DynamicJobSpec | None = None
    child: ExecutionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPlan:
    """What is fixed when an execution begins.

    Attributes:
        workflow: compiled closure (read only).
        inputs: launch plan defaults, request inputs and fixed inputs, merged.
        metadata_prefix: absolute path of ``metadata/propeller/{project}-{domain}-{name}``.
        raw_output_prefix: absolute path or URI under which each attempt gets its own directory.
        max_parallelism: most task and launch-plan nodes running at once; 0 means no limit.
        interruptible: the execution's own wish, or None to follow the workflow.
        envs: appended last to the environment of every attempt.
        resource_defaults: quantities (``cpu``, ``memory``, ``gpu``) for tasks that state none.
        resource_limits: the most of each that a task gets.
        eager_parent: the execution whose eager task began this one and waits for it, or None.
        recovers: the execution that this one recovers, or None.
        recovered: what is known of its nodes, by the unique id that the same node has here; read from the store,
            not kept with the plan.
        graph: ``workflow``, indexed for look-up; derived from it, never given.
    """

    execution_id: ExecutionId
    workflow: CompiledWorkflowClosure
    inputs: LiteralMap
    metadata_prefix: str
    raw_output_prefix: str
    max_parallelism: int = 0
    interruptible: bool | None = None
    overwrite_cache: bool = False
    envs: Mapping[str, str] = field(default_factory=dict)
    resource_defaults: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    eager_parent: ExecutionId | None = None
    recovers: ExecutionId | None = None
    recovered: Mapping[NodeId, RecoveredNode] = field(default_factory=dict, repr=False, compare=False)
    graph: ClosureGraph = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graph", index_closure(self.workflow))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """One task execution: the n-th attempt of a task node.

    Attributes:
        failure: why it ended badly; while ``phase`` is not terminal, why it is being killed (an AbortAttempt
            has been sent, the process may still live).
        is_interruptible: whether a cluster would run it on an instance that may be taken away; only shown here.
    """

    attempt: int
    phase: TaskPhase
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    logs: tuple[LogLink, ...] = ()
    has_deck: bool = False
    is_interruptible: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayCounts:
    """How far the items of an array node are. ``failed`` are all that ended and did not succeed."""

    size: int
    begun: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node execution.

    Attributes:
        node_id: unique id inside the execution.
        spec_node_id: id in the compiled workflow.
        parent: unique id of the parent node execution, or None at top level.
        retry_group: the parent's attempt, or None at top level.
        scope: key of the compiled workflow that holds the node's template (``WorkflowGraph.key``).
        attempt: number of the current attempt (from 0); for nodes other than tasks always 0.
        system_failures: attempts lost to the system so far.
        queued_at: when it was first queued; the active deadline counts from here.
        inputs: resolved inputs, once known. outputs: once the node SUCCEEDED or was RECOVERED.
        cache_source: who produced the outputs of a CACHE_HIT.
        holds_reservation: whether others that want the same outputs from the catalog wait for this node's end.
        item: of an array's item, its index; its inputs are those of the array (``attempts.inputs_of``).
        array: of an array node, how far its items are.
        attempts: every attempt so far, in order; an array has one. A QUEUED task node without any waits for
            CacheAnswered. A dynamic task whose workflow was recovered has no first attempt.
    """

    node_id: NodeId
    spec_node_id: str
    kind: NodeKind
    phase: NodePhase
    created_at: datetime
    updated_at: datetime
    scope: str
    parent: NodeId | None = None
    retry_group: int | None = None
    attempt: int = 0
    system_failures: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    inputs: LiteralMap | None = None
    outputs: LiteralMap | None = None
    cache_status: CacheStatus = CacheStatus.CACHE_DISABLED
    cache_dataset: str = ""
    cache_tag: str = ""
    cache_source: AttemptId | None = None
    holds_reservation: bool = False
    attempts: tuple[AttemptState, ...] = ()
    item: int | None = None
    array: ArrayCounts | None = None

    @property
    def takes_slot(self) -> bool:
        """Whether it counts towards ``max_parallelism``; an array counts once, whatever its items do."""
        return self.kind in SLOT_KINDS and self.item is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may start under ``max_parallelism``: derived from the nodes (``admission.derive``), kept to save a scan.

    Attributes:
        occupied: nodes of ``kinds.SLOT_KINDS`` that are QUEUED or RUNNING.
        waiting: unique id -> (parent, id in the compiled workflow) of task nodes that are ready but must wait,
            first come first.
    """

    occupied: int = 0
    waiting: Mapping[NodeId, tuple[NodeId | None, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionState:
    """One execution: its plan, its phase, and every node execution that exists so far (by unique id).

    Attributes:
        failure: once FAILING or FAILED, the error that the execution ends with.
        abort_cause: once ABORTING or ABORTED.
        produced: workflows that dynamic tasks made, by key (``levels.produced_workflows``); read back from the
            files that the steps wrote.
        admission: not stored; None in a state that was read back, until the next step derives it.
    """

    plan: ExecutionPlan
    phase: ExecutionPhase
    created_at: datetime
    updated_at: datetime
    nodes: Mapping[NodeId, NodeState] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    abort_cause: str | None = None
    abort_principal: str = ""
    outputs: LiteralMap | None = None
    produced: Mapping[str, WorkflowGraph] = field(default_factory=dict, repr=False, compare=False)
    admission: Admission | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one event led to.

    Attributes:
        state: the new state.
        commands: to be carried out after the state is stored, in order.
        writes: messages to be written to these absolute paths *before* the state is stored. Their content
            follows from the state alone, so writing one twice is harmless.
        touched: unique ids of the node executions that are new or changed.
    """

    state: ExecutionState
    commands: tuple[Command, ...] = ()
    writes: Mapping[str, Written] = field(default_factory=dict)
    touched: frozenset[NodeId] = frozenset()
