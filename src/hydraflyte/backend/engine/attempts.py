"""What to hand to an executor for one attempt of a task node.

The one rule: an AttemptSpec follows from the state alone, so it can be made again after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from google.protobuf.struct_pb2 import Struct

from hydraflyte.backend.engine import layout, pods
from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.elements import element_inputs, item_env
from hydraflyte.backend.engine.environment import attempt_env
from hydraflyte.backend.engine.levels import spec_of
from hydraflyte.backend.engine.nodeids import generated_name
from hydraflyte.backend.engine.state import ExecutionPlan, ExecutionState, NodeState
from hydraflyte.backend.engine.templates import (
    TemplateError,
    TemplateValues,
    asks_for_inputs,
    asks_for_task_template,
    render,
)
from hydraflyte.identifiers import AttemptId

ECHO_TASK_TYPE = "echo"  # gives what it takes, without a container
_BUNDLE_OPTION = "--additional-distribution"
_CONNECTOR = ("flyte-connector", "{{.taskTemplatePath}}", "{{.input}}", "{{.outputPrefix}}", "{{.rawOutputDataPrefix}}")
"""What is run for a task without a container: executors know it, see ``executor/zygote/connectors.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Container:
    """The parts of a container that a process needs, wherever the template keeps them."""

    templates: tuple[str, ...]
    env: Mapping[str, str]


def attempt_id(state: ExecutionState, node: NodeState) -> AttemptId:
    """Return the id of the node's current attempt."""
    return AttemptId(execution=state.plan.execution_id, node=node.node_id, attempt=node.attempt)


def attempt_spec(state: ExecutionState, node: NodeState, task: TaskTemplate) -> AttemptSpec:
    """Return all that an executor needs for the current attempt of ``node``.

    Raises:
        TemplateError: the task's pod has no such container, or its command line cannot be rendered.
    """
    container = _container(task)
    attempt = attempt_id(state, node)
    values = _template_values(state, node, container.templates)
    argv = render(container.templates, values)
    env = attempt_env(state.plan, attempt, task.id, container.env)
    return AttemptSpec(
        attempt=attempt,
        argv=argv,
        env=env if node.item is None else {**env, **item_env(node.item)},
        task=task,
        inputs_uri=values.input,
        output_prefix=layout.output_prefix(state, node),
        raw_output_prefix=values.raw_output_prefix,
        bundle_uri=_option(argv, _BUNDLE_OPTION),
        resource_defaults=state.plan.resource_defaults,
        resource_limits=state.plan.resource_limits,
        eager_parent=state.plan.eager_parent,
    )


def needs_template_file(task: TaskTemplate) -> bool:
    """Return whether the task wants its own template as a file (``{{.taskTemplatePath}}``)."""
    try:
        return asks_for_task_template(_container(task).templates)
    except TemplateError:
        return False


def template_file_uri(state: ExecutionState, node: NodeState) -> str:
    """Return the path of that file."""
    return f"{layout.data_dir(state, node)}/{layout.TASK_TEMPLATE_FILE}"


def inputs_of(state: ExecutionState, node: NodeState) -> LiteralMap:
    """Return what ``node`` takes; of an array's item, the elements."""
    if node.item is None or node.parent is None or node.inputs is not None:
        return node.inputs or LiteralMap()
    array = state.nodes[node.parent]
    items = spec_of(state, array).items
    assert items is not None
    return element_inputs(items.array, array.inputs or LiteralMap(), node.item)


def _template_values(state: ExecutionState, node: NodeState, templates: Sequence[str]) -> TemplateValues:
    plan = state.plan
    input_uri = layout.inputs_uri(state, node)
    attempt = attempt_id(state, node)
    return TemplateValues(
        input=input_uri,
        input_prefix=input_uri.rpartition("/")[0],
        output_prefix=layout.output_prefixes(state, node)[0],
        raw_output_prefix=layout.raw_output_prefix(plan.raw_output_prefix, attempt),
        checkpoint_prefix=layout.checkpoint_prefix(plan.raw_output_prefix, attempt),
        prev_checkpoint_prefix=_previous_checkpoints(plan, attempt),
        generated_name=generated_name(attempt),
        task_template_path=template_file_uri(state, node),
        namespace=f"{plan.execution_id.project}-{plan.execution_id.domain}",
        inputs=inputs_of(state, node) if asks_for_inputs(templates) else LiteralMap(),
    )


def _previous_checkpoints(plan: ExecutionPlan, attempt: AttemptId) -> str:
    """Return where the attempt before this one kept its checkpoints; before the first comes what is recovered."""
    if attempt.attempt:
        return layout.checkpoint_prefix(plan.raw_output_prefix, replace(attempt, attempt=attempt.attempt - 1))
    recovered = plan.recovered.get(attempt.node)
    return "" if recovered is None else recovered.checkpoints


def _container(task: TaskTemplate) -> _Container:
    target = task.WhichOneof("target")
    if target == "container":
        templates = (*task.container.command, *task.container.args)
        return _Container(templates=templates, env={pair.key: pair.value for pair in task.container.env})
    if target == "k8s_pod":
        return _of_pod(task)
    return _Container(templates=() if task.type == ECHO_TASK_TYPE else _CONNECTOR, env={})


def _of_pod(task: TaskTemplate) -> _Container:
    container = pods.primary_container(task)
    if container is None:
        raise TemplateError(f"the pod has no container {pods.primary_container_name(task)!r} (primary_container_name)")
    return _Container(
        templates=(*_strings(container, "command"), *_strings(container, "args")), env=_pod_env(container)
    )


def _strings(container: Struct, key: str) -> tuple[str, ...]:
    return tuple(item.string_value for item in pods.list_of(container, key))


def _pod_env(container: Struct) -> dict[str, str]:
    """Return the container's plain variables; ``valueFrom`` means something only inside Kubernetes."""
    pairs = [item.struct_value for item in pods.list_of(container, "env")]
    return {pods.text_of(pair, "name"): pods.text_of(pair, "value") for pair in pairs if "valueFrom" not in pair.fields}


def _option(argv: tuple[str, ...], name: str) -> str:
    """Return the value after ``name``, or ``""``."""
    for option, value in pairwise(argv):
        if option == name:
            return value
    return ""
