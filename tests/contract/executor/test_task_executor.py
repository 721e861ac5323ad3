"""What every TaskExecutor promises: the same suite on real processes, in containers and on the scripted one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from tests.contract.executor.bench import Bench, RecordingSink, attempt_id, literals, machine_with

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptAborted, AttemptFailed, AttemptStarted, AttemptSucceeded
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.executor.containerised import ContainerExecutor
from hydraflyte.backend.executor.forkserver import ForkServerExecutor
from hydraflyte.backend.executor.interpreters import Patience
from hydraflyte.backend.executor.runtimes import find_runtime
from hydraflyte.backend.executor.scripted import Fails, NeverEnds, ScriptedExecutor, Succeeds
from hydraflyte.backend.ports import TaskExecutor
from hydraflyte.identifiers import NodeId
from hydraflyte.task_runtime import TaskRuntime

ENDS_WELL, ENDS_BADLY, NEVER_ENDS = "well", "badly", "never"


@dataclass(frozen=True)
class Kind:
    """One implementation. ``make`` returns an executor that continues on what an earlier one left."""

    make: Callable[[], TaskExecutor]
    attempt: Callable[[str], AttemptSpec]  # of a node of this name, which decides how it ends


def _fork_server(bench: Bench) -> Kind:
    tasks = {ENDS_WELL: "double", ENDS_BADLY: "fail", NEVER_ENDS: "never_end"}
    return Kind(
        make=lambda: ForkServerExecutor(
            home=bench.home, python=sys.executable, machine=machine_with(cpus=2), environ=os.environ
        ),
        attempt=lambda node: bench.attempt(tasks[node.split("-")[0]], attempt_id(node)),
    )


def _containers(bench: Bench, environ: Mapping[str, str]) -> Kind:
    """Containers of an image with a shell and no Python: what a task is made of is not the executor's business."""
    error = ContainerError(code="USER:RuntimeError", message="cannot double 3", origin=ExecutionError.USER)
    commands = {
        ENDS_WELL: bench.writes("outputs.pb", literals(o0=6)),
        ENDS_BADLY: bench.writes("error.pb", ErrorDocument(error=error)),
        NEVER_ENDS: ("sleep", "1000"),
    }
    runtime = find_runtime(TaskRuntime.PODMAN, environ)
    return Kind(
        make=lambda: ContainerExecutor(
            home=bench.home,
            runtime=runtime,
            machine=machine_with(cpus=2),
            environ=environ,
            patience=Patience(abort_s=1.0),
        ),
        attempt=lambda node: bench.program(*commands[node.split("-")[0]], attempt=attempt_id(node)),
    )


def _scripted(bench: Bench) -> Kind:
    failure = Failure(kind=ErrorKind.USER, code="USER:RuntimeError", message="cannot double 3")
    executor = ScriptedExecutor(
        {
            (NodeId(ENDS_WELL), 0): Succeeds(outputs=literals(o0=6)),
            (NodeId(ENDS_BADLY), 0): Fails(failure=failure),
        },
        otherwise=NeverEnds(),
    )
    return Kind(make=lambda: executor, attempt=lambda node: bench.program("true", attempt=attempt_id(node)))


@pytest.fixture(params=["fork server", "containers", "scripted"])
def kind(request, tmp_path):
    match request.param:
        case "fork server":
            return _fork_server(Bench(tmp_path))
        case "containers":
            image = request.getfixturevalue("shell_image")
            podman = request.getfixturevalue("podman")
            return _containers(Bench(tmp_path, image), {**os.environ, **podman.environment})
        case _:
            return _scripted(Bench(tmp_path))


def drive(kind, story):
    """Run ``story(executor, sink)`` on an open executor, and close it."""

    async def play():
        executor, sink = kind.make(), RecordingSink()
        await executor.open(sink)
        try:
            await story(executor, sink)
        finally:
            await executor.close()
        return sink

    return asyncio.run(play())


def test_an_attempt_that_ends_well_is_started_and_then_succeeds_with_its_outputs(kind):
    spec = kind.attempt(ENDS_WELL)

    async def story(executor, sink):
        executor.start(spec)
        await sink.next_end()

    started, ended = drive(kind, story).events

    assert isinstance(started, AttemptStarted)
    assert started.attempt == spec.attempt
    assert ended == AttemptSucceeded(attempt=spec.attempt, outputs=literals(o0=6))


