"""The fork server on real processes: every way a task can end, and what must not be left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import venv
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from tests.contract.executor.bench import Bench, RecordingSink, attempt_id, literals, machine_with, with_dest_dir

from hydraflyte.backend.engine.events import (
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
    LogLink,
)
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.executor import zygote
from hydraflyte.backend.executor.attempts import attempt_dir, log_path, prepare
from hydraflyte.backend.executor.forkserver import ForkServerExecutor
from hydraflyte.backend.executor.interpreters import Patience, WarmInterpreter
from hydraflyte.backend.executor.zygotes import Site, StartOrder

BOOT = Path(zygote.__file__).with_name("boot.py")
PATIENCE = Patience(abort_s=0.3, leave_s=5.0)


SECOND_FORK_FAILS = """
import itertools, os, runpy

fork, numbers = os.fork, itertools.count()


def fork_within_a_limit():
    if next(numbers) == 1:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()


os.fork = fork_within_a_limit
runpy.run_path({boot!r}, run_name="__main__")
"""


class Answers:
    """An AttemptListener that keeps what it is told."""

    def __init__(self):
        self._told = asyncio.Queue()

    async def next(self):
        return await asyncio.wait_for(self._told.get(), 30)

    def on_started(self, attempt):
        self._told.put_nowait(("started", attempt))

    def on_exited(self, attempt):
        self._told.put_nowait(("exited", attempt))

    def on_lost(self, attempt, reason):
        self._told.put_nowait(("lost", attempt, reason))

    def on_unstartable(self, attempt, reason):
        self._told.put_nowait(("unstartable", attempt, reason))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@asynccontextmanager
async def opened(bench, *, python=sys.executable, slots=2, environ=None, patience=PATIENCE):
    executor = ForkServerExecutor(
        home=bench.home,
        python=python,
        machine=machine_with(cpus=slots),
        environ=environ or os.environ,
        patience=patience,
    )
    sink = RecordingSink()
    await executor.open(sink)
    try:
        yield executor, sink
    finally:
        await executor.close()


def end_of(bench, spec, **options):
    """Run one attempt and return the event of its end."""

    async def story():
        async with opened(bench, **options) as (executor, sink):
            executor.start(spec)
            return await sink.next_end()

    return asyncio.run(story())


def described(event):
    """What the task ``describe`` returned."""
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.core.type_engine import TypeEngine
    from flytekit.models.literals import LiteralMap

    outputs = LiteralMap.from_flyte_idl(event.outputs)
    return TypeEngine.to_python_value(FlyteContextManager.current_context(), outputs.literals["o0"], dict)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # also between opening and reading
        return False


async def until(is_true, *, what):
    """Wait for a state of the operating system that nobody announces."""
    for _ in range(1000):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within 10 s: {what}")


def work(bench, spec):
    return attempt_dir(bench.home, spec.attempt) / "work"


async def pid_in(path):
    await until(lambda: path.exists() and path.read_text(), what=f"a pid in {path.name}")
    return int(path.read_text())


# how tasks end


def test_a_tasks_exception_is_the_users_own_traceback(bench):
    spec = bench.attempt("fail")

    end = end_of(bench, spec)

    assert isinstance(end, AttemptFailed)
    assert end.failure.code == "USER:RuntimeError"
    assert "attempt_tasks.py" in end.failure.message
    assert "ValueError: cannot double 3" in end.failure.message
    assert end.failure.uri == f"{spec.output_prefix}/error.pb"


@pytest.mark.parametrize(
    ("task", "x", "text"),
    [
        ("leave_at_once", 3, "exit code (3). Reason [Error]. Message: \nabout to leave"),
        ("leave", 7, "exit code (7). Reason [Error]"),
        ("die_of", signal.SIGSEGV, "exit code (139). Reason [Error]"),
        ("read_nowhere", 1, "exit code (139). Reason [Error]"),
    ],
)
def test_a_process_that_ends_by_itself_is_the_users_error_with_its_exit_code(bench, task, x, text):
    end = end_of(bench, bench.attempt(task, x=x))

    assert (end.failure.kind, end.failure.code, end.failure.is_retryable) == (ErrorKind.USER, "Error", True)
    assert text in end.failure.message


def test_a_killed_process_is_an_interruption_by_the_system(bench):
    end = end_of(bench, bench.attempt("die_of", x=signal.SIGKILL))

    assert (end.failure.kind, end.failure.code, end.failure.is_retryable) == (ErrorKind.SYSTEM, "Interrupted", True)


def test_outputs_that_cannot_be_parsed_fail_the_attempt_with_the_files_name(bench):
    end = end_of(bench, bench.attempt("damage_outputs"))

    assert isinstance(end, AttemptFailed)
    assert "outputs.pb holds no LiteralMap" in end.failure.message


def test_a_hundred_megabytes_of_prints_are_kept_and_cost_the_attempt_nothing(bench):
    spec = bench.attempt("print_megabytes", x=100)

    end = end_of(bench, spec)

    assert isinstance(end, AttemptSucceeded)
    assert 100 * 1024 * 1024 <= log_path(bench.home, spec.attempt, "stdout").stat().st_size < 101 * 1024 * 1024


# what a task sees


def test_a_task_sees_its_own_directory_environment_and_streams(bench):
    spec = bench.attempt("describe", env={"COLOUR": "blue"})
    environ = {"PATH": os.environ["PATH"], "HOME": "/home/somebody", "SECRET_OF_THE_BACKEND": "x", "LC_ALL": "C.UTF-8"}

    seen = described(end_of(bench, spec, environ=environ))

    directory = attempt_dir(bench.home, spec.attempt)
    assert seen["cwd"] == str(directory / "work")
    assert seen["module_file"] == str(directory / "work" / "attempt_tasks.py")
    assert "attempt_tasks.py" in seen["files"]
    assert seen["stdin"] == ""
    assert seen["inherited"] == []
    assert seen["is_session_leader"]
    assert seen["sigterm_is_default"]
    assert seen["sandbox_is_in_tmpdir"]
    assert seen["python"] == sys.executable
    assert {"COLOUR": "blue", "HOME": "/home/somebody", "LC_ALL": "C.UTF-8"}.items() <= seen["env"].items()
    assert seen["env"]["TMPDIR"] == str(directory / "tmp")
    assert seen["env"]["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)
    assert seen["env"]["PYTHONPATH"] == str(directory / "work")
    assert "SECRET_OF_THE_BACKEND" not in seen["env"]
    assert not (directory / "tmp").exists()


def test_no_variable_of_one_attempt_reaches_the_next(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(bench.attempt("describe", attempt_id("a"), env={"COLOUR": "blue"}))
            await sink.next_end()
            executor.start(bench.attempt("describe", attempt_id("b")))
            return described(await sink.next_end())

    seen = asyncio.run(story())

    assert "COLOUR" not in seen["env"]


def test_what_an_attempt_writes_into_its_directory_is_not_seen_by_the_next(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(bench.attempt("write_into_cwd", attempt_id("a")))
            executor.start(bench.attempt("double", attempt_id("b")))
            return [await sink.next_end(), await sink.next_end()]

    ends = asyncio.run(story())

    assert all(isinstance(end, AttemptSucceeded) for end in ends)


def test_the_directories_of_an_image_are_never_touched(bench, tmp_path):
    image_root = tmp_path / "root"
    image_root.mkdir()
    spec = with_dest_dir(bench.attempt("double"), str(image_root))

    end = end_of(bench, spec)

    assert isinstance(end, AttemptSucceeded)
    assert list(image_root.iterdir()) == []


def test_the_directories_of_an_attempt_are_readable_by_this_user_only(bench):
    spec = bench.attempt("double")
    end_of(bench, spec)

    directory = attempt_dir(bench.home, spec.attempt)

    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "work").stat().st_mode & 0o777 == 0o700
    assert log_path(bench.home, spec.attempt, "stdout").stat().st_mode & 0o777 == 0o600


def test_a_start_names_the_addresses_of_the_two_streams(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(bench.attempt("double"))
            return await sink.next()

    started = asyncio.run(story())

    assert started.logs == (
        LogLink(name="stdout", uri="/logs/p/development/e1/n0/0/stdout"),
        LogLink(name="stderr", uri="/logs/p/development/e1/n0/0/stderr"),
    )


# programs that are not flytekit's


def test_any_other_program_is_executed_with_the_interpreters_folder_first_on_the_path(bench):
    spec = bench.program(
        "python", "-c", "import sys, os; print(sys.prefix, os.environ['COLOUR'])", env={"COLOUR": "red"}
    )

    end = end_of(bench, spec)

    assert isinstance(end, AttemptSucceeded)
    assert log_path(bench.home, spec.attempt, "stdout").read_text() == f"{sys.prefix} red\n"


def test_a_program_that_does_not_exist_fails_for_good_with_its_name(bench):
    end = end_of(bench, bench.program("no-such-program", "--version"))

    assert (end.failure.code, end.failure.is_retryable) == ("BadTaskDefinition", False)
    assert "'no-such-program' was not found" in end.failure.message


def test_an_empty_command_line_fails_for_good(bench):
    end = end_of(bench, bench.program())

    assert (end.failure.code, end.failure.is_retryable) == ("BadTaskDefinition", False)
    assert "no command and no arguments" in end.failure.message


def test_a_variable_that_only_a_new_interpreter_reads_is_honoured(bench):
    seen = described(end_of(bench, bench.attempt("describe", env={"PYTHONHASHSEED": "7"})))

    assert seen["hash_is_seeded"]
    assert seen["main_file"].endswith("/pyflyte-execute")


# interpreters


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("python3", "is not an absolute path"),
        ("/no/such/python", "does not exist"),
        (__file__, "is not executable"),
    ],
)
def test_an_interpreter_that_cannot_be_used_fails_the_attempt_for_good(bench, python, problem):
    end = end_of(bench, bench.attempt("double", env={"HYDRAFLYTE_PYTHON": python}))

    assert (end.failure.kind, end.failure.code, end.failure.is_retryable) == (
        ErrorKind.USER,
        "BadTaskDefinition",
        False,
    )
    assert f"{python!r} (HYDRAFLYTE_PYTHON) {problem}" in end.failure.message


def test_an_interpreter_without_flytekit_is_named_with_the_command_that_repairs_it(bench):
    bare = bench.root / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o700)

    end = end_of(bench, bench.attempt("double", env={"HYDRAFLYTE_PYTHON": str(bare)}))

    assert (end.failure.code, end.failure.is_retryable) == ("BadTaskDefinition", False)
    assert "flytekit cannot be imported" in end.failure.message
    assert "-m pip install" in end.failure.message


def test_an_interpreter_that_ends_at_once_fails_the_attempt_with_what_it_printed(bench):
    broken = bench.root / "broken-python"
    broken.write_text("#!/bin/sh\necho 'libpython is missing' >&2\nexit 1\n")
    broken.chmod(0o700)

    end = end_of(bench, bench.attempt("double", env={"HYDRAFLYTE_PYTHON": str(broken)}))

    assert (end.failure.code, end.failure.is_retryable) == ("BadTaskDefinition", False)
    assert "ended 3 times before it could start a task" in end.failure.message
    assert "libpython is missing" in end.failure.message


def test_a_library_installed_meanwhile_is_met_by_a_new_zygote(bench):
    venv.create(bench.root / "venv", system_site_packages=True, symlinks=True)
    python = bench.root / "venv" / "bin" / "python"
    (site_packages,) = (bench.root / "venv" / "lib").glob("python*/site-packages")
    (site_packages / "base.pth").write_text(f"import site; site.addsitedir('{Path(click.__file__).parents[1]}')\n")

    async def story():
        async with opened(bench, python=str(python)) as (executor, sink):
            executor.start(bench.attempt("double", attempt_id("a")))
            await sink.next_end()
            before = executor.zygote_pids()
            (site_packages / "new_library.py").write_text("")
            executor.start(bench.attempt("double", attempt_id("b")))
            return before, await sink.next_end(), executor.zygote_pids()

    before, end, after = asyncio.run(story())

    assert end == AttemptSucceeded(attempt=attempt_id("b"), outputs=literals(o0=6))
    assert before != after


# aborting


def test_a_task_that_never_ends_is_ended_by_an_abort(bench):
    spec = bench.attempt("never_end")

    async def story():
        async with opened(bench, patience=Patience()) as (executor, sink):
            executor.start(spec)
            pid = await pid_in(work(bench, spec) / "pid")
            executor.abort(spec.attempt, "timeout")
            return pid, await sink.next_end()

    pid, end = asyncio.run(story())

    assert end == AttemptAborted(attempt=spec.attempt)
    assert not is_alive(pid)


def test_a_task_that_ignores_term_is_killed_after_the_grace(bench):
    spec = bench.attempt("ignore_term")

    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(spec)
            pid = await pid_in(work(bench, spec) / "pid")
            executor.abort(spec.attempt, "timeout")
            return pid, await sink.next_end()

    pid, end = asyncio.run(story())

    assert end == AttemptAborted(attempt=spec.attempt)
    assert not is_alive(pid)
    assert json.loads((attempt_dir(bench.home, spec.attempt) / "exit.json").read_text())["signal"] == signal.SIGKILL


def test_an_attempt_that_waits_for_a_slot_is_dropped_without_ever_starting(bench):
    running, waiting = bench.attempt("never_end", attempt_id("a")), bench.attempt("double", attempt_id("b"))

    async def story():
        async with opened(bench, slots=1) as (executor, sink):
            executor.start(running)
            await sink.next()
            executor.start(waiting)
            executor.abort(waiting.attempt, "not needed")
            return sink, await sink.next()

    sink, end = asyncio.run(story())

    assert end == AttemptAborted(attempt=waiting.attempt)
    assert [event.attempt for event in sink.events] == [running.attempt, waiting.attempt]


def test_attempts_that_wait_are_started_in_order_of_arrival(bench):
    specs = [bench.attempt("double", attempt_id(f"n{number}")) for number in range(6)]

    async def story():
        async with opened(bench, slots=1) as (executor, sink):
            for spec in specs:
                executor.start(spec)
            for _ in specs:
                await sink.next_end()
            return sink.events

    events = asyncio.run(story())

    started = [event.attempt.node for event in events if isinstance(event, AttemptStarted)]
    assert started == ["n0", "n1", "n2", "n3", "n4", "n5"]


def test_an_eager_attempt_takes_no_slot_from_those_it_waits_for(bench):
    eager, child = bench.attempt("never_end", attempt_id("eager")), bench.attempt("double", attempt_id("child"))
    eager.task.metadata.is_eager = True

    async def story():
        async with opened(bench, slots=1) as (executor, sink):
            executor.start(eager)
            await sink.next()
            executor.start(child)
            return await sink.next_end()

    assert asyncio.run(story()) == AttemptSucceeded(attempt=child.attempt, outputs=literals(o0=6))


# what must not be left behind


def test_processes_that_a_task_leaves_behind_are_killed_also_in_a_session_of_their_own(bench):
    spec = bench.attempt("leave_processes_behind")

    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(spec)
            await sink.next_end()
            pids = [int(pid) for pid in (work(bench, spec) / "pids").read_text().split()]
            await until(lambda: not any(is_alive(pid) for pid in pids), what="both processes are gone")

    asyncio.run(story())


def test_a_killed_zygote_loses_its_attempts_with_their_children_and_is_replaced(bench):
    spec = bench.attempt("never_end_with_child", attempt_id("a"))

    async def story():
        async with opened(bench) as (executor, sink):
            executor.start(spec)
            pid = await pid_in(work(bench, spec) / "pid")
            child = await pid_in(work(bench, spec) / "child")
            (zygote,) = executor.zygote_pids()
            os.kill(zygote, signal.SIGKILL)
            lost = await sink.next_end()
            await until(lambda: not is_alive(pid) and not is_alive(child), what="the attempt's processes are gone")
            executor.start(bench.attempt("double", attempt_id("b")))
            return lost, await sink.next_end()

    lost, end = asyncio.run(story())

    assert isinstance(lost, AttemptLost)
    assert lost.attempt == spec.attempt
    assert end == AttemptSucceeded(attempt=attempt_id("b"), outputs=literals(o0=6))


def test_attempts_that_wait_when_the_zygote_dies_run_on_the_next_one(bench):
    async def story():
        async with opened(bench) as (executor, sink):
            await until(executor.zygote_pids, what="the zygote is started")
            executor.start(bench.attempt("double"))
            os.kill(executor.zygote_pids()[0], signal.SIGKILL)
            return await sink.next_end()

    assert asyncio.run(story()) == AttemptSucceeded(attempt=attempt_id(), outputs=literals(o0=6))


def test_a_process_that_cannot_be_made_costs_its_own_attempt_alone(bench, tmp_path):
    program = tmp_path / "boot_with_a_limit.py"
    program.write_text(SECOND_FORK_FAILS.format(boot=str(BOOT)))
    site = Site(folder=tmp_path, environ=os.environ, program=(str(program),))

    def order(name, *argv):
        directory = tmp_path / name
        prepare(directory)
        started = StartOrder(
            attempt=name, directory=directory, argv=argv, env={}, private_env={}, memory_limit_bytes=None
        )
        return started.as_message()

    async def story():
        answers = Answers()
        interpreter = WarmInterpreter(python=sys.executable, site=site, patience=PATIENCE, listener=answers)
        try:
            interpreter.submit("first", order("first", "sleep", "60"))
            heard = [await answers.next()]
            interpreter.submit("second", order("second", "true"))
            heard.append(await answers.next())
            interpreter.submit("third", order("third", "true"))
            heard += [await answers.next(), await answers.next()]
            interpreter.abort("first")
            heard.append(await answers.next())
        finally:
            await interpreter.close()
        return heard

    assert asyncio.run(story()) == [
        ("started", "first"),
        ("lost", "second", "no process could be made for it: [Errno 11] Resource temporarily unavailable"),
        ("started", "third"),
        ("exited", "third"),
        ("exited", "first"),
    ]


def test_close_leaves_no_process_behind(bench):
    spec = bench.attempt("never_end_with_child")

    async def story():
        async with opened(bench) as (executor, _):
            executor.start(spec)
            pids = [await pid_in(work(bench, spec) / name) for name in ("pid", "child")]
            return [*pids, *executor.zygote_pids()]

    pids = asyncio.run(story())

    assert len(pids) == 3
    assert not any(is_alive(pid) for pid in pids)
    assert not (bench.home / "zygotes").exists()


def test_a_backend_that_is_killed_takes_its_zygotes_and_attempts_along(bench):
    script = bench.root / "backend.py"
    script.write_text(_BACKEND)
    folder = attempt_dir(bench.home, attempt_id()) / "work"

    async def story():
        backend = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(bench.root),
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        pids = [await pid_in(folder / name) for name in ("pid", "child", "zygote")]
        backend.kill()
        await backend.wait()
        await until(lambda: not any(is_alive(pid) for pid in pids), what="all processes are gone")

    asyncio.run(story())


_BACKEND = """
import asyncio, os, sys
from pathlib import Path
from tests.contract.executor.bench import Bench, RecordingSink, machine_with
from hydraflyte.backend.executor.attempts import attempt_dir
from hydraflyte.backend.executor.forkserver import ForkServerExecutor

