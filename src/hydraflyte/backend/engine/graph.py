"""A compiled closure, indexed: workflows, nodes and tasks by key, edges as tuples.

The one rule: everything here follows from the closure alone and never changes. It knows nothing of phases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from flyteidl.core.compiler_pb2 import CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import Node, WorkflowMetadata, WorkflowTemplate

from hydraflyte.backend.engine import pods
from hydraflyte.backend.engine.bindings import promised_output, promises_in
from hydraflyte.backend.engine.branches import arms_of
from hydraflyte.backend.engine.kinds import NodeKind, kind_of
from hydraflyte.backend.engine.maps import MapSpec, array_spec, is_older_map_task, map_task_spec

_CACHE_FIELDS: Mapping[Literal["cacheable", "cache_version", "cache_serializable"], str] = {
    "cacheable": "discoverable",
    "cache_version": "discovery_version",
    "cache_serializable": "cache_serializable",
}  # of a node's metadata -> of its task's


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node of a compiled workflow, with all that the engine asks about it.

    Attributes:
        task: template of a task node or of an array node's items, else None.
        launch_plan: what a launch-plan node, or each item of an array node, begins; else None.
        items: of array nodes and of map tasks of the older kind, how their items are run.
        sub_workflow: key of the workflow that a sub-workflow node runs, else ``""``.
        retries: further attempts, of a task or of each item, after a failure of the user's (the node's own number,
            or the task's).
        timeout: of one attempt; zero means none.
        interruptible: what the node, or its task, says of that; None follows the execution and the workflow.
        branch: id of the branch node that this is an arm of, else ``""``.
    """

    node: Node
    kind: NodeKind
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    task: TaskTemplate | None = None
    launch_plan: Identifier | None = None
    items: MapSpec | None = None
    sub_workflow: str = ""
    retries: int = 0
    timeout: timedelta = timedelta(0)
    interruptible: bool | None = None
    branch: str = ""

    @property
    def node_id(self) -> str:
        """The id inside the compiled workflow."""
        return self.node.id


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowGraph:
    """One compiled workflow.

    Attributes:
        key: ``entity_key`` of the workflow's id, after the prefix of its closure.
        prefix: of all keys of its closure: ``""``, but for workflows made at run time.
        nodes: by id, ``start-node``, ``end-node``, the failure node and the arms of branch nodes included.
        failure_node: id of the node to run when the workflow has failed, or None.
        fails_immediately: whether the first failed node fails the workflow, or only the end of all others.
    """

    key: str
    template: WorkflowTemplate
    nodes: Mapping[str, NodeSpec]
    failure_node: str | None
    fails_immediately: bool
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the nodes of one workflow are indexed with: tasks by key, and outputs that are taken, by node."""

    tasks: Mapping[str, TaskTemplate]
    wanted: Mapping[str, Set[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureGraph:
    """A compiled closure: the primary workflow's key, and all workflows by key."""

    primary: str
    workflows: Mapping[str, WorkflowGraph]


def entity_key(identifier: Identifier) -> str:
    """Return the text that names a registered entity inside a closure.

    >>> entity_key(Identifier(project="p", domain="d", name="wf.main", version="v1"))
    'p:d:wf.main:v1'
    """
    return f"{identifier.project}:{identifier.domain}:{identifier.name}:{identifier.version}"


def index_closure(closure: CompiledWorkflowClosure, *, prefix: str = "") -> ClosureGraph:
    """Return ``closure`` in a form in which every look-up takes constant time.

    Args:
        prefix: put before every key, so that closures made at run time do not mix with others.
    """
    tasks = {entity_key(task.template.id): task.template for task in closure.tasks}
    workflows = {}
    for workflow in (closure.primary, *closure.sub_workflows):
        graph = _index_workflow(workflow, tasks, prefix)
        workflows[graph.key] = graph
    return ClosureGraph(primary=prefix + entity_key(closure.primary.template.id), workflows=workflows)


def _index_workflow(workflow: CompiledWorkflow, tasks: Mapping[str, TaskTemplate], prefix: str) -> WorkflowGraph:
    template = workflow.template
    upstream = {key: tuple(ids.ids) for key, ids in workflow.connections.upstream.items()}
    downstream = {key: tuple(ids.ids) for key, ids in workflow.connections.downstream.items()}
    nodes = list(template.nodes)
    has_failure_node = template.HasField("failure_node")
    if has_failure_node:
        nodes.append(template.failure_node)
    parts = _Parts(tasks=tasks, wanted=_wanted_outputs(nodes))
    specs = {}
    for node in nodes:
        spec = _node_spec(node, parts, (upstream.get(node.id, ()), downstream.get(node.id, ())))
        specs[node.id] = spec
        specs.update(_arm_specs(node, parts))
    return WorkflowGraph(
        key=prefix + entity_key(template.id),
        prefix=prefix,
        template=template,
        nodes=specs,
        failure_node=template.failure_node.id if has_failure_node else None,
        fails_immediately=template.metadata.on_failure == WorkflowMetadata.FAIL_IMMEDIATELY,
    )


