from __future__ import annotations

from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl.core.types_pb2 import LiteralType
from tests.unit.backend.engine.driver import START, Run
from tests.unit.backend.workflows import (
    FLOAT,
    INT,
    STRUCT,
    cached,
    compiled,
    given,
    list_of,
    literal,
    literals,
    plan,
    task,
    task_node,
    workflow,
)

from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.cachekeys import CacheKey, cache_key
from hydraflyte.backend.engine.commands import (
    KeepReservation,
    LookUpCache,
    ReleaseReservation,
    StartAttempt,
    WriteCache,
)
from hydraflyte.backend.engine.events import CacheAnswered
from hydraflyte.backend.engine.phases import ExecutionPhase, NodePhase
from hydraflyte.backend.engine.state import CacheStatus
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

CACHED = task("work", metadata=cached())
SERIALISED = task("work", metadata=TaskMetadata(discoverable=True, discovery_version="1", cache_serializable=True))
PLAIN = task("plain")
WORKS = [SERIALISED, PLAIN]
SOURCE = AttemptId(execution=ExecutionId(project="p", domain="d", name="old"), node=NodeId("n9"), attempt=1)


def one_task(template: TaskTemplate = CACHED, *, overwrite_cache: bool = False) -> Run:
    closure = compiled(workflow("w", [task_node("n0", template, retries=1, x=given("x"))]), [template])
    run = Run(plan(closure, overwrite_cache=overwrite_cache))
    run.begin()
    return run


def answer(run: Run, outputs: LiteralMap | None, *, has_failed: bool = False) -> None:
    source = None if outputs is None else SOURCE
    event = CacheAnswered(node=NodeId("n0"), attempt=0, outputs=outputs, source=source, has_failed=has_failed)
    run.send(event)


def test_the_cache_is_asked_before_anything_runs() -> None:
    run = one_task()

    assert run.commanded(StartAttempt) == []
    question = run.commanded(LookUpCache)[0]
    assert (question.node, question.attempt) == ("n0", 0)
    assert question.dataset.startswith("p:d:flyte_task-work:1-")
    assert question.tag.startswith("flyte_cached-")
    assert run.node("n0").phase is NodePhase.QUEUED
    assert run.node("n0").attempts == ()


def test_a_hit_ends_the_node_without_an_attempt() -> None:
    run = one_task()

    answer(run, literals(o0=5))

    node = run.node("n0")
    assert node.phase is NodePhase.SUCCEEDED
    assert node.outputs == literals(o0=5)
    assert (node.cache_status, node.cache_source) == (CacheStatus.CACHE_HIT, SOURCE)
    assert (node.attempts, node.started_at, node.ended_at) == ((), None, START)
    assert run.writes["/meta/n0/data/0/outputs.pb"] == literals(o0=5)
    assert run.commanded(WriteCache) == []
    assert run.state.phase is ExecutionPhase.SUCCEEDED


def test_after_a_miss_the_task_runs_and_its_outputs_are_kept() -> None:
    run = one_task()
    key = run.commanded(LookUpCache)[0]

    answer(run, None)
    assert run.node("n0").cache_status is CacheStatus.CACHE_MISS
    assert len(run.commanded(StartAttempt)) == 1
    run.succeed("n0", o0=5)

    write = run.commanded(WriteCache)[0]
    assert (write.attempt, write.dataset, write.tag) == (run.attempt("n0"), key.dataset, key.tag)
    assert write.outputs == literals(o0=5)
    assert run.node("n0").cache_status is CacheStatus.CACHE_POPULATED


def test_a_catalog_that_cannot_be_read_is_no_reason_to_fail() -> None:
    run = one_task()

    answer(run, None, has_failed=True)

    assert run.node("n0").cache_status is CacheStatus.CACHE_LOOKUP_FAILURE
    assert len(run.commanded(StartAttempt)) == 1


def test_a_failed_task_is_not_kept_and_its_retry_does_not_ask_again() -> None:
    run = one_task()
    answer(run, None)

    run.fail("n0", is_retryable=True)

    assert run.commanded(LookUpCache) == []
    assert run.commanded(WriteCache) == []
    assert len(run.commanded(StartAttempt)) == 1


def test_overwriting_skips_the_question_but_keeps_the_outputs() -> None:
    run = one_task(overwrite_cache=True)

    assert run.commanded(LookUpCache) == []
    assert run.node("n0").cache_status is CacheStatus.CACHE_SKIPPED
    run.succeed("n0", o0=5)
    assert len(run.commanded(WriteCache)) == 1
    assert run.node("n0").cache_status is CacheStatus.CACHE_POPULATED


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    run = one_task()
    answer(run, None)
    before = run.state

    answer(run, literals(o0=1))

    assert run.state == before


def test_an_answer_that_comes_after_the_abort_changes_nothing() -> None:
    run = one_task()
    run.terminate()

    answer(run, literals(o0=1))

    assert run.phases() == {"n0": "ABORTED"}
    assert run.state.phase is ExecutionPhase.ABORTED


# keys


def key(template: TaskTemplate = CACHED, **inputs: int | float | str | list[int]) -> CacheKey:
    found = cache_key(template, literals(**inputs))
    assert found is not None
    return found


def variant(**fields: object) -> TaskTemplate:
    return task("work", metadata=TaskMetadata(discoverable=True, discovery_version="1", **fields))  # type: ignore[arg-type]  # fields of TaskMetadata


def test_only_cached_tasks_with_outputs_have_a_key() -> None:
    assert cache_key(task("plain"), literals(x=1)) is None
    assert cache_key(task("silent", metadata=cached(), outputs={}), literals(x=1)) is None


