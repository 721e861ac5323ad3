"""Combinations of constructs: each gives what it gives in process, and the value written here."""

from pathlib import Path

import construct_flows as flows
import pytest
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution

FLOWS = Path(__file__).parent / "flows"


def outputs_in_process(workflow, inputs):
    """What a plain call gives, by the names that outputs have on a backend."""
    given = workflow(**inputs)
    if given is None:
        return {}
    names = getattr(given, "_fields", None)
    values = given if isinstance(given, tuple) else (given,)
    return dict(zip(names or [f"o{number}" for number in range(len(values))], values, strict=True))


CASES = [
    (flows.parts_from_everywhere, {"n": 5}, {"o0": 7, "o1": 8, "o2": 10, "o3": 5}),
    (flows.parts_of_a_model, {"n": 4}, {"o0": 5, "o1": 4, "o2": "None"}),
    (flows.a_value_handed_down, {"n": 2}, {"o0": 5}),
    (flows.with_optional, {}, {"o0": None, "o1": "None"}),
    (flows.with_optional, {"x": 3}, {"o0": 3, "o1": "None"}),
    (flows.absent_everywhere, {}, {"o0": "None", "o1": "None", "o2": "5"}),
    (flows.optionals_in_containers, {"x": 1}, {"o0": "[1, None, 3, None] [('a', 1), ('b', None), ('c', None)]"}),
    (
        flows.unions,
        {"n": 2},
        {"o0": "2", "o1": "'text'", "o2": "['a', 'b']", "o3": "{'z': 2}", "o4": "['two']"}
        | {"o5": "[1, ['a', None], 2]"},
    ),
    (flows.defaults, {}, {"o0": "None", "o1": "None"}),
    (flows.defaults, {"b": "x", "c": [1]}, {"o0": "'x'", "o1": "[1]"}),
    (flows.named_outputs, {"n": 3}, {"o0": 3, "o1": "3", "o2": 6}),
    (flows.told_order, {"n": 1}, {"o0": 4}),
    (flows.overridden, {"n": 1}, {"o0": 8}),
    (flows.overridden_in_dynamic, {"n": 2}, {"o0": 6}),
    (flows.imperative, {"n": 2, "numbers": [1, 2]}, {"total": 7, "mapped": [1, 2], "both": [2, 5]}),
    (flows.choices, {"n": 1}, {"o0": 10}),
    (flows.choices, {"n": 2}, {"o0": 20}),
    (flows.choices, {"n": 3}, {"o0": 10}),
    (flows.choice_of_pairs, {"n": 3}, {"o0": 3, "o1": 4}),
    (flows.choice_of_pairs, {"n": 3, "flag": False}, {"o0": 0, "o1": 1}),
    (flows.three_deep, {"n": 1}, {"o0": "tiny"}),
    (flows.three_deep, {"n": 7}, {"o0": "medium"}),
    (flows.choice_after_choice, {"n": 5}, {"o0": 10}),
    (flows.choice_after_choice, {"n": -1}, {"o0": 96}),
    (flows.absent_or_not, {"x": None}, {"o0": "absent"}),
    (flows.absent_or_not, {"x": 3}, {"o0": "3"}),
    (flows.handed_through, {"x": 1, "y": ["a"]}, {"o0": 1, "o1": ["a"], "o2": "constant"}),
    (flows.handed_through_below, {"x": 1}, {"o0": 1, "o1": ["q"], "o2": "constant"}),
    (flows.empty, {}, {}),
]


@pytest.fixture(scope="module")
def begun(remote):
    """Begin an execution of every case, so that they run beside each other."""
    executions = []
    for workflow, inputs, _ in CASES:
        registered = remote.register_script(workflow, source_path=str(FLOWS), module_name="construct_flows")
        executions.append(remote.execute(registered, inputs=inputs, wait=False))
    return executions


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{case[0].short_name} {case[1]}" for case in CASES])
def test_it_gives_what_it_gives_in_process(remote, begun, number):
    workflow, inputs, expected = CASES[number]
    in_process = outputs_in_process(workflow, inputs)

    execution = remote.wait(begun[number], poll_interval=0.05, timeout=120)

    assert in_process == expected
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.outputs == expected


@pytest.mark.parametrize(
    ("n", "expected"),
    [(2, {"o0": 3, "o1": 5}), (9, {"o0": 9, "o1": 12})],
)
def test_conditions_compare_parts_of_values_which_flytekit_cannot_do_in_process(run, n, expected):
    assert run(flows.parts_in_conditions, n=n).outputs == expected


@pytest.mark.parametrize(("n", "message"), [(4, "none outside"), (7, "none inside")])
def test_an_arm_that_fails_gives_its_own_words(run, n, message):
    execution = run(flows.choices, n=n)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert (execution.error.code, execution.error.message) == ("UserProvidedError", message)


def test_an_eager_task_calls_eager_tasks_and_launch_plans(run):
    execution = run(flows.eager_outer, n=1)

    assert execution.outputs == {"o0": 2 + 2}


def test_overridden_node_names_are_the_ids_that_clients_see(run, remote):
    execution = run(flows.overridden, n=1)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)

    assert set(synced.node_executions) == {
        "start-node",
        "my-node",
        "sub",
        "mapped",
        "child",
        "n4",
        "total",
        "end-node",
    }
    assert {node.closure.phase for node in synced.node_executions.values()} == {NodeExecution.SUCCEEDED}
