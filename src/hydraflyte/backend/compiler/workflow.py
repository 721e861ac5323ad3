"""A workflow template -> the compiled closure that the engine runs and clients see.

Follows flytepropeller (pkg/compiler/workflow_compiler.go). The one rule: all problems of a workflow and of the
workflows below it are raised together, once. Templates passed in are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflow, CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import ResourceType
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import Binding
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate

from hydraflyte.backend.compiler.branches import arms_below, check_branch, name_arms
from hydraflyte.backend.compiler.edges import connect, find_cycle, upstream_of
from hydraflyte.backend.compiler.interfaces import LaunchPlanInterface, Library
from hydraflyte.backend.compiler.problems import Code, Problems
from hydraflyte.backend.compiler.tasks import check_identifier
from hydraflyte.backend.compiler.wiring import Sources, binding_type, check_bindings
from hydraflyte.backend.engine.bindings import promises_in
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.kinds import END_NODE_ID, START_NODE_ID, NodeKind, kind_of
from hydraflyte.backend.engine.maps import OLDER_TASK_VERSION, is_older_map_task, older_settings


def compile_workflow(
    template: WorkflowTemplate,
    sub_workflows: Sequence[WorkflowTemplate],
    tasks: Mapping[str, CompiledTask | TaskTemplate],
    launch_plans: Mapping[str, LaunchPlanInterface] | None = None,
) -> CompiledWorkflowClosure:
    """Return the compiled form of ``template`` and of every workflow and task that it leads to.

    Args:
        sub_workflows: what sub-workflow nodes, at any depth, refer to.
        tasks: by ``engine.graph.entity_key`` of their ids; those not referred to are left out of the result.
        launch_plans: by ``entity_key`` too.

    Raises:
        CompilationError: with every problem found.
    """
    problems = Problems()
    library = Library(
        tasks={key: _task_template(task) for key, task in tasks.items()},
        workflows={entity_key(workflow.id): workflow for workflow in sub_workflows},
        launch_plans=launch_plans or {},
    )
    reached = _reachable_workflows(template, library, problems)
    compiled = [_compile_one(workflow, library, problems) for workflow in reached]
    problems.raise_if_any(f"workflow {entity_key(template.id)}")
    closure = CompiledWorkflowClosure(primary=compiled[0], sub_workflows=compiled[1:])
    for key in sorted({key for workflow in reached for key in _task_keys(workflow)}):
        closure.tasks.add().template.CopyFrom(library.tasks[key])
    return closure


def _task_template(task: CompiledTask | TaskTemplate) -> TaskTemplate:
    return task.template if isinstance(task, CompiledTask) else task


def _all_nodes(template: WorkflowTemplate) -> list[Node]:
    """Return the nodes, the failure node, and all arms of branch nodes."""
    nodes = list(template.nodes)
    if template.HasField("failure_node"):
        nodes.append(template.failure_node)
    return [item for node in nodes for item in (node, *arms_below(node))]


def _task_keys(template: WorkflowTemplate) -> set[str]:
    nodes = _all_nodes(template)
    work = [node.array_node.node if kind_of(node) is NodeKind.ARRAY else node for node in nodes]
    return {entity_key(node.task_node.reference_id) for node in work if kind_of(node) is NodeKind.TASK}


def _sub_workflow_keys(template: WorkflowTemplate) -> list[str]:
    nodes = _all_nodes(template)
    references = [node.workflow_node.sub_workflow_ref for node in nodes if kind_of(node) is NodeKind.SUB_WORKFLOW]
    return [entity_key(reference) for reference in references]


def _reachable_workflows(template: WorkflowTemplate, library: Library, problems: Problems) -> list[WorkflowTemplate]:
    """Return ``template`` and every workflow below it, each once, in the order found."""
    primary = entity_key(template.id)
    found = {primary: template}
    below: dict[str, list[str]] = {}
    queue = [primary]
    while queue:
        key = queue.pop(0)
        below[key] = _sub_workflow_keys(found[key])
        for other in below[key]:
            if other not in found and other in library.workflows:
                found[other] = library.workflows[other]
                queue.append(other)
    cycle = find_cycle(below)
    if cycle:
        problems.add(Code.CYCLE_DETECTED, "of several workflows", f"{' -> '.join(cycle)} contain each other")
    return list(found.values())


def _compile_one(template: WorkflowTemplate, library: Library, problems: Problems) -> CompiledWorkflow:
    """Return one compiled workflow; meaningless if problems were noted on the way."""
    about = template.id.name or "workflow"
    check_identifier(template.id, ResourceType.WORKFLOW, about, problems)
    compiled = CompiledWorkflow()
    result = compiled.template
    result.CopyFrom(template)
    name_arms(result)
    _name_start_node(result)
    _check_structure(result, library, problems)
    _check_wiring(result, library, problems)
    _check_cycles(result, problems)
    for node in _all_nodes(result):
        # flytekit looks every id up among the user's nodes: start-node must not be there
        others = [other for other in upstream_of(node) if other != START_NODE_ID]
        del node.upstream_node_ids[:]
        node.upstream_node_ids.extend(others)
    _add_system_nodes(result)
    failure_node = result.failure_node if result.HasField("failure_node") else None
    compiled.connections.CopyFrom(connect(list(result.nodes), failure_node))
    return compiled


def _name_start_node(template: WorkflowTemplate) -> None:
    """Give promises of the workflow's own inputs, which name no node, the id of start-node."""
    bindings: list[Binding] = list(template.outputs)
    for node in _all_nodes(template):
        bindings.extend(node.inputs)
    for binding in bindings:
        for promise in promises_in(binding.binding):
            promise.node_id = promise.node_id or START_NODE_ID


