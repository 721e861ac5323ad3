"""From the end of one node to what follows from it: the next nodes, or the end of the level.

Follows flytepropeller (pkg/controller/nodes/executor.go). The one rule: ends are passed on one after the other
from a queue, never by recursion, so a chain of a thousand nodes needs no deeper stack than one of two.
"""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core.literals_pb2 import Literal, LiteralMap, Scalar, Union
from flyteidl.core.types_pb2 import Error, LiteralType, SimpleType, TypeStructure

from hydraflyte.backend.engine import arrays, closing, gates, launchplans, layout, recovery, tasks
from hydraflyte.backend.engine.bindings import BindingResolutionError, resolve
from hydraflyte.backend.engine.branches import BranchError, choose
from hydraflyte.backend.engine.draft import Draft
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.graph import NodeSpec
from hydraflyte.backend.engine.kinds import ARRAY_KINDS, SLOT_KINDS, START_NODE_ID, NodeKind
from hydraflyte.backend.engine.levels import Level, level_at, level_below, level_of, source_level, spec_of
from hydraflyte.backend.engine.phases import NodePhase
from hydraflyte.backend.engine.readiness import LevelCondition, Readiness, condition, readiness
from hydraflyte.backend.engine.state import NodeState
from hydraflyte.backend.engine.transitions import Cause

BINDING_FAILURE = "BindingResolutionFailure"
ERROR_INPUT = "err"
_ERROR_TYPE = LiteralType(simple=SimpleType.ERROR, structure=TypeStructure(tag="FlyteError"))
_FAILED_PHASES = frozenset({NodePhase.FAILED, NodePhase.TIMED_OUT})
_LOOKS_INTO_INPUTS = frozenset({NodeKind.BRANCH, *ARRAY_KINDS})


def enter(draft: Draft, level: Level, inputs: LiteralMap) -> None:
    """Begin a level: its start-node has ended, with ``inputs`` as its outputs."""
    start = replace(draft.new_node(level, START_NODE_ID), started_at=draft.now, outputs=inputs)
    draft.write(layout.outputs_uri(draft.state, start), inputs)
    draft.end(start, Cause.PASSED)


def settle(draft: Draft) -> None:
    """Follow everything that ended, and fill the free slots, until nothing more follows."""
    while True:
        if draft.ended:
            _pass_on(draft, draft.nodes[draft.ended.popleft()])
        elif _has_free_slot(draft):
            node_id, (parent, spec_id) = next(iter(draft.admission.waiting.items()))
            draft.stop_waiting([node_id])
            _begin(draft, level_at(draft.execution, draft.nodes, parent), spec_id)
        else:
            return


def close_if_drained(draft: Draft, level: Level) -> None:
    """Go on with a closing level of which nothing runs any more: run its failure node, or end it."""
    if not closing.is_drained(draft, level):
        return
    failure_node = closing.failure_node_to_run(draft, level)
    if failure_node is None:
        closing.close(draft, level)
    else:
        _begin(draft, level, failure_node)


def _has_free_slot(draft: Draft) -> bool:
    return bool(draft.admission.waiting) and draft.admission.occupied < draft.plan.max_parallelism


def _pass_on(draft: Draft, node: NodeState) -> None:
    if node.item is not None:
        arrays.item_ended(draft, node)
        return
    level = level_of(draft.execution, node)
    state = condition(draft.execution, draft.nodes, level)
    if state is LevelCondition.CLOSED:
        return
    if state is LevelCondition.CLOSING:
        if node.spec_node_id == level.failure_node:
            closing.note_failure_node(draft, level, node)
        close_if_drained(draft, level)
    elif (node.kind is NodeKind.END or level.is_branch) and node.outputs is not None:
        closing.succeed(draft, level, node.outputs)
    elif _fails_level(node, level):
        assert node.failure is not None
        _fail(draft, level, node.failure)
    else:
        for downstream in level.workflow.nodes[node.spec_node_id].downstream:
            _consider(draft, level, downstream)


def _fails_level(node: NodeState, level: Level) -> bool:
    return node.phase in _FAILED_PHASES and (level.fails_immediately or node.kind is NodeKind.END)


def _fail(draft: Draft, level: Level, failure: Failure) -> None:
    closing.fail(draft, level, failure)
    close_if_drained(draft, level)


def _consider(draft: Draft, level: Level, spec_id: str) -> None:
    """Begin, queue or skip a node one of whose upstream nodes has just ended, if its time has come."""
    node_id = level.id_of(spec_id)
    if node_id in draft.nodes or node_id in draft.admission.waiting:
        return
    spec = level.workflow.nodes[spec_id]
    answer = readiness(draft.nodes, level, spec)
    if answer is Readiness.LOST:
        _skip(draft, level, spec)
    elif answer is Readiness.READY:
        _begin_or_wait(draft, level, spec_id)


