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
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import Command
from hydraflyte.backend.engine.events import LogLink
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase, TaskPhase
from hydraflyte.identifiers import ExecutionId, NodeId


class NodeKind(str, Enum):
    """What a node of a compiled workflow is."""

    START = "start"  # the workflow's inputs as a node
    END = "end"  # the workflow's outputs as a node
    TASK = "task"
    SUB_WORKFLOW = "sub_workflow"
    LAUNCH_PLAN = "launch_plan"
    BRANCH = "branch"
    GATE = "gate"
    ARRAY = "array"


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
class ExecutionPlan:
    """What is fixed when an execution begins.

    Attributes:
        workflow: compiled closure (read only).
        inputs: launch plan defaults, request inputs and fixed inputs, merged.
        metadata_prefix: absolute path of ``metadata/propeller/{project}-{domain}-{name}``.
        raw_output_prefix: absolute path or URI under which each attempt gets its own directory.
        max_parallelism: most task nodes running at once; 0 means no limit.
        interruptible: the execution's own wish, or None to follow the workflow.
        envs: appended last to the environment of every attempt.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """One task execution: the n-th attempt of a task node."""

    attempt: int
    phase: TaskPhase
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    logs: tuple[LogLink, ...] = ()
    has_deck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node execution.

    Attributes:
        node_id: unique id inside the execution.
        spec_node_id: id in the compiled workflow.
        parent: unique id of the parent node execution, or None at top level.
        retry_group: the parent's attempt, or None at top level.
        scope: id (``str`` of the workflow's Identifier) of the compiled workflow that holds the node's template.
        attempt: number of the current attempt (from 0); for nodes other than tasks always 0.
        system_failures: attempts lost to the system so far.
        inputs: resolved inputs, once known. outputs: once the node SUCCEEDED.
        attempts: every attempt so far, in order.
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
    attempts: tuple[AttemptState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionState:
    """One execution: its plan, its phase, and every node execution that exists so far (by unique id)."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one event led to.

    Attributes:
        state: the new state.
        commands: to be carried out after the state is stored, in order.
        writes: literal maps to be written to these absolute paths *before* the state is stored. Their content
            follows from the state alone, so writing one twice is harmless.
        touched: unique ids of the node executions that are new or changed.
    """

    state: ExecutionState
    commands: tuple[Command, ...] = ()
    writes: Mapping[str, LiteralMap] = field(default_factory=dict)
    touched: frozenset[NodeId] = frozenset()
