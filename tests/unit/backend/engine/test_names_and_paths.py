from __future__ import annotations

import pytest
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import INT, compiled, given, plan, ref, task, task_node, workflow, workflow_node

from hydraflyte.backend.engine import layout
from hydraflyte.backend.engine.nodeids import child_id, fnv1a_32, generated_name, shorten
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("n0-0-n1", "n0-0-n1"),
        ("x-y-z-m-n-y-z-m-n-y-z-m-n", "fe63sz6y"),  # from flyteplugins' own tests
        ("n0-0-n0-0-n1-0-n2-0-n3", "ftijkbgy"),
        ("a" * 20, "a" * 20),
    ],
)
def test_names_over_the_limit_become_flytes_hash(name: str, short: str) -> None:
    assert shorten(name, 20) == short


def test_the_hash_is_fnv_1a() -> None:
    assert (fnv1a_32(""), fnv1a_32("a"), fnv1a_32("foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)


def test_a_child_of_a_hashed_parent_is_named_after_the_hash() -> None:
    assert child_id(NodeId("ftijkbgy"), 2, "n0") == "ftijkbgy-2-n0"


def test_generated_names_are_hashed_over_fifty_characters() -> None:
    execution = ExecutionId(project="p", domain="d", name="e" * 45)

    assert generated_name(AttemptId(execution=execution, node=NodeId("n0"), attempt=0)) == "e" * 45 + "-n0-0"
    assert len(generated_name(AttemptId(execution=execution, node=NodeId("n0"), attempt=10))) == 8


def test_paths_follow_from_ids() -> None:
    work = task("work")
    inner = workflow("inner", [task_node("n0", work, x=given("x"))], outputs={"o0": (INT, ref("n0"))})
    run = Run(plan(compiled(workflow("w", [workflow_node("s", inner, x=given("x"))]), [work], [inner])))
    run.begin()
    node = run.node("s-0-n0")

    assert layout.data_dir(run.state, node) == "/meta/s/data/0/n0"
    assert layout.inputs_uri(run.state, node) == "/meta/s/data/0/n0/inputs.pb"
    assert layout.output_prefix(run.state, node) == "/meta/s/data/0/n0/0"
    assert layout.output_prefix(run.state, node, 3) == "/meta/s/data/0/n0/3"
    assert layout.outputs_uri(run.state, node) == "/meta/s/data/0/n0/0/outputs.pb"
    assert layout.outputs_uri(run.state, run.node("s-0-start-node")) == "/meta/s/data/0/start-node/0/outputs.pb"
    assert layout.execution_outputs_uri(run.state.plan) == "/meta/end-node/data/0/outputs.pb"


def test_each_attempt_has_its_own_raw_data_in_a_shard() -> None:
    execution = ExecutionId(project="p", domain="d", name="e1")
    attempt = AttemptId(execution=execution, node=NodeId("n0"), attempt=1)

    _, root, shard, name = layout.raw_output_prefix("/raw", attempt).split("/")

    assert (root, len(shard), name) == ("raw", 2, "e1-n0-1")
    assert layout.checkpoint_prefix("/raw", attempt) == f"/raw/{shard}/e1-n0-1/_flytecheckpoints"
