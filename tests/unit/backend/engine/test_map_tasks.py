from __future__ import annotations

import pytest
from flyteidl.core.tasks_pb2 import TaskMetadata
from flyteidl.core.workflow_pb2 import ArrayNode
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    ARGS,
    INT,
    NONE,
    array_node,
    cached,
    collect,
    compiled,
    const,
    list_of,
    literals,
    plan,
    ref,
    task,
    union_of,
    workflow,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortAttempt, LookUpCache, StartAttempt
from hydraflyte.backend.engine.elements import ArrayError, least_successes, size_of, summary
from hydraflyte.backend.engine.failures import Failure
from hydraflyte.backend.engine.phases import ExecutionPhase, TaskPhase

GIVEN_BACK = list_of(union_of(NONE, INT))


def mapped(
    size: int = 3,
    *,
    parallelism: int = 0,
    ratio: float = 1.0,
    retries: int = 0,
    args: tuple[str, ...] = ARGS,
    metadata: TaskMetadata | None = None,
) -> Run:
    """A workflow that maps over 0, 10, 20 … with ``y`` bound to 7 for every item; begun."""
    template = task(
        "mapped", inputs={"x": list_of(INT), "y": INT}, outputs={"o0": GIVEN_BACK}, args=args, metadata=metadata
    )
    node = array_node(
        "n0",
        template,
        retries=retries,
        parallelism=parallelism,
        min_success_ratio=ratio,
        bound=["y"],
        x=collect(*(const(number * 10) for number in range(size))),
        y=const(7),
    )
    flow = workflow("wf", [node], outputs={"o0": (GIVEN_BACK, ref("n0"))})
    run = Run(plan(compiled(flow, [template])))
    run.begin()
    return run


def test_every_item_is_an_attempt_that_knows_its_index_and_reads_the_whole_lists() -> None:
    run = mapped(2, args=("prog", "{{.input}}", "{{.inputs.x}}", "{{.inputs.y}}", "{{.outputPrefix}}"))

    first, second = (command.spec for command in run.commanded(StartAttempt))

    assert first.argv == ("prog", "/meta/n0/data/inputs.pb", "0", "7", "/meta/n0/data/0/0/0")
    assert second.argv == ("prog", "/meta/n0/data/inputs.pb", "10", "7", "/meta/n0/data/0/1/0")
    assert second.env["BATCH_JOB_ARRAY_INDEX_VAR_NAME"] == "FLYTE_K8S_ARRAY_INDEX"
    assert second.env["FLYTE_K8S_ARRAY_INDEX"] == "1"
    assert set(run.writes) == {"/meta/start-node/data/0/outputs.pb", "/meta/n0/data/inputs.pb"}


def test_the_outputs_are_lists_in_the_order_of_the_items() -> None:
    run = mapped(2)

    run.succeed("n0-0-n1", o0=4)
    run.succeed("n0-0-n0", o0=3)

    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=[3, 4])
    assert run.files["/meta/n0/data/0/outputs.pb"] == literals(o0=[3, 4])
    assert [attempt.phase for attempt in run.node("n0").attempts] == [TaskPhase.SUCCEEDED]


def test_the_array_runs_once_an_item_does() -> None:
    run = mapped(2)
    before = run.phases()["n0"]

    run.start("n0-0-n1")

    assert (before, run.phases()["n0"]) == ("QUEUED", "RUNNING")
    assert run.node("n0").attempts[0].phase is TaskPhase.RUNNING


def test_an_array_of_nothing_succeeds_at_once_with_empty_lists() -> None:
    run = mapped(0)

    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=[])


def test_no_more_items_run_at_once_than_allowed() -> None:
    run = mapped(3, parallelism=2)
    at_first = [command.spec.attempt.node for command in run.commanded(StartAttempt)]

    run.succeed("n0-0-n0", o0=1)

    assert at_first == ["n0-0-n0", "n0-0-n1"]
    assert [command.spec.attempt.node for command in run.commanded(StartAttempt)] == ["n0-0-n2"]


def test_no_more_than_500_items_are_handed_out_at_once_even_without_a_limit() -> None:
    run = mapped(502)
    at_first = len(run.commanded(StartAttempt))

    run.succeed("n0-0-n7", o0=1)

    assert at_first == 500
    assert [command.spec.attempt.node for command in run.commanded(StartAttempt)] == ["n0-0-n500"]