def _add_system_nodes(template: WorkflowTemplate) -> None:
    nodes = [Node(id=START_NODE_ID), Node(id=END_NODE_ID, inputs=template.outputs), *template.nodes]
    del template.nodes[:]
    template.nodes.extend(nodes)


def _check_structure(template: WorkflowTemplate, library: Library, problems: Problems) -> None:
    """Note nodes that are unnamed, named twice, of a kind that is not run, or that refer to nothing."""
    seen = {START_NODE_ID, END_NODE_ID}
    for node in _all_nodes(template):
        if not node.id:
            problems.add(Code.VALUE_REQUIRED, template.id.name, "a node has no id")
        elif node.id in seen:
            problems.add(Code.DUPLICATE_ID, node.id, "another node has this id, or it is reserved")
        elif not _names_a_folder(node.id):
            problems.add(Code.INVALID_VALUE, repr(node.id[:80]), _FOLDER_RULE)
        seen.add(node.id)
        _check_target(node, library, problems)
        _check_aliases(node, problems)


_LONGEST_ID_BYTES = 200  # file systems take 255, and files beside the folder carry longer names
_FOLDER_RULE = (
    "a node's id names folders: at most 200 bytes, without '/' and control characters, and not what other files there"
    " are called"
)
_TAKEN_NAMES = frozenset({".", "..", "inputs", "user_inputs", "inputs.pb", "outputs.pb", "error.pb", "deck.html"})


def _names_a_folder(node_id: str) -> bool:
    """Tell whether the id is one plain file name; else files of the execution would lie elsewhere, or nowhere."""
    is_plain = "/" not in node_id and node_id.isprintable() and node_id not in _TAKEN_NAMES
    return is_plain and len(node_id.encode()) <= _LONGEST_ID_BYTES


def _check_target(node: Node, library: Library, problems: Problems) -> None:
    kind = kind_of(node)
    if kind is None:
        problems.add(Code.VALUE_REQUIRED, node.id, "it names nothing to run")
    elif kind is NodeKind.TASK:
        _check_task(node.id, node, library, problems)
    elif kind is NodeKind.ARRAY:
        _check_array(node, library, problems)
    elif kind is NodeKind.SUB_WORKFLOW:
        key = entity_key(node.workflow_node.sub_workflow_ref)
        if key not in library.workflows:
            problems.add(Code.WORKFLOW_REFERENCE_NOT_FOUND, node.id, f"sub-workflow {key} was not sent along")
    elif kind is NodeKind.LAUNCH_PLAN:
        _check_launch_plan(node.id, node, library, problems)
    elif kind is NodeKind.GATE:
        _check_gate(node, problems)


