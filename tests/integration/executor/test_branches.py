"""Attempts forked from a process that has their libraries imported: faster, and otherwise no different."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager

import pytest
from tests.contract.executor.bench import Bench, RecordingSink, attempt_id, literals, machine_with
from tests.integration.executor.test_fork_server import described, is_alive, pid_in, until, work

from hydraflyte.backend.engine.events import AttemptAborted, AttemptLost, AttemptSucceeded
from hydraflyte.backend.executor.forkserver import ForkServerExecutor
from hydraflyte.backend.executor.interpreters import Patience


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@asynccontextmanager
async def opened(bench):
    patience = Patience(abort_s=0.3, leave_s=5.0)
    executor = ForkServerExecutor(
        home=bench.home, python=sys.executable, machine=machine_with(cpus=2), environ=os.environ, patience=patience
    )
    sink = RecordingSink()
    await executor.open(sink)
    try:
        yield executor, sink
    finally:
        await executor.close()


async def describe(bench, executor, sink, node, *, attempt=0, env=None):
    executor.start(bench.attempt("tell_origin", attempt_id(node, attempt=attempt), env=env))
    return described(await sink.next_end())


def test_the_second_attempt_finds_its_libraries_imported_and_its_own_code_not(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            seen = [await describe(bench, executor, sink, f"n{number}", attempt=number) for number in range(3)]
            (zygote,) = executor.zygote_pids()
            return zygote, seen

    zygote, seen = asyncio.run(story())

    assert [one["was_imported"] for one in seen] == [False, True, True]
    assert seen[0]["parent"] == zygote
    assert seen[1]["parent"] == seen[2]["parent"] != zygote
    assert len({one["id"] for one in seen}) == 3
    assert len({one["draw"] for one in seen}) == 3
    assert [one["own"] for one in seen] == ["0", "1", "2"]


def test_attempts_with_another_environment_share_nothing(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            await describe(bench, executor, sink, "a", env={"OMP_NUM_THREADS": "1"})
            return await describe(bench, executor, sink, "b", env={"OMP_NUM_THREADS": "2"})

    assert not asyncio.run(story())["was_imported"]


def test_an_attempt_below_a_branch_is_aborted_like_any_other(bench):
    spec = bench.attempt("never_end_with_library", attempt_id("endless"), x=0)

    async def story():
        async with opened(bench) as (executor, sink):
            await describe(bench, executor, sink, "n0")
            executor.start(spec)
            pid = await pid_in(work(bench, spec) / "pid")
            executor.abort(spec.attempt, "timeout")
            return pid, await sink.next_end()

    pid, end = asyncio.run(story())

    assert end == AttemptAborted(attempt=spec.attempt)
    assert not is_alive(pid)


def test_a_killed_branch_loses_its_attempts_and_the_next_one_runs(bench):
    spec = bench.attempt("never_end_with_library", attempt_id("endless"), x=0)

    async def story():
        async with opened(bench) as (executor, sink):
            await describe(bench, executor, sink, "n0")
            executor.start(spec)
            pid = await pid_in(work(bench, spec) / "pid")
            os.kill(await pid_in(work(bench, spec) / "parent"), signal.SIGKILL)
            lost = await sink.next_end()
            await until(lambda: not is_alive(pid), what="the attempt is gone")
            executor.start(bench.attempt("double", attempt_id("next")))
            return lost, await sink.next_end()

    lost, end = asyncio.run(story())

    assert isinstance(lost, AttemptLost)
    assert lost.attempt == spec.attempt
    assert end == AttemptSucceeded(attempt=attempt_id("next"), outputs=literals(o0=6))


def test_close_leaves_neither_a_branch_nor_its_attempts_behind(bench):
    spec = bench.attempt("never_end_with_library", attempt_id("endless"), x=0)

    async def story():
        async with opened(bench) as (executor, sink):
            await describe(bench, executor, sink, "n0")
            executor.start(spec)
            return [await pid_in(work(bench, spec) / name) for name in ("pid", "parent")]

    pids = asyncio.run(story())

    assert not any(is_alive(pid) for pid in pids)