def _wanted_outputs(nodes: Iterable[Node]) -> Mapping[str, set[str]]:
    """Return the names of the outputs that others take, by node."""
    wanted: dict[str, set[str]] = {}
    for node in nodes:
        for binding in node.inputs:
            for promise in promises_in(binding.binding):
                wanted.setdefault(promise.node_id, set()).add(promised_output(promise))
        for node_id, names in _wanted_outputs(arms_of(node)).items():
            wanted.setdefault(node_id, set()).update(names)
    return wanted


def _arm_specs(branch: Node, parts: _Parts) -> dict[str, NodeSpec]:
    """Return the arms of ``branch``, and theirs; they have no edges, the branch node starts them."""
    specs = {}
    for arm in arms_of(branch):
        specs[arm.id] = replace(_node_spec(arm, parts, ((), ())), branch=branch.id)
        specs.update(_arm_specs(arm, parts))
    return specs


def _node_spec(node: Node, parts: _Parts, edges: tuple[tuple[str, ...], tuple[str, ...]]) -> NodeSpec:
    kind = kind_of(node)
    assert kind is not None, f"node {node.id} of a compiled workflow has no target"
    upstream, downstream = edges
    work = node.array_node.node if kind is NodeKind.ARRAY else node
    task = _task_of(work, parts.tasks) if kind_of(work) is NodeKind.TASK else None
    items = None
    if kind is NodeKind.ARRAY:
        items = array_spec(node, task, parts.wanted.get(node.id, ()))
    elif task is not None and is_older_map_task(task):
        kind, items = NodeKind.MAP_TASK, map_task_spec(task)
    is_sub_workflow = kind is NodeKind.SUB_WORKFLOW
    begins_plan = kind_of(work) is NodeKind.LAUNCH_PLAN
    return NodeSpec(
        node=node,
        kind=kind,
        upstream=upstream,
        downstream=downstream,
        task=task,
        launch_plan=work.workflow_node.launchplan_ref if begins_plan else None,
        items=items,
        sub_workflow=entity_key(node.workflow_node.sub_workflow_ref) if is_sub_workflow else "",
        retries=work.metadata.retries.retries or (task.metadata.retries.retries if task is not None else 0),
        timeout=_timeout(work, task),
        interruptible=_interruptible(work, task),
    )


def _task_of(node: Node, tasks: Mapping[str, TaskTemplate]) -> TaskTemplate | None:
    """Return the task as this node wants it: resources, image, pod and cache may be its own (``with_overrides``)."""
    task = tasks.get(entity_key(node.task_node.reference_id))
    overrides = node.task_node.overrides
    has_overrides = bool(overrides.ByteSize())  # flytekit always sends the message, mostly empty
    if task is None or not (has_overrides or any(node.metadata.HasField(name) for name in _CACHE_FIELDS)):
        return task
    changed = TaskTemplate()
    changed.CopyFrom(task)
    for name, of_task in _CACHE_FIELDS.items():
        if node.metadata.HasField(name):
            setattr(changed.metadata, of_task, getattr(node.metadata, name))
    if changed.HasField("container"):
        if overrides.HasField("resources"):
            changed.container.resources.CopyFrom(overrides.resources)
        changed.container.image = overrides.container_image or changed.container.image
    elif changed.HasField("k8s_pod") and overrides.HasField("resources"):
        pods.set_resources(changed, overrides.resources)
    if overrides.HasField("extended_resources"):
        changed.extended_resources.CopyFrom(overrides.extended_resources)
    if overrides.HasField("pod_template"):
        changed.k8s_pod.CopyFrom(overrides.pod_template)  # flytekit sends it whole, the command line included
    return changed


def _timeout(node: Node, task: TaskTemplate | None) -> timedelta:
    """Return the node's own timeout if it states one, else the task's."""
    has_own = task is None or node.metadata.HasField("timeout")
    return (node.metadata if has_own or task is None else task.metadata).timeout.ToTimedelta()


def _interruptible(node: Node, task: TaskTemplate | None) -> bool | None:
    """Return the node's own word if it has one, else the task's, else None."""
    if node.metadata.HasField("interruptible"):
        return node.metadata.interruptible
    has_own = task is not None and task.metadata.HasField("interruptible")
    return task.metadata.interruptible if task is not None and has_own else None