def test_an_attempt_that_ends_badly_is_started_and_then_fails_with_the_users_error(kind):
    spec = kind.attempt(ENDS_BADLY)

    async def story(executor, sink):
        executor.start(spec)
        await sink.next_end()

    started, ended = drive(kind, story).events

    assert isinstance(started, AttemptStarted)
    assert isinstance(ended, AttemptFailed)
    assert (ended.failure.kind, ended.failure.code) == (ErrorKind.USER, "USER:RuntimeError")
    assert "cannot double 3" in ended.failure.message


def test_start_and_abort_return_before_anything_is_posted(kind):
    async def story(executor, sink):
        executor.start(kind.attempt(ENDS_WELL))
        executor.abort(attempt_id("unknown"), "never heard of it")

        assert sink.events == []

    drive(kind, story)


def test_an_attempt_started_twice_runs_once(kind):
    async def story(executor, sink):
        executor.start(kind.attempt(ENDS_WELL))
        executor.start(kind.attempt(ENDS_WELL))
        await sink.next_end()

    sink = drive(kind, story)

    assert [type(event) for event in sink.events] == [AttemptStarted, AttemptSucceeded]


def test_an_attempt_started_again_after_its_end_is_not_run_again(kind):
    async def story(executor, sink):
        executor.start(kind.attempt(ENDS_WELL))
        await sink.next_end()
        executor.start(kind.attempt(ENDS_WELL))
        executor.abort(attempt_id("marker"), "to see that nothing else comes before it")
        await sink.next_end()

    sink = drive(kind, story)

    assert [type(event) for event in sink.events] == [AttemptStarted, AttemptSucceeded, AttemptAborted]


def test_an_aborted_attempt_has_one_end_and_it_is_the_abort(kind):
    spec = kind.attempt(NEVER_ENDS)

    async def story(executor, sink):
        executor.start(spec)
        await sink.next()
        executor.abort(spec.attempt, "enough")
        executor.abort(spec.attempt, "enough, again")
        await sink.next_end()

    events = drive(kind, story).events

    assert isinstance(events[0], AttemptStarted)
    assert events[1] == AttemptAborted(attempt=spec.attempt)


def test_an_unknown_attempt_that_is_aborted_is_answered_too(kind):
    async def story(executor, sink):
        executor.abort(attempt_id("unknown"), "never heard of it")
        await sink.next_end()

    sink = drive(kind, story)

    assert sink.events == [AttemptAborted(attempt=attempt_id("unknown"))]


def test_an_attempt_aborted_at_once_ends_aborted_and_is_never_a_success(kind):
    spec = kind.attempt(ENDS_WELL)

    async def story(executor, sink):
        executor.start(spec)
        executor.abort(spec.attempt, "changed our mind")
        await sink.next_end()

    sink = drive(kind, story)

    assert sink.events[-1] == AttemptAborted(attempt=spec.attempt)
    assert not any(isinstance(event, AttemptSucceeded) for event in sink.events)


def test_close_reports_nothing_of_the_attempts_it_kills(kind):
    async def story(executor, sink):
        executor.start(kind.attempt(NEVER_ENDS))
        await sink.next()

    sink = drive(kind, story)

    assert [type(event) for event in sink.events] == [AttemptStarted]


def test_after_a_restart_the_end_of_a_finished_attempt_is_found(kind):
    spec = kind.attempt(ENDS_WELL)

    async def first_life(executor, sink):
        executor.start(spec)
        await sink.next_end()

    async def second_life(executor, sink):
        assert executor.find_result(spec) == AttemptSucceeded(attempt=spec.attempt, outputs=literals(o0=6))

    drive(kind, first_life)
    drive(kind, second_life)


def test_after_a_restart_an_attempt_that_was_running_is_lost_to_the_system(kind):
    spec = kind.attempt(NEVER_ENDS)

    async def first_life(executor, sink):
        executor.start(spec)
        await sink.next()

    async def second_life(executor, sink):
        found = executor.find_result(spec)  # its end is noted if the executor saw it before its own
        assert found is None or found.failure.kind is ErrorKind.SYSTEM

    drive(kind, first_life)
    drive(kind, second_life)


def test_nothing_is_known_of_an_attempt_that_was_never_started(kind):
    async def story(executor, sink):
        assert executor.find_result(kind.attempt(ENDS_WELL)) is None

    drive(kind, story)
