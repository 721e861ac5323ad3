"""Gate nodes: wait for a value, for an approval, or for a time.

Follows flytepropeller (pkg/controller/nodes/gate/handler.go). The one rule: a signal belongs to the execution, not
to the node; every gate that asks for the same one gets the same answer. Gates take no slot and have no process.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import LiteralType, SimpleType
from flyteidl.core.workflow_pb2 import GateNode

from hydraflyte.backend.engine import layout, retries
from hydraflyte.backend.engine.commands import OpenSignal, WakeAt
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.events import SignalSet, TimePassed
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.graph import NodeSpec
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import spec_of
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.backend.engine.templates import timeout_text
from hydraflyte.backend.engine.transitions import Cause, NodeCause

REJECTED = "ReceivedRejectSignal"
_BOOLEAN = LiteralType(simple=SimpleType.BOOLEAN)


def begin(draft: Draft, node: NodeState) -> None:
    """Let the gate wait from now on."""
    node = draft.move(replace(node, queued_at=draft.now, started_at=draft.now), Cause.ENTERED)
    for command in recover_commands(draft.execution, node):
        draft.command(command)


def recover_commands(state: ExecutionState, node: NodeState) -> tuple[OpenSignal | WakeAt, ...]:
    """Return what a waiting gate asks of the world; asking again is harmless."""
    if not is_waiting(node):
        return ()
    spec = spec_of(state, node)
    alarm = _alarm(node, spec)
    wakes = () if alarm is None else (WakeAt(at=alarm),)
    gate = spec.node.gate_node
    match gate.WhichOneof("condition"):
        case "signal":
            return (OpenSignal(signal_id=gate.signal.signal_id, type=gate.signal.type), *wakes)
        case "approve":
            return (OpenSignal(signal_id=gate.approve.signal_id, type=_BOOLEAN), *wakes)
        case _:
            return wakes


def is_waiting(node: NodeState) -> bool:
    """Return whether ``node`` is a gate that waits."""
    return node.kind is NodeKind.GATE and node.phase is NodePhase.RUNNING


def signal_set(draft: Draft, event: SignalSet) -> None:
    """Open, or fail, every gate that waits for this signal."""
    for node in list(draft.nodes.values()):
        if not is_waiting(node):
            continue
        gate = spec_of(draft.execution, node).node.gate_node
        if _signal_id(gate) != event.signal_id:
            continue
        if gate.HasField("signal"):
            value = LiteralMap(literals={gate.signal.output_variable_name: event.value})
            _open(draft, node, value, SignalSet)
        elif event.value.scalar.primitive.boolean:
            _open(draft, node, node.inputs or LiteralMap(), SignalSet)
        else:
            message = f"received reject signal for gate [{gate.approve.signal_id}]"
            draft.end(node, Cause.REJECTED, Failure(kind=ErrorKind.USER, code=REJECTED, message=message))


def check_time(draft: Draft, node: NodeState) -> None:
    """Open a gate that has slept enough; fail one that has waited for longer than it may."""
    spec = spec_of(draft.execution, node)
    alarm = _alarm(node, spec)
    if alarm is None or draft.now < alarm:
        return
    if spec.node.gate_node.HasField("sleep"):
        _open(draft, node, LiteralMap(), TimePassed)
        return
    # gates are never tried again: a second attempt would only ask the same question
    expired = retries.attempt_timed_out(timeout_text(spec.timeout))
    failure = retries.final_failure(expired, retries.Budget(attempt=0, system_failures=0, retries=0))
    draft.end(node, Cause.ATTEMPT_GAVE_UP, failure)


def kill(draft: Draft, node: NodeState, reason: str) -> None:
    """End the gate: nobody needs its answer any more."""
    draft.end(node, Cause.KILLED, retries.aborted(reason))


def _open(draft: Draft, node: NodeState, outputs: LiteralMap, cause: NodeCause) -> None:
    node = replace(node, outputs=outputs)
    draft.write(layout.outputs_uri(draft.state, node), outputs)
    draft.end(node, cause)


def _signal_id(gate: GateNode) -> str | None:
    kind = gate.WhichOneof("condition")
    if kind == "signal":
        return gate.signal.signal_id
    return gate.approve.signal_id if kind == "approve" else None


def _alarm(node: NodeState, spec: NodeSpec) -> datetime | None:
    """Return when to look at the gate again: the end of its sleep, or of its patience."""
    assert node.started_at is not None
    gate = spec.node.gate_node
    if gate.HasField("sleep"):  # flytekit gives every gate a timeout of an hour; a sleep lasts as long as it says
        return node.started_at + gate.sleep.duration.ToTimedelta()
    return node.started_at + spec.timeout if spec.timeout else None
