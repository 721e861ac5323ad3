"""Launch-plan nodes: an execution of its own for each, started, awaited and ended together with its parent.

Follows flytepropeller (pkg/controller/nodes/subworkflow/launchplan.go). The one rule: a child that was asked for
is waited for, whatever becomes of its parent; the node ends when the child has ended, never before.
"""

from __future__ import annotations

from dataclasses import replace

from hydraflyte.backend.engine import layout, retries
from hydraflyte.backend.engine.commands import AbortChild, StartChild, WakeAt
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.events import ChildEnded, ChildStarted
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.kinds import NodeKind
from hydraflyte.backend.engine.levels import spec_of
from hydraflyte.backend.engine.nodeids import child_execution_name, item_execution_name
from hydraflyte.backend.engine.phases import TERMINAL_NODE_PHASES, NodePhase
from hydraflyte.backend.engine.readiness import is_doomed
from hydraflyte.backend.engine.state import ExecutionState, NodeState
from hydraflyte.backend.engine.templates import timeout_text
from hydraflyte.backend.engine.transitions import Cause
from hydraflyte.identifiers import ExecutionId

CHILD_FAILED = "RemoteChildWorkflowExecutionFailed"
OVERDUE_REASON = "node failing"  # flytepropeller's words


def begin(draft: Draft, node: NodeState) -> None:
    """Ask for the child execution of a node whose inputs are resolved."""
    node = draft.move(replace(node, queued_at=draft.now), Cause.QUEUED)
    draft.command(start_command(draft.execution, node))


def started(draft: Draft, event: ChildStarted) -> None:
    """Note that the child exists."""
    node = _waiting(draft, event)
    if node is not None and node.phase is NodePhase.QUEUED:
        _note_start(draft, node)


def ended(draft: Draft, event: ChildEnded) -> None:
    """End the node as its child ended. A result is never thrown away, even if the child was being aborted."""
    node = _waiting(draft, event)
    if node is None:
        return
    if event.outputs is not None:
        node = _note_start(draft, node) if node.phase is NodePhase.QUEUED else node
        node = replace(node, outputs=event.outputs)
        draft.write(layout.outputs_uri(draft.state, node), event.outputs)
        draft.end(node, Cause.CHILD_EXECUTION_SUCCEEDED)
    elif is_doomed(draft.execution, draft.nodes, node):
        draft.end(node, Cause.KILLED, retries.aborted(draft.abort_reason))
    else:
        failure = node.failure or event.failure or _aborted(draft.execution, node)
        draft.end(node, Cause.CHILD_EXECUTION_FAILED, failure)


def check_deadline(draft: Draft, node: NodeState) -> None:
    """Have the child ended if it took too long; the node fails when it has. A new child is never tried."""
    deadline = _deadline(draft.execution, node)
    if deadline is None or draft.now < deadline.at or is_doomed(draft.execution, draft.nodes, node):
        return
    expired = retries.attempt_timed_out(timeout_text(spec_of(draft.execution, node).timeout))
    failure = retries.final_failure(expired, retries.Budget(attempt=0, system_failures=0, retries=0))
    assert failure is not None, "nothing is left of an empty budget"
    draft.move(replace(node, failure=failure), Cause.CHILD_OVERDUE)
    kill(draft, node, OVERDUE_REASON)


def kill(draft: Draft, node: NodeState, reason: str) -> None:
    """Have the child aborted; the node ends when the child has ended."""
    draft.command(abort_command(draft.execution, node, reason))


def recover_commands(state: ExecutionState, node: NodeState) -> tuple[StartChild | AbortChild | WakeAt, ...]:
    """Return what to ask for again after a restart."""
    if node.phase in TERMINAL_NODE_PHASES:
        return ()
    if is_doomed(state, state.nodes, node):
        return (abort_command(state, node, state.abort_cause or retries.AUTO_ABORT_REASON),)
    if node.failure is not None:
        return (abort_command(state, node, OVERDUE_REASON),)
    deadline = _deadline(state, node)
    return (start_command(state, node),) if deadline is None else (start_command(state, node), deadline)


def start_command(state: ExecutionState, node: NodeState) -> StartChild:
    """Return the order for the child: the same one, under the same name, whenever it is asked for."""
    assert node.inputs is not None
    launch_plan = spec_of(state, node).launch_plan
    assert launch_plan is not None
    recovered = state.plan.recovered.get(node.node_id)
    return StartChild(
        node=node.node_id,
        child=child_execution(state, node),
        launch_plan=launch_plan,
        inputs=node.inputs,
        recovers=None if recovered is None else recovered.child,
    )


def child_execution(state: ExecutionState, node: NodeState) -> ExecutionId:
    """Return the id of the child; it lives where its parent does."""
    name_of = child_execution_name if node.item is None else item_execution_name
    parent = state.plan.execution_id
    return replace(parent, name=name_of(parent.name, node.node_id, node.attempt))


def abort_command(state: ExecutionState, node: NodeState, reason: str) -> AbortChild:
    """Return the order to end the child, which is told whose fault it is."""
    name = state.plan.execution_id.name
    cause = f"cascading abort as parent execution id [{name}] aborted, reason [{reason}]"
    return AbortChild(node=node.node_id, child=child_execution(state, node), reason=cause)


def _waiting(draft: Draft, event: ChildStarted | ChildEnded) -> NodeState | None:
    """Return the node that the event is about, or None if it has ended or is of another kind."""
    node = draft.nodes.get(event.node)
    is_waiting = node is not None and node.kind is NodeKind.LAUNCH_PLAN and node.phase not in TERMINAL_NODE_PHASES
    return node if is_waiting else None


def _note_start(draft: Draft, node: NodeState) -> NodeState:
    node = draft.move(replace(node, started_at=draft.now), ChildStarted)
    deadline = _deadline(draft.execution, node)
    if deadline is not None:
        draft.command(deadline)
    return node


def _deadline(state: ExecutionState, node: NodeState) -> WakeAt | None:
    """Return when the time of a running child is up, if there is a limit."""
    timeout = spec_of(state, node).timeout
    if node.phase is not NodePhase.RUNNING or node.started_at is None or not timeout:
        return None
    return WakeAt(at=node.started_at + timeout)


def _aborted(state: ExecutionState, node: NodeState) -> Failure:
    message = f"launch plan execution [{child_execution(state, node).name}] was aborted"
    return Failure(kind=ErrorKind.USER, code=CHILD_FAILED, message=message)
