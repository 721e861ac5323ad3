"""The same events in any legal order lead to the same: all orders of small workflows, random ones of larger."""

from __future__ import annotations

import os
import random

import pytest
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.literals_pb2 import RetryStrategy
from flyteidl.core.tasks_pb2 import TaskMetadata
from flyteidl.core.workflow_pb2 import Node
from tests.simulation.graphs import Grower, Wishes
from tests.simulation.orders import Rules, all_points, assert_equal, random_way
from tests.unit.backend.workflows import (
    INT,
    approve_node,
    array_node,
    bind,
    branch_node,
    cached,
    collect,
    compare,
    compiled,
    const,
    given,
    list_of,
    plan,
    plan_node,
    ref,
    signal_node,
    task,
    task_node,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.dynamic import compile_dynamic
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.identifiers import AttemptId

T = task("t1", metadata=TaskMetadata(retries=RetryStrategy(retries=1)))
CACHED = task("t2", metadata=cached())
DYNAMIC = task("dynamic")
MAPPED = task("mapped", inputs={"x": list_of(INT)}, outputs={"o0": list_of(INT)})
INNER = workflow(
    "inner",
    [task_node("n0", T, x=given()), task_node("n1", T, x=given())],
    outputs={"o0": (INT, ref("n1"))},
    finishes_others=True,
)
SEEDS = min(200, int(os.environ.get("HYDRAFLYTE_SIMULATION_SEEDS", "300")) // 10)


def nodes_of(*kinds: str) -> list[Node]:
    makers = {
        "task": lambda name: task_node(name, T, x=given()),
        "cached": lambda name: task_node(name, CACHED, x=given()),
        "dynamic": lambda name: task_node(name, DYNAMIC, x=given()),
        "workflow": lambda name: workflow_node(name, INNER, x=given()),
        "child": lambda name: plan_node(name, x=given()),
        "signal": lambda name: signal_node(name, "s0"),
        "approval": lambda name: approve_node(name, "ok1", o0=given()),
        "map": lambda name: array_node(name, MAPPED, x=collect(const(1), const(2))),
        "few at a time": lambda name: array_node(name, MAPPED, parallelism=1, x=collect(*[const(1)] * 3)),
        "branch": lambda name: branch_node(
            name,
            [(compare("$v", "EQ", 1), task_node("a0", T, x=given()))],
            default=task_node("a1", T, x=given()),
            v=given(),
        ),
    }
    return [makers[kind](f"n{number}") for number, kind in enumerate(kinds)]


def made(nodes: list[Node]) -> CompiledWorkflowClosure:
    """``nodes`` side by side, and a task after all of them."""
    last = task_node("last", T, after=[node.id for node in nodes], x=given())
    flow = workflow("main", [*nodes, last], outputs={"o0": (INT, ref("last"))}, finishes_others=True)
    return compiled(flow, [T, CACHED, DYNAMIC, MAPPED], [INNER])


def produce(attempt: AttemptId) -> CompiledWorkflowClosure:
    nodes = [task_node("dn0", T, x=const(1)), task_node("dn1", T, x=const(2))]
    return compile_dynamic(
        DynamicJobSpec(nodes=nodes, tasks=[T], outputs=bind({"o0": ref("dn1")})), attempt, variables({"o0": INT})
    )


SMALL = [
    ("task", "task", "task", "task"),
    ("task", "cached", "cached"),
    ("workflow", "task"),
    ("workflow", "workflow"),
    ("child", "child", "task"),
    ("signal", "signal", "task"),
    ("approval", "signal", "child"),
    ("map", "task"),
    ("few at a time", "task", "task"),
    ("map", "map"),
    ("branch", "branch", "task"),
    ("dynamic", "task"),
    ("dynamic", "dynamic"),
    ("branch", "workflow", "child"),
]


@pytest.mark.parametrize("kinds", SMALL, ids=", ".join)
@pytest.mark.parametrize("salt", ["a", "b", "c"])
def test_all_orders_of_a_small_workflow_lead_to_the_same(kinds: tuple[str, ...], salt: str) -> None:
    has_dynamic = "dynamic" in kinds  # what a dynamic task makes fails at once, so who is aborted is a matter of order
    rules = Rules(salt=salt, failing=0 if has_dynamic else 30, produce=produce)

    points = all_points(plan(made(nodes_of(*kinds))), rules, most=40_000)

    ends = [point.state for point in points.values() if not point.untold]
    assert all(end.phase in TERMINAL_EXECUTION_PHASES for end in ends)
    for end in ends:
        assert_equal(end, ends[0])


def test_two_tasks_with_one_attempt_each_have_as_many_points_as_the_lattice_of_their_events() -> None:
    points = all_points(plan(made(nodes_of("task", "task"))), Rules(), most=100)

    # before the request, then 3 x 3 (nothing, start, end of both), then start and end of the last task
    assert len(points) == 1 + 3 * 3 + 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parallelism", [0, 2], ids=["no limit", "two at a time"])
def test_random_orders_of_large_workflows_lead_to_the_same(parallelism: int) -> None:
    """With a limit and without failures: who fails first decides who is begun at all."""
    for seed in range(SEEDS):
        grower = Grower(rng=random.Random(seed), wishes=Wishes(clocks=False, waits_for_all=True))
        closure = grower.closure()
        is_dynamic = seed % 2 == 0
        rules = Rules(
            salt=str(seed),
            failing=0 if is_dynamic or parallelism else 20,
            produce=(lambda attempt, g=grower: g.produced_by_name(attempt)) if is_dynamic else None,
        )
        ends = []
        for order in range(3):
            *_, last = random_way(plan(closure, max_parallelism=parallelism), rules, random.Random(order))
            ends.append(last.state)

        for end in ends:
            assert end.phase in TERMINAL_EXECUTION_PHASES, f"seed {seed}: {end.phase.name}"
            assert_equal(end, ends[0])
