"""Tasks, workflows and literals written by hand, for tests of the compiler and the engine.

A workflow here is a template as a client would register it: no start-node, inputs bound with ``given``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.condition_pb2 import BooleanExpression, ComparisonExpression, Operand
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, TypedInterface, Variable, VariableMap
from flyteidl.core.literals_pb2 import (
    Binding,
    BindingData,
    BindingDataCollection,
    Literal,
    LiteralCollection,
    LiteralMap,
    Primitive,
    RetryStrategy,
    Scalar,
    Void,
)
from flyteidl.core.tasks_pb2 import Container, TaskMetadata, TaskTemplate
from flyteidl.core.types_pb2 import LiteralType, OutputReference, PromiseAttribute, SimpleType, UnionType
from flyteidl.core.workflow_pb2 import (
    ApproveCondition,
    ArrayNode,
    BranchNode,
    GateNode,
    IfBlock,
    IfElseBlock,
    Node,
    NodeMetadata,
    SignalCondition,
    SleepCondition,
    TaskNode,
    WorkflowMetadata,
    WorkflowNode,
    WorkflowTemplate,
)
from google.protobuf.wrappers_pb2 import BoolValue

from hydraflyte.backend.compiler.interfaces import LaunchPlanInterface
from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.state import ExecutionPlan
from hydraflyte.identifiers import ExecutionId

INT = LiteralType(simple=SimpleType.INTEGER)
FLOAT = LiteralType(simple=SimpleType.FLOAT)
STRING = LiteralType(simple=SimpleType.STRING)
NONE = LiteralType(simple=SimpleType.NONE)
STRUCT = LiteralType(simple=SimpleType.STRUCT)
ERROR = LiteralType(simple=SimpleType.ERROR)

ARGS = ("pyflyte-execute", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}")

Value = int | float | str | bool | None | Sequence["Value"]  # type: ignore[misc]  # refers to itself


def list_of(item: LiteralType) -> LiteralType:
    return LiteralType(collection_type=item)


def map_of(item: LiteralType) -> LiteralType:
    return LiteralType(map_value_type=item)


def union_of(*variants: LiteralType) -> LiteralType:
    return LiteralType(union_type=UnionType(variants=variants))


def identifier(name: str, kind: int = ResourceType.TASK) -> Identifier:
    return Identifier(resource_type=kind, project="p", domain="d", name=name, version="v1")


def variables(types: Mapping[str, LiteralType]) -> VariableMap:
    return VariableMap(variables={name: Variable(type=literal_type) for name, literal_type in types.items()})


def interface(inputs: Mapping[str, LiteralType], outputs: Mapping[str, LiteralType]) -> TypedInterface:
    return TypedInterface(inputs=variables(inputs), outputs=variables(outputs))


def task(
    name: str,
    *,
    inputs: Mapping[str, LiteralType] | None = None,
    outputs: Mapping[str, LiteralType] | None = None,
    metadata: TaskMetadata | None = None,
    args: Sequence[str] = ARGS,
) -> TaskTemplate:
    """A container task; by default it takes ``x`` and gives ``o0``, both integers."""
    return TaskTemplate(
        id=identifier(name),
        type="python-task",
        metadata=metadata or TaskMetadata(),
        interface=interface({"x": INT} if inputs is None else inputs, {"o0": INT} if outputs is None else outputs),
        container=Container(image="image", args=args),
    )


def cached(version: str = "1") -> TaskMetadata:
    return TaskMetadata(discoverable=True, discovery_version=version)


def ref(node: str, var: str = "o0", *path: str | int) -> BindingData:
    """The output ``var`` of ``node``, or what ``path`` leads to in it."""
    attributes = [
        PromiseAttribute(string_value=part) if isinstance(part, str) else PromiseAttribute(int_value=part)
        for part in path
    ]
    return BindingData(promise=OutputReference(node_id=node, var=var, attr_path=attributes))


def given(var: str = "x", *path: str | int) -> BindingData:
    """The workflow's own input ``var``."""
    return ref("", var, *path)


def const(value: Value) -> BindingData:
    return BindingData(scalar=literal(value).scalar)


def collect(*items: BindingData) -> BindingData:
    return BindingData(collection=BindingDataCollection(bindings=items))


def bind(bindings: Mapping[str, BindingData]) -> list[Binding]:
    return [Binding(var=var, binding=data) for var, data in bindings.items()]