def _check_gate(node: Node, problems: Problems) -> None:
    kind = node.gate_node.WhichOneof("condition")
    if kind is None:
        problems.add(Code.VALUE_REQUIRED, node.id, "the gate waits for nothing")
    elif kind != "sleep" and not getattr(node.gate_node, kind).signal_id:
        problems.add(Code.VALUE_REQUIRED, node.id, "the gate's signal has no id")
    elif kind == "signal" and not node.gate_node.signal.output_variable_name:
        problems.add(Code.VALUE_REQUIRED, node.id, "the gate's output has no name")


def _check_task(node_id: str, node: Node, library: Library, problems: Problems) -> None:
    key = entity_key(node.task_node.reference_id)
    if key not in library.tasks:
        problems.add(Code.TASK_REFERENCE_NOT_FOUND, node_id, f"task {key} is not registered")
    elif is_older_map_task(library.tasks[key]):
        _check_older_map_task(node_id, library.tasks[key], problems)


def _check_older_map_task(node_id: str, task: TaskTemplate, problems: Problems) -> None:
    if task.task_type_version != OLDER_TASK_VERSION:
        text = f"its map task is of version {task.task_type_version}, whose inputs are laid out as no SDK does any more"
        problems.add(Code.UNSUPPORTED_NODE_KIND, node_id, f"{text}; hint: register it again with flytekit 1")
    try:
        older_settings(task)
    except ValueError as error:
        problems.add(Code.INVALID_VALUE, node_id, f"the settings of its map task cannot be read: {error}")


def _check_launch_plan(node_id: str, node: Node, library: Library, problems: Problems) -> None:
    key = entity_key(node.workflow_node.launchplan_ref)
    if key not in library.launch_plans:
        problems.add(Code.WORKFLOW_REFERENCE_NOT_FOUND, node_id, f"launch plan {key} is not registered")


def _check_array(node: Node, library: Library, problems: Problems) -> None:
    work = node.array_node.node
    kind = kind_of(work)
    if kind is NodeKind.TASK:
        _check_task(node.id, work, library, problems)
    elif kind is NodeKind.LAUNCH_PLAN:
        _check_launch_plan(node.id, work, library, problems)
    else:
        text = "it maps over neither a task nor a launch plan; hint: map over a launch plan of that workflow"
        problems.add(Code.UNSUPPORTED_NODE_KIND, node.id, text)


def _check_aliases(node: Node, problems: Problems) -> None:
    seen: set[str] = set()
    for alias in node.output_aliases:
        if alias.alias in seen:
            problems.add(Code.DUPLICATE_ALIAS, node.id, f"two outputs have the alias {alias.alias!r}")
        seen.add(alias.alias)


def _check_wiring(template: WorkflowTemplate, library: Library, problems: Problems) -> None:
    """Note inputs and outputs that are not bound, or bound to what does not fit."""
    interfaces: dict[str, TypedInterface | None] = {node.id: library.interface_of(node) for node in template.nodes}
    interfaces[START_NODE_ID] = TypedInterface(outputs=template.interface.inputs)
    sources = Sources(interfaces=interfaces)
    for node in _all_nodes(template):
        interface = library.interface_of(node)
        if interface is not None and kind_of(node) is not NodeKind.BRANCH:
            check_bindings(node.id, node.inputs, interface.inputs.variables, sources, problems)
        if kind_of(node) is NodeKind.BRANCH:
            check_branch(node, sources, problems)
        if node.gate_node.HasField("approve"):
            for binding in node.inputs:
                binding_type(node.id, binding, sources, problems)
        for upstream in node.upstream_node_ids:
            if upstream not in interfaces:
                problems.add(Code.NODE_REFERENCE_NOT_FOUND, node.id, f"upstream node {upstream!r} is missing")
    check_bindings(END_NODE_ID, template.outputs, template.interface.outputs.variables, sources, problems)


def _check_cycles(template: WorkflowTemplate, problems: Problems) -> None:
    cycle = find_cycle({node.id: upstream_of(node) for node in template.nodes})
    if cycle:
        problems.add(Code.CYCLE_DETECTED, cycle[0], f"it waits for itself: {' -> '.join(cycle)}")