def test_equal_inputs_have_equal_keys_in_whatever_order() -> None:
    assert key(x=1, y=2) == key(y=2, x=1)
    assert key(x=1) != key(x=2)
    assert key(x=1) != key(y=1)
    assert key(x=1) != key(x=1.0)


def test_the_version_of_the_task_is_not_part_of_the_key() -> None:
    newer = task("work", metadata=cached())
    newer.id.version = "v2"

    assert key(newer, x=1) == key(x=1)


def test_name_project_and_cache_version_are_part_of_the_key() -> None:
    elsewhere = task("work", metadata=cached())
    elsewhere.id.project = "q"

    datasets = {key(other).dataset for other in (CACHED, task("other", metadata=cached()), elsewhere)}
    datasets.add(key(task("work", metadata=cached("2"))).dataset)

    assert len(datasets) == 4


def test_types_are_part_of_the_key_but_descriptions_and_schemas_are_not() -> None:
    described = task("work", metadata=cached())
    described.interface.inputs.variables["x"].description = "a number"
    described.interface.inputs.variables["x"].type.metadata.update({"schema": 1})
    described.interface.inputs.variables["x"].type.annotation.annotations.update({"mine": 1})

    assert key(described, x=1) == key(x=1)
    assert key(task("work", metadata=cached(), inputs={"x": FLOAT}), x=1) != key(x=1)
    assert key(task("work", metadata=cached(), outputs={"o0": FLOAT}), x=1) != key(x=1)


def test_annotations_meant_for_the_cache_are_part_of_the_key() -> None:
    annotated = LiteralType()
    annotated.CopyFrom(STRUCT)
    annotated.annotation.annotations.update({"cache-key-metadata": {"serialization-format": "msgpack"}})
    plain = task("work", metadata=cached(), inputs={"x": list_of(STRUCT)})
    marked = task("work", metadata=cached(), inputs={"x": list_of(annotated)})

    assert key(plain).dataset != key(marked).dataset


def test_ignored_inputs_are_not_part_of_the_key() -> None:
    assert key(variant(cache_ignore_input_vars=["seed"]), x=1, seed=7) == key(x=1)


def test_a_literal_that_brings_its_hash_counts_by_its_hash() -> None:
    first, second = literal(1), literal(2)
    first.hash = second.hash = "same"

    keys = {cache_key(CACHED, LiteralMap(literals={"x": value})) for value in (first, second)}
    nested = {
        cache_key(CACHED, LiteralMap(literals={"x": Literal(map=LiteralMap(literals={"k": value}))}))
        for value in (first, second)
    }

    assert len(keys) == 1
    assert len(nested) == 1


def test_empty_lists_and_maps_differ() -> None:
    empty_list, empty_map = literal([]), Literal(map=LiteralMap())

    keys = {cache_key(CACHED, LiteralMap(literals={"x": value})) for value in (empty_list, empty_map)}

    assert len(keys) == 2


def test_serialised_caching_is_plain_caching_for_now() -> None:
    assert key(variant(cache_serializable=True), x=1) == key(x=1)
    assert INT != FLOAT


def serialised() -> Run:
    return one_task(SERIALISED)


def give_turn(run: Run) -> None:
    run.send(CacheAnswered(node=NodeId("n0"), attempt=0, outputs=None, is_reserved=True))


def test_a_serialised_task_asks_for_its_turn_and_an_overwriting_execution_does_not() -> None:
    assert [command.reserves for command in serialised().commanded(LookUpCache)] == [True]
    assert [command.reserves for command in one_task().commanded(LookUpCache)] == [False]
    assert one_task(SERIALISED, overwrite_cache=True).commanded(LookUpCache) == []


def test_the_turn_lasts_over_retries_and_restarts_until_the_outputs_are_in_the_catalog() -> None:
    run = serialised()
    give_turn(run)
    kept = KeepReservation(node=NodeId("n0"), dataset=run.node("n0").cache_dataset, tag=run.node("n0").cache_tag)

    run.start("n0")
    run.lose("n0")
    assert run.commanded(ReleaseReservation) == []
    assert kept in machine.recover(run.state, run.now)
    run.start("n0")
    run.succeed("n0", o0=5)

    assert [type(command) for command in run.commands] == [WriteCache, ReleaseReservation]
    assert not run.node("n0").holds_reservation
    assert run.node("n0").cache_status is CacheStatus.CACHE_POPULATED
    assert kept not in machine.recover(run.state, run.now)


def test_the_turn_of_a_task_that_fails_or_is_aborted_ends_with_it() -> None:
    failed, aborted = serialised(), serialised()
    for run in (failed, aborted):
        give_turn(run)
        run.start("n0")

    failed.fail("n0")
    aborted.terminate()
    aborted.confirm_abort("n0")

    assert len(failed.commanded(ReleaseReservation)) == 1
    assert len(aborted.commanded(ReleaseReservation)) == 1


def test_a_turn_that_comes_too_late_is_given_on() -> None:
    closure_nodes = [task_node("n0", SERIALISED, x=given("x")), task_node("n1", PLAIN, x=given("x"))]
    run = Run(plan(compiled(workflow("w", closure_nodes, failure_node=task_node("f", PLAIN, x=given("x"))), WORKS)))
    run.begin()
    run.start("n1")
    run.fail("n1")  # n0, which waits, is aborted; the failure node keeps the execution open
    assert run.phases() == {"n0": "ABORTED", "n1": "FAILED", "f": "QUEUED"}

    give_turn(run)

    assert [command.node for command in run.commanded(ReleaseReservation)] == ["n0"]


def test_what_another_node_stored_while_this_one_waited_is_a_hit() -> None:
    run = serialised()

    answer(run, literals(o0=5))

    assert run.node("n0").cache_status is CacheStatus.CACHE_HIT
    assert not run.node("n0").holds_reservation
    assert run.commanded(ReleaseReservation) == []