def test_items_that_may_fail_give_none() -> None:
    run = mapped(2, ratio=0.5)

    run.fail("n0-0-n0")
    run.succeed("n0-0-n1", o0=1)

    assert run.state.outputs == literals(o0=[None, 1])


def test_the_array_fails_as_soon_as_too_few_can_succeed_and_kills_the_others() -> None:
    run = mapped(3)
    run.start("n0-0-n1")

    run.fail("n0-0-n0")
    phases, aborted = run.phases(), [command.attempt.node for command in run.commanded(AbortAttempt)]
    run.confirm_abort("n0-0-n1")
    run.confirm_abort("n0-0-n2")

    assert phases["n0"] == "FAILING"
    assert aborted == ["n0-0-n1", "n0-0-n2"]
    assert run.phases() == {"n0": "FAILED", "n0-0-n0": "FAILED", "n0-0-n1": "ABORTED", "n0-0-n2": "ABORTED"}
    failure = run.node("n0").failure
    assert failure is not None
    assert (failure.kind.value, failure.code, failure.message) == ("UNKNOWN", "", "[0]: n0-0-n0 went wrong")
    assert run.node("n0").attempts[0].phase is TaskPhase.FAILED


def test_items_are_tried_again_one_by_one() -> None:
    run = mapped(2, retries=1)

    run.fail("n0-0-n1", is_retryable=True)

    assert [(c.spec.attempt.node, c.spec.output_prefix) for c in run.commanded(StartAttempt)] == [
        ("n0-0-n1", "/meta/n0/data/0/1/1")
    ]
    assert run.phases()["n0"] == "QUEUED"


def test_items_are_looked_up_in_the_cache_by_their_elements() -> None:
    run = mapped(2, metadata=cached())

    first, second = run.commanded(LookUpCache)

    assert first.dataset == second.dataset
    assert first.tag != second.tag


def test_an_abort_reaches_every_item() -> None:
    run = mapped(2)

    run.terminate()
    run.confirm_abort("n0-0-n0")
    run.confirm_abort("n0-0-n1")

    assert run.state.phase is ExecutionPhase.ABORTED
    assert run.phases() == {"n0": "ABORTED", "n0-0-n0": "ABORTED", "n0-0-n1": "ABORTED"}
    assert run.node("n0").attempts[0].phase is TaskPhase.ABORTED


def test_an_array_takes_one_slot() -> None:
    run = mapped(3)

    assert run.state.admission is not None
    assert run.state.admission.occupied == 1


def test_after_a_restart_the_items_that_were_not_started_are_started_again() -> None:
    run = mapped(2)
    run.start("n0-0-n0")

    commands = machine.recover(run.state, run.now)

    assert [command.spec.attempt.node for command in commands if isinstance(command, StartAttempt)] == ["n0-0-n1"]
    assert {spec.attempt.node for spec in machine.open_attempts(run.state)} == {"n0-0-n0", "n0-0-n1"}


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ArrayError) as refused:
        size_of(ArrayNode(), literals(x=[1, 2], y=[1]))

    assert refused.value.failure.code == "InvalidArrayLength"
    assert str(refused.value) == "all input arrays must have the same length: x has 2, y has 1"


def test_an_array_with_nothing_but_bound_inputs_has_one_item() -> None:
    assert size_of(ArrayNode(bound_inputs=["y"]), literals(y=[1, 2])) == 1


def test_an_array_without_a_list_is_refused() -> None:
    with pytest.raises(ArrayError, match="no input array provided"):
        size_of(ArrayNode(), literals(x=1))


@pytest.mark.parametrize(
    ("array", "expected"),
    [(ArrayNode(), 5), (ArrayNode(min_successes=2), 2), (ArrayNode(min_success_ratio=0.5), 3)],
)
def test_how_many_items_must_succeed(array: ArrayNode, expected: int) -> None:
    assert least_successes(array, 5) == expected


def test_equal_messages_are_told_once() -> None:
    failure: Failure = summary({0: "a", 1: "a", 2: "b", 3: "a"})

    assert failure.message == "[0-1,3]: a\n[2]: b"
