"""Everything the engine may ask of the world, as frozen values.

Commands are carried out only after the transaction that stored the states they follow from. Each may be sent
twice without harm: it carries the id of what it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import LiteralType

from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpec:
    """All an executor needs to run one attempt.

    Attributes:
        argv: program and arguments, templates already replaced (section 3.14).
        env: the container's own environment plus Flyte's (section 3.15), later duplicates already resolved.
        task: the task template (read only), for its type, interface and resources.
        inputs_uri: absolute path of the node's ``inputs.pb``; written before the attempt starts.
        output_prefix: absolute path of the directory that receives ``outputs.pb``/``error.pb``.
        raw_output_prefix: absolute path of this attempt's own raw data directory.
        bundle_uri: absolute path of the code bundle named in ``argv``, or ``""``.
        resource_defaults: quantities (``cpu``, ``memory``, ``gpu``) of a task that states none.
        resource_limits: the most of each that a task gets, whatever it states.
        eager_parent: the execution whose eager task waits for this one, or None.
    """

    attempt: AttemptId
    argv: tuple[str, ...]
    env: Mapping[str, str]
    task: TaskTemplate
    inputs_uri: str
    output_prefix: str
    raw_output_prefix: str
    bundle_uri: str = ""
    resource_defaults: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    eager_parent: ExecutionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAttempt:
    """Run this attempt. The executor queues it until a slot is free."""

    spec: AttemptSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortAttempt:
    """Kill the attempt's process group; answered by AttemptAborted, also if there is no such process."""

    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Send TimePassed at this instant (aware, UTC) or soon after."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUpCache:
    """Ask the catalog for an artifact; answered by CacheAnswered.

    Attributes:
        dataset: project, domain, task name, cache version and interface hashes, as one key.
        reserves: whether a miss is answered only when no other node that reserves holds the same key.
    """

    node: NodeId
    attempt: int
    dataset: str
    tag: str
    reserves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepReservation:
    """This node holds the reservation of the key, since before a restart. Not answered."""

    node: NodeId
    dataset: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReservation:
    """This node holds no reservation of the key any more; what it wrote is in the catalog. Not answered."""

    node: NodeId
    dataset: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCache:
    """Store a finished attempt's outputs in the catalog. Not answered."""

    attempt: AttemptId
    dataset: str
    tag: str
    outputs: LiteralMap


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChild:
    """Begin an execution of a launch plan, as a child of ``node``; answered by ChildStarted, then by ChildEnded.

    If the child exists already it is waited for; nothing is begun twice. ``recovers`` is an execution that the child
    is to recover; if that is gone, or None, the child is a new one.
    """

    node: NodeId
    child: ExecutionId
    launch_plan: Identifier
    inputs: LiteralMap
    recovers: ExecutionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortChild:
    """Terminate the child execution of ``node``; answered by ChildEnded, also if there is no such execution."""

    node: NodeId
    child: ExecutionId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSignal:
    """Let clients set this signal of the execution; answered by SignalSet once it is set, or if it is set already."""

    signal_id: str
    type: LiteralType


Command = (
    StartAttempt
    | AbortAttempt
    | WakeAt
    | LookUpCache
    | KeepReservation
    | ReleaseReservation
    | WriteCache
    | StartChild
    | AbortChild
    | OpenSignal
)