def _begin_or_wait(draft: Draft, level: Level, spec_id: str) -> None:
    if level.workflow.nodes[spec_id].kind in SLOT_KINDS and draft.plan.max_parallelism:
        draft.wait_for_slot(level, spec_id)
    else:
        _begin(draft, level, spec_id)


def _skip(draft: Draft, level: Level, spec: NodeSpec) -> None:
    if spec.kind is NodeKind.END:  # all others have ended: time to fail with what went wrong last
        _fail(draft, level, closing.last_failure(draft, level))
    else:
        draft.end(draft.new_node(level, spec.node_id), Cause.UPSTREAM_LOST)


def _begin(draft: Draft, level: Level, spec_id: str) -> None:
    """Resolve the node's inputs and start it, by its kind."""
    spec = level.workflow.nodes[spec_id]
    node = draft.new_node(level, spec_id)
    if recovery.take_over(draft, level, node):
        return
    produced = recovery.produced_before(draft, node)
    if produced is not None:
        node = tasks.workflow_recovered(draft, node, produced)
        enter(draft, level_below(draft.execution, node), LiteralMap())
        return
    try:
        whole = draft.contents.whole
        inputs = resolve(spec.node.inputs, lambda upstream: _outputs_of(draft, level, upstream), whole)
        if spec.kind in _LOOKS_INTO_INPUTS:
            inputs = draft.contents.whole_map(inputs)
    except BindingResolutionError as error:
        failure = Failure(kind=ErrorKind.SYSTEM, code=BINDING_FAILURE, message=str(error))
        draft.end(node, Cause.NOT_STARTABLE, failure)
        return
    if spec_id == level.failure_node:
        inputs = _with_error(draft, level, inputs)
    if spec.kind is NodeKind.END:
        ended = replace(node, started_at=draft.now, outputs=inputs)
        draft.write(layout.outputs_uri(draft.state, ended), inputs)
        draft.end(ended, Cause.PASSED)
        return
    node = replace(node, inputs=inputs)
    draft.write(layout.inputs_uri(draft.state, node), inputs)
    _BEGIN_BY_KIND[spec.kind](draft, node)


def _begin_sub_workflow(draft: Draft, node: NodeState) -> None:
    node = draft.move(replace(node, queued_at=draft.now, started_at=draft.now), Cause.ENTERED)
    enter(draft, level_below(draft.execution, node), node.inputs or LiteralMap())


def _begin_branch(draft: Draft, node: NodeState) -> None:
    spec = spec_of(draft.execution, node)
    try:
        arm = choose(spec.node.branch_node.if_else, node.inputs or LiteralMap())
    except BranchError as error:
        draft.end(node, Cause.NOT_STARTABLE, error.failure)
        return
    node = draft.move(replace(node, queued_at=draft.now, started_at=draft.now), Cause.ENTERED)
    _begin_or_wait(draft, level_below(draft.execution, node), arm.id)


_BEGIN_BY_KIND = {
    NodeKind.TASK: tasks.begin,
    NodeKind.SUB_WORKFLOW: _begin_sub_workflow,
    NodeKind.BRANCH: _begin_branch,
    NodeKind.LAUNCH_PLAN: launchplans.begin,
    NodeKind.GATE: gates.begin,
    NodeKind.ARRAY: arrays.begin,
    NodeKind.MAP_TASK: arrays.begin,
}


def _outputs_of(draft: Draft, level: Level, spec_id: str) -> LiteralMap:
    level = source_level(draft.execution, draft.nodes, level)
    node = draft.nodes.get(level.id_of(spec_id))
    if node is None or node.outputs is None:
        raise BindingResolutionError(f"node {spec_id!r} has no outputs")
    aliases = level.workflow.nodes[spec_id].node.output_aliases
    if not aliases:
        return node.outputs
    named = {alias.alias: node.outputs.literals[alias.var] for alias in aliases if alias.var in node.outputs.literals}
    return LiteralMap(literals={**node.outputs.literals, **named})


def _with_error(draft: Draft, level: Level, inputs: LiteralMap) -> LiteralMap:
    """Return the failure node's inputs with the error put in where the handler asks for it."""
    if ERROR_INPUT not in inputs.literals:
        return inputs
    holder = draft.execution if level.parent is None else draft.nodes[level.parent]
    assert holder.failure is not None
    # the failing node's id would be more telling; flytepropeller gives the failure node's own
    error = Error(failed_node_id=level.failure_node or "", message=holder.failure.message)
    union = Union(value=Literal(scalar=Scalar(error=error)), type=_ERROR_TYPE)
    inputs.literals[ERROR_INPUT].CopyFrom(Literal(scalar=Scalar(union=union)))
    return inputs