def task_node(
    node_id: str,
    template: TaskTemplate,
    *,
    retries: int = 0,
    timeout_s: float = 0,
    after: Sequence[str] = (),
    **bindings: BindingData,
) -> Node:
    node = Node(
        id=node_id,
        metadata=NodeMetadata(name=node_id, retries=RetryStrategy(retries=retries)),
        inputs=bind(bindings),
        upstream_node_ids=after,
        task_node=TaskNode(reference_id=template.id),
    )
    if timeout_s:
        node.metadata.timeout.FromTimedelta(timedelta(seconds=timeout_s))
    return node


def array_node(
    node_id: str,
    template: TaskTemplate,
    *,
    retries: int = 0,
    parallelism: int = 0,
    min_success_ratio: float = 1.0,
    bound: Sequence[str] = (),
    after: Sequence[str] = (),
    **bindings: BindingData,
) -> Node:
    """A map over ``template``, whose interface has lists already; ``bound`` inputs are the same for every item."""
    target = ArrayNode(
        node=task_node(node_id, template, retries=retries),
        parallelism=parallelism,
        min_success_ratio=min_success_ratio,
        bound_inputs=bound,
    )
    return Node(id=node_id, inputs=bind(bindings), upstream_node_ids=after, array_node=target)


def array_over(
    work: Node,
    *,
    parallelism: int = 0,
    min_success_ratio: float = 1.0,
    after: Sequence[str] = (),
    **bindings: BindingData,
) -> Node:
    """A map over a launch plan or over a task that knows nothing of lists; ``work`` is the node of one item."""
    target = ArrayNode(
        node=work,
        parallelism=parallelism,
        min_success_ratio=min_success_ratio,
        is_original_sub_node_interface=BoolValue(value=True),
    )
    return Node(id=work.id, inputs=bind(bindings), upstream_node_ids=after, array_node=target)


def older_map_task(
    name: str, *, min_success_ratio: float = 1.0, parallelism: int = 0, metadata: TaskMetadata | None = None
) -> TaskTemplate:
    """A task as flytekit's older ``map_task`` makes it; it maps the integers ``x``."""
    template = task(name, inputs={"x": list_of(INT)}, outputs={"o0": list_of(union_of(NONE, INT))}, metadata=metadata)
    template.type, template.task_type_version = "container_array", 1
    template.custom.update({"minSuccessRatio": min_success_ratio, "parallelism": str(parallelism)})
    return template


def workflow_node(
    node_id: str, template: WorkflowTemplate, *, after: Sequence[str] = (), **bindings: BindingData
) -> Node:
    target = WorkflowNode(sub_workflow_ref=template.id)
    return Node(id=node_id, inputs=bind(bindings), upstream_node_ids=after, workflow_node=target)


PLAN = LaunchPlanInterface(  # takes ``x`` and gives ``o0``, both integers
    identifier=identifier("plan", ResourceType.LAUNCH_PLAN),
    expected_inputs=ParameterMap(parameters={"x": Parameter(var=Variable(type=INT), required=True)}),
    expected_outputs=variables({"o0": INT}),
)


def plan_node(node_id: str, *, after: Sequence[str] = (), **bindings: BindingData) -> Node:
    """A node that begins an execution of ``PLAN``."""
    target = WorkflowNode(launchplan_ref=PLAN.identifier)
    return Node(id=node_id, inputs=bind(bindings), upstream_node_ids=after, workflow_node=target)


def signal_node(node_id: str, signal_id: str, *, timeout_s: float = 0, after: Sequence[str] = ()) -> Node:
    """A gate that waits for an integer and gives it as ``o0``."""
    condition = SignalCondition(signal_id=signal_id, type=INT, output_variable_name="o0")
    return _gate(node_id, GateNode(signal=condition), timeout_s, after)


def approve_node(node_id: str, signal_id: str, *, after: Sequence[str] = (), **bindings: BindingData) -> Node:
    node = _gate(node_id, GateNode(approve=ApproveCondition(signal_id=signal_id)), 0, after)
    node.inputs.extend(bind(bindings))
    return node


def sleep_node(node_id: str, seconds: float, *, timeout_s: float = 0, after: Sequence[str] = ()) -> Node:
    gate = GateNode(sleep=SleepCondition())
    gate.sleep.duration.FromTimedelta(timedelta(seconds=seconds))
    return _gate(node_id, gate, timeout_s, after)