async def main():
    bench = Bench(Path(sys.argv[1]))
    machine = machine_with(cpus=1)
    executor = ForkServerExecutor(home=bench.home, python=sys.executable, machine=machine, environ=os.environ)
    sink = RecordingSink()
    await executor.open(sink)
    spec = bench.attempt("never_end_with_child")
    executor.start(spec)
    await sink.next()
    (attempt_dir(bench.home, spec.attempt) / "work" / "zygote").write_text(str(executor.zygote_pids()[0]))
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_a_zygote_without_work_is_stopped_and_comes_back_when_needed(bench):
    async def story():
        async with opened(bench, patience=Patience(idle_s=0.05)) as (executor, sink):
            executor.start(bench.attempt("double", attempt_id("a")))
            await sink.next_end()
            await until(lambda: not executor.zygote_pids(), what="the idle zygote is gone")
            executor.start(bench.attempt("double", attempt_id("b")))
            return await sink.next_end()

    assert isinstance(asyncio.run(story()), AttemptSucceeded)


def test_an_attempt_that_ended_under_an_earlier_backend_is_not_run_again(bench):
    spec = bench.attempt("double")
    end_of(bench, spec)
    before = (attempt_dir(bench.home, spec.attempt) / "exit.json").read_text()

    end = end_of(bench, spec)

    assert end == AttemptSucceeded(attempt=spec.attempt, outputs=literals(o0=6))
    assert (attempt_dir(bench.home, spec.attempt) / "exit.json").read_text() == before
