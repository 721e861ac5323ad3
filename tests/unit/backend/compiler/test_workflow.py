from __future__ import annotations

from collections.abc import Sequence

import pytest
from flyteidl.core.compiler_pb2 import ConnectionSet
from flyteidl.core.identifier_pb2 import ResourceType
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, Variable
from flyteidl.core.literals_pb2 import BindingData
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import EnumType, LiteralType, OutputReference, TypeStructure
from flyteidl.core.workflow_pb2 import (
    Alias,
    ArrayNode,
    Node,
    WorkflowNode,
    WorkflowTemplate,
)
from tests.unit.backend.workflows import (
    FLOAT,
    INT,
    NONE,
    STRING,
    STRUCT,
    array_over,
    bind,
    collect,
    compiled,
    const,
    given,
    identifier,
    list_of,
    map_of,
    older_map_task,
    plan_node,
    ref,
    task,
    task_node,
    union_of,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.interfaces import LaunchPlanInterface
from hydraflyte.backend.compiler.workflow import compile_workflow
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.errors import CompilationError

WORK = task("work")
SAY = task("say", inputs={"x": STRING})
SUM = task("sum", inputs={"x": list_of(INT)})
INNER = workflow("inner", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})


def edges(lists: object) -> dict[str, list[str]]:
    return {key: list(ids.ids) for key, ids in lists.items()}  # type: ignore[attr-defined]  # a protobuf map


def problems(
    template: WorkflowTemplate,
    tasks: Sequence[TaskTemplate] = (WORK, SAY),
    sub_workflows: Sequence[WorkflowTemplate] = (),
) -> list[str]:
    with pytest.raises(CompilationError) as raised:
        compiled(template, tasks, sub_workflows)
    return list(raised.value.problems)


def connections(template: WorkflowTemplate) -> ConnectionSet:
    return compiled(template, [WORK, SAY], [INNER]).primary.connections


# the shape of the result


def test_start_node_and_end_node_come_first_and_hold_the_interface() -> None:
    template = workflow("w", [task_node("n0", WORK, x=given("x"))], outputs={"o0": (INT, ref("n0"))})

    result = compiled(template, [WORK]).primary.template

    assert [node.id for node in result.nodes] == ["start-node", "end-node", "n0"]
    assert list(result.nodes[0].inputs) == []
    assert list(result.nodes[1].inputs) == bind({"o0": ref("n0")})


def test_promises_of_workflow_inputs_name_start_node_however_deep() -> None:
    many = task("many", inputs={"x": list_of(INT)})
    template = workflow(
        "w", [task_node("n0", many, x=collect(given("x"), const(1)))], outputs={"o0": (INT, given("x"))}
    )

    result = compiled(template, [many]).primary.template

    assert result.nodes[2].inputs[0].binding.collection.bindings[0].promise.node_id == "start-node"
    assert result.outputs[0].binding.promise.node_id == "start-node"
    assert result.nodes[1].inputs[0].binding.promise.node_id == "start-node"


def test_edges_are_sorted_and_complete() -> None:
    nodes = [
        task_node("c", WORK, x=ref("a"), after=["b"]),
        task_node("a", WORK, x=given("x")),
        task_node("b", WORK, x=const(1)),
        task_node("d", WORK, x=const(1)),
    ]

    found = connections(workflow("w", nodes, outputs={"o0": (INT, ref("a"))}))

    assert edges(found.upstream) == {
        "a": ["start-node"],
        "b": ["start-node"],
        "c": ["a", "b"],
        "d": ["start-node"],
        "end-node": ["a", "c", "d"],
    }
    assert edges(found.downstream) == {
        "start-node": ["a", "b", "d"],
        "a": ["c", "end-node"],
        "b": ["c"],
        "c": ["end-node"],
        "d": ["end-node"],
    }


def test_upstream_ids_are_completed_without_start_node() -> None:
    nodes = [
        task_node("a", WORK, x=given("x")),
        task_node("b", WORK, x=const(1)),
        task_node("c", WORK, x=ref("b"), after=["a"]),
    ]

    result = compiled(workflow("w", nodes), [WORK]).primary.template

    assert {node.id: list(node.upstream_node_ids) for node in result.nodes[2:]} == {"a": [], "b": [], "c": ["a", "b"]}


