"""Who waits for whom: the connections of a compiled workflow, and cycles among them.

The one rule: lists are sorted, so the same workflow always compiles to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flyteidl.core.compiler_pb2 import ConnectionSet
from flyteidl.core.workflow_pb2 import Node

from hydraflyte.backend.engine.bindings import promises_in
from hydraflyte.backend.engine.branches import arms_of
from hydraflyte.backend.engine.kinds import END_NODE_ID, START_NODE_ID


def upstream_of(node: Node) -> list[str]:
    """Return the ids of the nodes that ``node`` names or takes values from, sorted, without repeats."""
    promised = {promise.node_id for binding in node.inputs for promise in promises_in(binding.binding)}
    below = {other for arm in arms_of(node) for other in upstream_of(arm)}  # a branch waits for what any arm takes
    return sorted(promised | set(node.upstream_node_ids) | below)


def connect(nodes: Sequence[Node], failure_node: Node | None) -> ConnectionSet:
    """Return the edges among ``nodes`` (start-node and end-node included), and those into the failure node."""
    upstream = {node.id: set(upstream_of(node)) for node in nodes}
    inner = [node.id for node in nodes if node.id not in (START_NODE_ID, END_NODE_ID)]
    for node_id in inner:
        upstream[node_id] = upstream[node_id] or {START_NODE_ID}
    downstream = _reversed(upstream)
    for node_id in inner:
        if node_id not in downstream:
            upstream[END_NODE_ID].add(node_id)
            downstream[node_id] = {END_NODE_ID}
    if not upstream[END_NODE_ID]:  # nothing runs and nothing is handed through: it ends when it begins
        upstream[END_NODE_ID] = {START_NODE_ID}
        downstream[START_NODE_ID] = {END_NODE_ID}
    upstream.pop(START_NODE_ID)
    if failure_node is not None:
        upstream[failure_node.id] = set(upstream_of(failure_node))
    for node in nodes:
        upstream.update(_arm_edges(node))
    return ConnectionSet(upstream=_id_lists(upstream), downstream=_id_lists(downstream))


def _arm_edges(branch: Node) -> dict[str, set[str]]:
    """Return what the arms of ``branch``, and theirs, wait for: the branch node too. Nothing waits for an arm."""
    edges: dict[str, set[str]] = {}
    for arm in arms_of(branch):
        edges[arm.id] = {branch.id, *upstream_of(arm)}
        edges.update(_arm_edges(arm))
    return edges


def find_cycle(upstream: Mapping[str, Iterable[str]]) -> Sequence[str]:
    """Return the ids along one cycle, the first one repeated at the end; empty if there is none."""
    remaining = {node_id: {other for other in others if other in upstream} for node_id, others in upstream.items()}
    downstream = _reversed(remaining)
    ready = [node_id for node_id, others in remaining.items() if not others]
    while ready:
        done = ready.pop()
        del remaining[done]
        for node_id in downstream.get(done, ()):
            remaining[node_id].discard(done)
            if not remaining[node_id]:
                ready.append(node_id)
    return _walk_back(remaining) if remaining else ()


def _walk_back(remaining: Mapping[str, set[str]]) -> Sequence[str]:
    """Follow edges among nodes that all have one, until an id comes twice."""
    path = [min(remaining)]
    while True:
        following = min(remaining[path[-1]])
        if following in path:
            cycle = [*path[path.index(following) :], following]
            return cycle[::-1]
        path.append(following)


def _reversed(upstream: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    downstream: dict[str, set[str]] = {}
    for node_id, others in upstream.items():
        for other in others:
            downstream.setdefault(other, set()).add(node_id)
    return downstream


def _id_lists(edges: Mapping[str, Iterable[str]]) -> dict[str, ConnectionSet.IdList]:
    return {node_id: ConnectionSet.IdList(ids=sorted(others)) for node_id, others in edges.items() if others}
