"""Arrays over launch plans and over plain tasks, and the older map task: what they share with map tasks is not here."""

from __future__ import annotations

import pytest
from flyteidl.core.tasks_pb2 import TaskMetadata, TaskTemplate
from tests.unit.backend.engine.driver import Run
from tests.unit.backend.workflows import (
    ARGS,
    INT,
    NONE,
    PLAN,
    array_over,
    cached,
    collect,
    compiled,
    const,
    list_of,
    literals,
    older_map_task,
    plan,
    plan_node,
    ref,
    task,
    task_node,
    union_of,
    workflow,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import AbortChild, LookUpCache, StartAttempt, StartChild
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.engine.maps import older_settings
from hydraflyte.backend.engine.nodeids import fnv1a_64, item_execution_name
from hydraflyte.backend.engine.phases import ExecutionPhase, TaskPhase
from hydraflyte.identifiers import NodeId

INTEGERS = list_of(INT)
OPTIONALS = list_of(union_of(NONE, INT))
OLDER_ARGS = ("pyflyte-map-execute", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}")


def over_plan(size: int = 3, *, parallelism: int = 0, ratio: float = 1.0) -> Run:
    """A map of the plan over 0, 10, 20 …; begun."""
    items = collect(*(const(number * 10) for number in range(size)))
    node = array_over(plan_node("n0"), parallelism=parallelism, min_success_ratio=ratio, x=items)
    run = Run(plan(compiled(workflow("w", [node], outputs={"o0": (INTEGERS, ref("n0"))}), [])))
    run.begin()
    return run


def over_task(size: int = 2, *, metadata: TaskMetadata | None = None, args: tuple[str, ...] = ARGS) -> Run:
    """A map over 0, 10 … of a task that takes and gives one integer; begun."""
    work = task("work", metadata=metadata, args=args)
    node = array_over(task_node("n0", work), x=collect(*(const(number * 10) for number in range(size))))
    run = Run(plan(compiled(workflow("w", [node], outputs={"o0": (INTEGERS, ref("n0"))}), [work])))
    run.begin()
    return run


def older(template: TaskTemplate, size: int = 2, *, retries: int = 0) -> Run:
    """An older map task over 0, 10 …; begun."""
    node = task_node("n0", template, retries=retries, x=collect(*(const(number * 10) for number in range(size))))
    run = Run(plan(compiled(workflow("w", [node], outputs={"o0": (OPTIONALS, ref("n0"))}), [template])))
    run.begin()
    return run


def test_an_array_over_a_launch_plan_begins_a_child_for_each_item_with_the_items_own_inputs() -> None:
    run = over_plan(2)

    first, second = run.commanded(StartChild)

    assert (first.node, first.launch_plan, first.inputs) == ("n0-0-n0", PLAN.identifier, literals(x=0))
    assert (second.node, second.launch_plan, second.inputs) == ("n0-0-n1", PLAN.identifier, literals(x=10))
    assert run.writes["/meta/n0/data/0/1/inputs.pb"] == literals(x=10)
    assert run.phases() == {"n0": "QUEUED", "n0-0-n0": "QUEUED", "n0-0-n1": "QUEUED"}


def test_the_names_of_such_children_are_hashes_of_64_bits() -> None:
    run = over_plan(2)

    first, second = run.commanded(StartChild)

    assert fnv1a_64("a") == 0xAF63DC4C8601EC8C  # the published test vector
    assert first.child.name == item_execution_name("e1", NodeId("n0-0-n0"), 0)
    assert len(first.child.name) == 14
    assert first.child.name != second.child.name


def test_it_runs_as_soon_as_a_child_does_and_gives_the_outputs_in_the_order_of_the_items() -> None:
    run = over_plan(2)

    run.start_child("n0-0-n1")
    running = run.phases()
    run.succeed_child("n0-0-n1", o0=5)
    run.succeed_child("n0-0-n0", o0=4)

    assert running == {"n0": "RUNNING", "n0-0-n0": "QUEUED", "n0-0-n1": "RUNNING"}
    assert run.state.phase is ExecutionPhase.SUCCEEDED
    assert run.state.outputs == literals(o0=[4, 5])


def test_over_no_items_it_gives_an_empty_list_for_every_output_that_others_take() -> None:
    run = over_plan(0)

    assert run.state.outputs == literals(o0=[])


def test_only_so_many_children_run_at_once() -> None:
    run = over_plan(3, parallelism=1)

    run.succeed_child("n0-0-n0", o0=1)

    assert [command.node for command in run.commanded(StartChild)] == ["n0-0-n1"]


def test_a_failed_child_fails_the_array_and_the_other_children_are_aborted() -> None:
    run = over_plan(2)

    run.fail_child("n0-0-n0")
    aborted = run.commanded(AbortChild)
    run.abort_child("n0-0-n1")

    assert [command.node for command in aborted] == ["n0-0-n1"]
    assert run.state.phase is ExecutionPhase.FAILED
    assert run.phases() == {"n0": "FAILED", "n0-0-n0": "FAILED", "n0-0-n1": "ABORTED"}
    assert run.state.failure is not None
    assert run.state.failure.message == "[0]: the child's own words"


def test_a_child_that_may_fail_gives_none() -> None:
    run = over_plan(2, ratio=0.5)

    run.fail_child("n0-0-n0")
    run.succeed_child("n0-0-n1", o0=5)

    assert run.state.outputs == literals(o0=[None, 5])


def test_terminating_aborts_every_child() -> None:
    run = over_plan(2)

    run.terminate()
    aborted = run.commanded(AbortChild)
    run.abort_child("n0-0-n0")
    run.abort_child("n0-0-n1")

    assert [command.node for command in aborted] == ["n0-0-n0", "n0-0-n1"]
    assert run.state.phase is ExecutionPhase.ABORTED
    assert run.phases() == {"n0": "ABORTED", "n0-0-n0": "ABORTED", "n0-0-n1": "ABORTED"}


def test_after_a_restart_the_same_children_are_asked_for_again() -> None:
    run = over_plan(2)

    assert machine.recover(run.state, run.now) == run.commands


def test_an_item_of_a_plain_task_reads_inputs_of_its_own() -> None:
    run = over_task(args=("prog", "{{.input}}", "{{.inputs.x}}", "{{.outputPrefix}}"))

    first, second = (command.spec for command in run.commanded(StartAttempt))

    assert first.argv == ("prog", "/meta/n0/data/0/0/inputs.pb", "0", "/meta/n0/data/0/0/0")
    assert second.argv == ("prog", "/meta/n0/data/0/1/inputs.pb", "10", "/meta/n0/data/0/1/0")
    assert run.writes["/meta/n0/data/0/0/inputs.pb"] == literals(x=0)
    assert run.writes["/meta/n0/data/0/1/inputs.pb"] == literals(x=10)


def test_items_of_a_plain_task_share_their_cache_with_the_task_itself() -> None:
    run = over_task(metadata=cached())
    alone = task("work", metadata=cached())
    single = Run(plan(compiled(workflow("w", [task_node("n0", alone, x=const(10))]), [alone])))
    single.begin()

    assert run.commanded(LookUpCache)[1].tag == single.commanded(LookUpCache)[0].tag
    assert run.commanded(LookUpCache)[1].dataset == single.commanded(LookUpCache)[0].dataset


def test_an_item_of_an_older_map_task_is_told_the_prefix_to_which_it_appends_its_index() -> None:
    template = older_map_task("old")
    del template.container.args[:]
    template.container.args.extend(OLDER_ARGS)
    run = older(template)

    _, second = (command.spec for command in run.commanded(StartAttempt))

    assert second.argv[2:] == ("/meta/n0/data/inputs.pb", "--output-prefix", "/meta/n0/data/0")
    assert second.output_prefix == "/meta/n0/data/0/1"
    assert second.env["FLYTE_K8S_ARRAY_INDEX"] == "1"


def test_a_later_attempt_of_such_an_item_has_a_directory_of_its_own() -> None:
    run = older(older_map_task("old"), retries=1)

    run.fail("n0-0-n1", is_retryable=True)

    (again,) = run.commanded(StartAttempt)
    assert again.spec.argv[-1] == "/meta/n0/data/0/1/1"
    assert again.spec.output_prefix == "/meta/n0/data/0/1/1/1"


def test_an_older_map_task_gives_a_list() -> None:
    run = older(older_map_task("old", min_success_ratio=0.5))

    run.fail("n0-0-n0")
    run.succeed("n0-0-n1", o0=7)

    assert run.state.outputs == literals(o0=[None, 7])
    assert run.node("n0").attempts[0].phase is TaskPhase.SUCCEEDED


def test_an_older_map_task_fails_as_its_plugin_would() -> None:
    run = older(older_map_task("old"), 1)

    run.fail("n0-0-n0")

    failure = run.state.failure
    assert failure is not None
    assert (failure.kind, failure.code) == (ErrorKind.USER, "RetriesExhausted|ARRAY_JOB_GENERIC_FAILURE")
    assert failure.message == "[1/1] currentAttempt done. Last Error: USER::[0]: n0-0-n0 went wrong"


def test_an_older_map_task_takes_one_slot_and_runs_as_many_items_as_its_settings_say() -> None:
    template = older_map_task("old", parallelism=1)
    node = task_node("n0", template, x=collect(const(0), const(1)))
    run = Run(plan(compiled(workflow("w", [node]), [template]), max_parallelism=1))

    run.begin()

    assert [command.spec.attempt.node for command in run.commanded(StartAttempt)] == ["n0-0-n0"]


@pytest.mark.parametrize(
    ("custom", "criterion", "value"),
    [
        ({"minSuccessRatio": 0.5}, "min_success_ratio", 0.5),
        ({"minSuccesses": "3"}, "min_successes", 3),
    ],
)
def test_the_settings_of_an_older_map_task_are_read_as_its_plugin_reads_them(
    custom: dict[str, object], criterion: str, value: float
) -> None:
    template = TaskTemplate()
    template.custom.update({"parallelism": "4", **custom})

    settings = older_settings(template)

    assert settings.parallelism == 4
    assert settings.WhichOneof("success_criteria") == criterion
    assert getattr(settings, criterion) == value