def test_the_failure_node_stays_apart_and_has_upstream_edges_only() -> None:
    template = workflow("w", [task_node("n0", WORK, x=given("x"))], failure_node=task_node("fn0", WORK, x=given("x")))

    result = compiled(template, [WORK]).primary

    assert [node.id for node in result.template.nodes] == ["start-node", "end-node", "n0"]
    assert result.template.failure_node.id == "fn0"
    assert edges(result.connections.upstream)["fn0"] == ["start-node"]
    assert edges(result.connections.downstream) == {"start-node": ["n0"], "n0": ["end-node"]}


def test_sub_workflows_are_compiled_once_and_listed_flat() -> None:
    middle = workflow("middle", [workflow_node("m0", INNER, x=given("x")), workflow_node("m1", INNER, x=given("x"))])
    unused = workflow("unused", [task_node("n0", SAY, x=const("s"))])
    template = workflow("w", [workflow_node("n0", middle, x=given("x")), workflow_node("n1", INNER, x=given("x"))])

    closure = compiled(template, [WORK, SAY], [INNER, middle, unused])

    assert [sub.template.id.name for sub in closure.sub_workflows] == ["middle", "inner"]
    assert [sub.template.nodes[0].id for sub in closure.sub_workflows] == ["start-node", "start-node"]
    assert [item.template.id.name for item in closure.tasks] == ["work"]


def test_the_templates_that_were_passed_in_stay_as_they_were() -> None:
    template = workflow("w", [workflow_node("n0", INNER, x=given("x"))])
    before = template.SerializeToString(deterministic=True), INNER.SerializeToString(deterministic=True)

    compiled(template, [WORK], [INNER])

    assert (template.SerializeToString(deterministic=True), INNER.SerializeToString(deterministic=True)) == before


def test_the_same_workflow_compiles_to_the_same_bytes() -> None:
    nodes = [task_node(f"n{i}", WORK, x=given("x")) for i in range(20)]

    results = {compiled(workflow("w", nodes), [WORK]).SerializeToString(deterministic=True) for _ in range(3)}

    assert len(results) == 1


def test_a_chain_of_a_thousand_nodes_is_compiled() -> None:  # how fast: benchmarks/limits.py
    nodes = [task_node("n0", WORK, x=given("x"))]
    for i in range(1, 1000):
        nodes.append(task_node(f"n{i}", WORK, x=ref(f"n{i // 2}"), after=[f"n{i - 1}"]))

    closure = compiled(workflow("w", nodes), [WORK])

    downstream = closure.primary.connections.downstream
    assert set(downstream["start-node"].ids) == {"n0"}
    assert set(downstream["n998"].ids) == {"n999"}


# what is refused


def test_all_problems_are_told_at_once() -> None:
    nodes = [
        task_node("n0", WORK),
        task_node("n1", task("missing"), x=given("x")),
        task_node("n2", SAY, x=given("x")),
    ]

    assert problems(workflow("w", nodes)) == [
        "TaskReferenceNotFound: node n1: task p:d:missing:v1 is not registered",
        "ParameterNotBound: node n0: input 'x' is not bound",
        "MismatchingTypes: node n2: input 'x': it is STRING but bound to INTEGER",
    ]


def test_problems_of_sub_workflows_are_told_too() -> None:
    bad = workflow("bad", [task_node("n0", SAY, x=given("x"))])
    template = workflow("w", [workflow_node("n0", bad, x=given("x"))])

    assert problems(template, sub_workflows=[bad]) == [
        "MismatchingTypes: node n0: input 'x': it is STRING but bound to INTEGER"
    ]


def test_the_message_tells_the_problems_and_the_hint_what_to_do() -> None:
    with pytest.raises(CompilationError) as raised:
        compiled(workflow("w", [task_node("n0", WORK)]), [WORK])

    expected = "failed to compile workflow p:d:w:v1 with 1 problem:\nParameterNotBound: node n0: input 'x' is not bound"
    assert raised.value.message == expected
    assert raised.value.hint