def _gate(node_id: str, gate: GateNode, timeout_s: float, after: Sequence[str]) -> Node:
    node = Node(id=node_id, metadata=NodeMetadata(name=node_id), upstream_node_ids=after, gate_node=gate)
    if timeout_s:
        node.metadata.timeout.FromTimedelta(timedelta(seconds=timeout_s))
    return node


def compare(left: str | Value, operator: str, right: Value) -> BooleanExpression:
    """``left`` is a variable of the branch node (text beginning with ``$``) or a value."""
    sides = [
        Operand(var=side[1:])
        if isinstance(side, str) and side.startswith("$")
        else Operand(scalar=literal(side).scalar)
        for side in (left, right)
    ]
    return BooleanExpression(
        comparison=ComparisonExpression(operator=operator, left_value=sides[0], right_value=sides[1])
    )


def branch_node(
    node_id: str,
    arms: Sequence[tuple[BooleanExpression, Node]],
    *,
    default: Node | None = None,
    error: str = "",
    after: Sequence[str] = (),
    **bindings: BindingData,
) -> Node:
    """Conditions and the nodes they lead to, in order; then the default, or the error to fail with."""
    blocks = [IfBlock(condition=condition, then_node=arm) for condition, arm in arms]
    block = IfElseBlock(case=blocks[0], other=blocks[1:])
    if default is not None:
        block.else_node.CopyFrom(default)
    elif error:
        block.error.message = error
    target = BranchNode(if_else=block)
    return Node(id=node_id, inputs=bind(bindings), upstream_node_ids=after, branch_node=target)


def workflow(
    name: str,
    nodes: Sequence[Node],
    *,
    inputs: Mapping[str, LiteralType] | None = None,
    outputs: Mapping[str, tuple[LiteralType, BindingData]] | None = None,
    failure_node: Node | None = None,
    finishes_others: bool = False,
) -> WorkflowTemplate:
    """A workflow; by default it takes the integer ``x``. ``outputs`` gives type and binding by name."""
    outputs = outputs or {}
    policy = WorkflowMetadata.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE if finishes_others else None
    return WorkflowTemplate(
        id=identifier(name, ResourceType.WORKFLOW),
        metadata=WorkflowMetadata(on_failure=policy),
        interface=interface(
            {"x": INT} if inputs is None else inputs, {name: output[0] for name, output in outputs.items()}
        ),
        nodes=nodes,
        outputs=bind({name: output[1] for name, output in outputs.items()}),
        failure_node=failure_node,
    )


def compiled(
    primary: WorkflowTemplate, tasks: Sequence[TaskTemplate], sub_workflows: Sequence[WorkflowTemplate] = ()
) -> CompiledWorkflowClosure:
    by_key = {entity_key(template.id): template for template in tasks}
    return compile_workflow(primary, sub_workflows, by_key, {entity_key(PLAN.identifier): PLAN})


def literal(value: Value) -> Literal:
    if value is None:
        return Literal(scalar=Scalar(none_type=Void()))
    if isinstance(value, bool):
        return Literal(scalar=Scalar(primitive=Primitive(boolean=value)))
    if isinstance(value, int):
        return Literal(scalar=Scalar(primitive=Primitive(integer=value)))
    if isinstance(value, float):
        return Literal(scalar=Scalar(primitive=Primitive(float_value=value)))
    if isinstance(value, str):
        return Literal(scalar=Scalar(primitive=Primitive(string_value=value)))
    return Literal(collection=LiteralCollection(literals=[literal(item) for item in value]))


def literals(**values: Value) -> LiteralMap:
    return LiteralMap(literals={name: literal(value) for name, value in values.items()})


def plan(
    closure: CompiledWorkflowClosure,
    *,
    inputs: LiteralMap | None = None,
    max_parallelism: int = 0,
    overwrite_cache: bool = False,
    envs: Mapping[str, str] | None = None,
) -> ExecutionPlan:
    """The plan of the execution ``p/d/e1``; its files are under ``/meta``, raw data under ``/raw``."""
    return ExecutionPlan(
        execution_id=ExecutionId(project="p", domain="d", name="e1"),
        workflow=closure,
        inputs=literals(x=1) if inputs is None else inputs,
        metadata_prefix="/meta",
        raw_output_prefix="/raw",
        max_parallelism=max_parallelism,
        overwrite_cache=overwrite_cache,
        envs=envs or {},
    )
