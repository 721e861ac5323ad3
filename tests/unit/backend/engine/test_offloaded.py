"""Offloaded literals: handed on unread, and asked for by whatever looks into them."""

from __future__ import annotations

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap, LiteralOffloadedMetadata
from flyteidl.core.workflow_pb2 import Node
from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    INT,
    array_node,
    branch_node,
    compare,
    compiled,
    list_of,
    literal,
    literals,
    plan,
    ref,
    task,
    task_node,
    workflow,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import StartAttempt
from hydraflyte.backend.engine.events import AttemptSucceeded
from hydraflyte.backend.engine.offloaded import NONE_READ, Contents, LiteralNeededError
from hydraflyte.backend.engine.phases import ExecutionPhase
from hydraflyte.backend.engine.state import Step
from hydraflyte.identifiers import NodeId

URI = "/meta/n0/data/0/o0_offloaded_metadata.pb"
OFFLOADED = LiteralMap(literals={"o0": Literal(offloaded_metadata=LiteralOffloadedMetadata(uri=URI))})
LIST = task("count", inputs={}, outputs={"o0": list_of(INT)})
NUMBER = task("number", inputs={})
WORK = task("work")
SUM = task("sum", inputs={"x": list_of(INT)})
MAPPED = task("mapped", inputs={"x": list_of(INT)}, outputs={"o0": list_of(INT)})


def after_a_list(second: Node) -> Run:
    """A run in which n0, that gives a list, is about to end."""
    run = Run(plan(compiled(workflow("w", [task_node("n0", LIST), second]), [LIST, WORK, SUM, MAPPED])))
    run.begin()
    return run


def end_of_n0(run: Run, contents: Contents = NONE_READ) -> Step:
    event = AttemptSucceeded(attempt=run.attempt("n0"), outputs=OFFLOADED)
    return machine.step(run.state, event, START, contents)


def test_a_literal_that_nobody_looks_into_is_handed_on_by_its_address() -> None:
    run = after_a_list(task_node("n1", SUM, x=ref("n0")))

    step = end_of_n0(run)

    assert step.writes["/meta/n1/data/inputs.pb"] == LiteralMap(literals={"x": OFFLOADED.literals["o0"]})


def test_an_attribute_asks_for_the_content_and_changes_nothing_until_it_has_it() -> None:
    run = after_a_list(task_node("n1", WORK, x=ref("n0", "o0", 1)))
    before = run.state

    with pytest.raises(LiteralNeededError) as needed:
        end_of_n0(run)
    step = end_of_n0(run, NONE_READ.with_content(URI, literal([5, 6])))

    assert needed.value.uri == URI
    assert run.state == before
    assert step.writes["/meta/n1/data/inputs.pb"] == literals(x=6)


def test_an_array_is_given_the_list_itself() -> None:
    run = after_a_list(array_node("n1", MAPPED, x=ref("n0")))

    step = end_of_n0(run, NONE_READ.with_content(URI, literal([5, 6])))

    assert step.writes["/meta/n1/data/inputs.pb"] == literals(x=[5, 6])
    started = [command.spec.attempt.node for command in step.commands if isinstance(command, StartAttempt)]
    assert started == ["n1-0-n0", "n1-0-n1"]


def test_a_condition_compares_the_value_itself() -> None:
    arms = [(compare("$v", "EQ", 3), task_node("a0", WORK, x=ref("n0")))]
    branch = branch_node("n1", arms, error="it is not three", v=ref("n0"))
    run = Run(plan(compiled(workflow("w", [task_node("n0", NUMBER), branch]), [NUMBER, WORK])))
    run.begin()

    step = end_of_n0(run, NONE_READ.with_content(URI, literal(3)))

    assert step.state.nodes[NodeId("n1")].phase.name == "RUNNING"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (NONE_READ.without_content(URI, "No such file or directory"), "No such file or directory"),
        (NONE_READ.with_content(URI, OFFLOADED.literals["o0"]), "it stands for another one"),
    ],
    ids=["no content", "a content that is offloaded itself"],
)
def test_without_a_content_the_node_fails_and_says_which(contents: Contents, reason: str) -> None:
    run = after_a_list(task_node("n1", WORK, x=ref("n0", "o0", 1)))

    step = end_of_n0(run, contents)

    assert step.state.phase is ExecutionPhase.FAILED
    assert step.state.failure is not None
    assert step.state.failure.code == "BindingResolutionFailure"
    assert step.state.failure.message == f"input 'x': the offloaded literal {URI} cannot be read: {reason}"