def node(node_id: str = "n0", **fields: object) -> Node:
    return Node(id=node_id, **fields)  # type: ignore[arg-type]  # fields of Node


UNION = union_of(INT, STRING)
PICKY = task("picky", inputs={"x": UNION})
EITHER = task("either", inputs={"x": union_of(STRING, LiteralType(enum_type=EnumType(values=["a"])))})
COLOUR = task("colour", inputs={"x": LiteralType(enum_type=EnumType(values=["red"]))})
MANY = task("many", inputs={"x": list_of(INT)})
MAPPED = task("mapped", inputs={"x": map_of(INT)})
RECORD = LiteralType(simple=STRUCT.simple, structure=TypeStructure(dataclass_type={"a": INT, "l": list_of(INT)}))
MAKER = task("maker", inputs={}, outputs={"o0": RECORD, "lists": list_of(map_of(INT)), "loose": STRUCT})


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        ([task_node("", WORK, x=const(1))], "ValueRequired: node w: a node has no id"),
        ([node()], "ValueRequired: node n0: it names nothing to run"),
        (
            [task_node("n0", WORK, x=const(1)), task_node("n0", WORK, x=const(1))],
            "DuplicateId: node n0: another node has this id, or it is reserved",
        ),
        (
            [task_node("end-node", WORK, x=const(1))],
            "DuplicateId: node end-node: another node has this id, or it is reserved",
        ),
        (
            [workflow_node("n0", workflow("gone", []), x=const(1))],
            "WorkflowReferenceNotFound: node n0: sub-workflow p:d:gone:v1 was not sent along",
        ),
        (
            [task_node("n0", WORK, x=const(1), after=["n9"])],
            "NodeReferenceNotFound: node n0: upstream node 'n9' is missing",
        ),
        (
            [task_node("n0", WORK, x=ref("n9"))],
            "NodeReferenceNotFound: node n0: input 'x': it is bound to node 'n9', which is missing",
        ),
        (
            [task_node("n0", WORK, x=given("y"))],
            "VariableNameNotFound: node n0: input 'x': node 'start-node' has no output 'y' (it has: x)",
        ),
        (
            [task_node("n0", WORK, x=const(1), y=const(2))],
            "VariableNameNotFound: node n0: there is no input 'y' (there is: x)",
        ),
        ([task_node("n0", WORK, x=BindingData())], "ParameterNotBound: node n0: input 'x': its binding is empty"),
        (
            [task_node("n0", WORK, x=const(1.5))],
            "MismatchingTypes: node n0: input 'x': it is INTEGER but bound to FLOAT",
        ),
        (
            [task_node("n0", WORK, x=collect(const(1)))],
            "MismatchingBindings: node n0: input 'x': it is INTEGER but bound to a list",
        ),
        (
            [task_node("n0", MANY, x=collect(const(1), const("a")))],
            "MismatchingTypes: node n0: input 'x': it is INTEGER but bound to STRING",
        ),
        (
            [task_node("n0", COLOUR, x=const("blue"))],
            "IllegalEnumValue: node n0: input 'x': 'blue' is none of red",
        ),
        (
            [task_node("n0", EITHER, x=const("a"))],
            "AmbiguousBindingUnionValue: node n0: input 'x': its value fits several variants of "
            "union of STRING | enum (a)",
        ),
        (
            [task_node("n0", PICKY, x=const(1.5))],
            "IncompatibleBindingUnionValue: node n0: input 'x': its value fits no variant of union of "
            "INTEGER | STRING (it is INTEGER but bound to FLOAT; it is STRING but bound to FLOAT)",
        ),
        (
            [task_node("m", MAKER), task_node("n0", WORK, x=ref("m", "o0", "b"))],
            "FieldNotFound: node n0: input 'x': m.o0: there is no field 'b' (there is: a, l)",
        ),
        (
            [task_node("m", MAKER), task_node("n0", WORK, x=ref("m", "o0", "a", "b"))],
            "FieldNotFound: node n0: input 'x': m.o0: a value of type INTEGER has no attributes",
        ),
        (
            [task_node("m", MAKER), task_node("n0", WORK, x=ref("m", "o0", "l"))],
            "MismatchingTypes: node n0: input 'x': it is INTEGER but bound to list of INTEGER",
        ),
        (
            [task_node("a", WORK, x=ref("b")), task_node("b", WORK, x=ref("c")), task_node("c", WORK, x=ref("a"))],
            "CycleDetected: node a: it waits for itself: a -> c -> b -> a",
        ),
        ([task_node("a", WORK, x=ref("a"))], "CycleDetected: node a: it waits for itself: a -> a"),
    ],
)
def test_each_mistake_has_flytes_code_and_says_where(nodes: list[Node], problem: str) -> None:
    tasks = [WORK, SAY, PICKY, EITHER, COLOUR, MANY, MAPPED, MAKER]

    assert problems(workflow("w", nodes), tasks) == [problem]


