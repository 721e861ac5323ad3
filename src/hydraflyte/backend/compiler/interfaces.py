"""The variables that a node takes and gives.

The one rule: an interface is None only if it cannot be known (what the node refers to is missing, or of a kind
that this backend does not run); whoever asks then checks nothing that depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import ParameterMap, TypedInterface, Variable, VariableMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.workflow_pb2 import GateNode, Node, WorkflowTemplate

from hydraflyte.backend.engine.branches import arms_of
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.engine.kinds import NodeKind, kind_of
from hydraflyte.backend.engine.maps import gives_elements


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlanInterface:
    """What a launch plan expects and gives (``closure.expected_inputs`` and ``expected_outputs``)."""

    identifier: Identifier
    expected_inputs: ParameterMap
    expected_outputs: VariableMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a workflow refers to, as far as it is registered; by ``graph.entity_key``."""

    tasks: Mapping[str, CompiledTask] = field(default_factory=dict)
    launch_plans: Mapping[str, LaunchPlanInterface] = field(default_factory=dict)


NOTHING = Registered()


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Everything that nodes may refer to, by ``graph.entity_key``."""

    tasks: Mapping[str, TaskTemplate]
    workflows: Mapping[str, WorkflowTemplate]
    launch_plans: Mapping[str, LaunchPlanInterface]

    def interface_of(self, node: Node) -> TypedInterface | None:
        """Return what ``node`` takes and gives, or None if that cannot be known."""
        interface = self._target_interface(node)
        return interface if interface is None or not node.output_aliases else _with_aliases(interface, node)

    def _target_interface(self, node: Node) -> TypedInterface | None:
        kind = kind_of(node)
        if kind is NodeKind.TASK:
            task = self.tasks.get(entity_key(node.task_node.reference_id))
            return None if task is None else task.interface
        if kind is NodeKind.SUB_WORKFLOW:
            workflow = self.workflows.get(entity_key(node.workflow_node.sub_workflow_ref))
            return None if workflow is None else workflow.interface
        if kind is NodeKind.LAUNCH_PLAN:
            plan = self.launch_plans.get(entity_key(node.workflow_node.launchplan_ref))
            return None if plan is None else _launch_plan_interface(plan, node)
        if kind is NodeKind.ARRAY:
            return self._array_interface(node)
        if kind is NodeKind.BRANCH:
            return self._branch_interface(node)
        if kind is NodeKind.GATE:
            return _gate_interface(node.gate_node)
        return None

    def _array_interface(self, node: Node) -> TypedInterface | None:
        """Return lists of what the items take and give; of map tasks, flytekit has made the lists already."""
        work = Node()
        work.CopyFrom(node.array_node.node)
        del work.inputs[:]
        work.inputs.extend(node.inputs)  # these say which of a launch plan's defaults the array replaces
        interface = self._target_interface(work)
        if interface is None or not gives_elements(node.array_node):
            return interface
        bound = frozenset(node.array_node.bound_inputs)
        return TypedInterface(
            inputs=_lists_of(interface.inputs, but=bound), outputs=_lists_of(interface.outputs, but=frozenset())
        )

    def _branch_interface(self, node: Node) -> TypedInterface | None:
        """Return the outputs that every arm has, with the same type. Inputs are what the conditions ask for."""
        interfaces = [self.interface_of(arm) for arm in arms_of(node)]
        outputs: dict[str, Variable] | None = None
        for interface in interfaces:
            if interface is None:
                return None
            given = interface.outputs.variables
            common = given if outputs is None else outputs
            outputs = {name: common[name] for name in common if name in given and given[name].type == common[name].type}
        return TypedInterface(outputs=VariableMap(variables=outputs or {}))


def _lists_of(variables: VariableMap, *, but: frozenset[str]) -> VariableMap:
    lists = VariableMap()
    for name, variable in variables.variables.items():
        if name in but:
            lists.variables[name].CopyFrom(variable)
        else:
            lists.variables[name].type.collection_type.CopyFrom(variable.type)
    return lists


def _launch_plan_interface(plan: LaunchPlanInterface, node: Node) -> TypedInterface:
    """Return the inputs that are required or that the node binds; the launch plan fills in the others."""
    bound = {binding.var for binding in node.inputs}
    parameters = plan.expected_inputs.parameters.items()
    inputs = {name: parameter.var for name, parameter in parameters if parameter.required or name in bound}
    return TypedInterface(inputs=VariableMap(variables=inputs), outputs=plan.expected_outputs)


def _gate_interface(gate: GateNode) -> TypedInterface | None:
    """Return what the gate gives. An approval gives what it is bound to, of a type that its bindings know."""
    if gate.HasField("approve"):
        return None
    outputs = {gate.signal.output_variable_name: Variable(type=gate.signal.type)} if gate.HasField("signal") else {}
    return TypedInterface(outputs=VariableMap(variables=outputs))


def _with_aliases(interface: TypedInterface, node: Node) -> TypedInterface:
    outputs = dict(interface.outputs.variables)
    aliases = {alias.alias: outputs[alias.var] for alias in node.output_aliases if alias.var in outputs}
    return TypedInterface(inputs=interface.inputs, outputs=VariableMap(variables={**outputs, **aliases}))