@pytest.mark.parametrize(
    "found",
    [
        task_node("n0", WORK, x=ref("m", "o0", "a")),
        task_node("n0", WORK, x=ref("m", "o0", "l", 3)),
        task_node("n0", WORK, x=ref("m", "lists", 0, "k")),
        task_node("n0", WORK, x=ref("m", "loose", "whatever")),
        task_node("n0", MAPPED, x=ref("m", "[2].lists")),
        task_node("n0", MANY, x=BindingData(collection={"bindings": []})),
    ],
)
def test_what_an_attribute_path_leads_to_may_be_bound(found: Node) -> None:
    assert compiled(workflow("w", [task_node("m", MAKER), found]), [WORK, MAKER, MANY, MAPPED])


def test_an_input_that_may_be_none_need_not_be_bound() -> None:
    optional = task("optional", inputs={"x": union_of(INT, NONE)})

    assert compiled(workflow("w", [task_node("n0", optional)]), [optional])


def test_an_input_bound_twice_is_refused() -> None:
    twice = task_node("n0", WORK, x=const(1))
    twice.inputs.extend(bind({"x": const(2)}))

    assert problems(workflow("w", [twice])) == ["ParameterBoundMoreThanOnce: node n0: input 'x' is bound twice"]


def test_outputs_are_checked_like_inputs() -> None:
    nodes = [task_node("n0", WORK, x=given("x"))]
    template = workflow("w", nodes, outputs={"o0": (FLOAT, ref("n0"))})
    template.interface.outputs.variables["o1"].type.CopyFrom(INT)

    assert problems(template) == [
        "MismatchingTypes: node end-node: output 'o0': it is FLOAT but bound to INTEGER",
        "ParameterNotBound: node end-node: output 'o1' is not bound",
    ]


def test_aliases_name_outputs_too_but_only_once() -> None:
    aliased = task_node("n0", WORK, x=given("x"))
    aliased.output_aliases.extend([Alias(var="o0", alias="total")])
    assert compiled(workflow("w", [aliased, task_node("n1", WORK, x=ref("n0", "total"))]), [WORK])

    aliased.output_aliases.extend([Alias(var="o0", alias="total")])
    assert problems(workflow("w", [aliased])) == ["DuplicateAlias: node n0: two outputs have the alias 'total'"]


def test_workflows_that_contain_each_other_are_refused() -> None:
    first = workflow("first", [workflow_node("n0", workflow("second", []), x=given("x"))])
    second = workflow("second", [workflow_node("n0", first, x=given("x"))])
    template = workflow("w", [workflow_node("n0", first, x=given("x"))])

    assert problems(template, sub_workflows=[first, second]) == [
        "CycleDetected: node of several workflows: p:d:first:v1 -> p:d:second:v1 -> p:d:first:v1 contain each other"
    ]


def test_an_id_that_is_not_complete_is_refused() -> None:
    template = workflow("w", [task_node("n0", WORK, x=given("x"))])
    template.id.version = ""
    template.id.resource_type = ResourceType.TASK

    assert problems(template) == [
        "InvalidValue: node w: resource_type is TASK, not WORKFLOW",
        "ValueRequired: node w: id.version is missing",
    ]


def test_an_array_over_neither_a_task_nor_a_launch_plan_is_refused_by_name() -> None:
    template = workflow("w", [node(array_node=ArrayNode()), task_node("n1", WORK, x=ref("n0", "anything"))])

    (problem,) = problems(template)

    assert problem.startswith("UnsupportedNodeKind: node n0: it maps over neither a task nor a launch plan")
    assert "hint: " in problem


def test_a_workflow_without_nodes_ends_when_it_begins() -> None:
    nothing = workflow("w", [])
    through = workflow("w", [], outputs={"o0": (INT, given("x"))})

    assert edges(connections(nothing).downstream) == {"start-node": ["end-node"]}
    assert edges(connections(through).downstream) == {"start-node": ["end-node"]}


def test_an_array_over_a_launch_plan_takes_and_gives_lists() -> None:
    array = array_over(plan_node("n0"), x=collect(const(1), const(2)))
    after = task_node("n1", SUM, x=ref("n0"))
    wrong = array_over(plan_node("n2"), x=const(1))

    compiled(workflow("w", [array, after], outputs={"o0": (list_of(INT), ref("n0"))}), [SUM])

    assert problems(workflow("w", [wrong])) == [
        "MismatchingTypes: node n2: input 'x': it is list of INTEGER but bound to INTEGER"
    ]


def test_an_array_over_a_task_that_knows_nothing_of_lists_takes_and_gives_lists() -> None:
    array = array_over(task_node("n0", WORK), x=collect(const(1), const(2)))

    compiled(workflow("w", [array], outputs={"o0": (list_of(INT), ref("n0"))}), [WORK])

    assert problems(workflow("w", [array], outputs={"o0": (INT, ref("n0"))})) == [
        "MismatchingTypes: node end-node: output 'o0': it is INTEGER but bound to list of INTEGER"
    ]


def test_a_map_task_of_the_older_kind_must_be_of_the_version_that_flytekit_writes() -> None:
    old = older_map_task("old")
    old.task_type_version = 0

    (problem,) = problems(workflow("w", [task_node("n0", old, x=collect(const(1)))]), tasks=[old])

    assert problem.startswith("UnsupportedNodeKind: node n0: its map task is of version 0")


def test_a_map_task_of_the_older_kind_must_have_settings_that_can_be_read() -> None:
    old = older_map_task("old")
    old.custom.update({"parallelism": "many"})

    (problem,) = problems(workflow("w", [task_node("n0", old, x=collect(const(1)))]), tasks=[old])

    assert problem.startswith("InvalidValue: node n0: the settings of its map task cannot be read")


def test_what_a_launch_plan_requires_must_be_bound() -> None:
    plan_id = identifier("lp", ResourceType.LAUNCH_PLAN)
    interface = LaunchPlanInterface(
        identifier=plan_id,
        expected_inputs=ParameterMap(parameters={"x": Parameter(var=Variable(type=INT), required=True)}),
        expected_outputs=variables({"o0": INT}),
    )
    template = workflow("w", [node(workflow_node=WorkflowNode(launchplan_ref=plan_id))])

    with pytest.raises(CompilationError) as raised:
        compile_workflow(template, [], {}, {entity_key(plan_id): interface})

    assert [line.split(":")[0] for line in raised.value.problems] == ["ParameterNotBound"]


def test_a_promise_without_a_node_means_the_workflows_input() -> None:
    assert given("x").promise == OutputReference(node_id="", var="x")


# ids


@pytest.mark.parametrize("node_id", ["..", ".", "../../evil", "a/b", "n\0", "n\n", "n" * 201, "outputs.pb", "inputs"])
def test_an_id_that_cannot_name_a_folder_is_refused(node_id: str) -> None:
    found = problems(workflow("w", [task_node(node_id, WORK, x=given("x"))]))

    assert found == [
        f"InvalidValue: node {node_id[:80]!r}: a node's id names folders: at most 200 bytes, without '/' and control"
        " characters, and not what other files there are called"
    ]


@pytest.mark.parametrize("node_id", ["n0", "fn0", "train-model", "Größe", "dn0", "a.b", "n" * 200])
def test_an_id_may_be_any_other_file_name(node_id: str) -> None:
    template = workflow("w", [task_node(node_id, WORK, x=given("x"))])

    assert compiled(template, [WORK]).primary.template.nodes[2].id == node_id
