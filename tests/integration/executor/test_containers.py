"""Attempts in real containers: what they see, every way they can end, and what must not be left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from flyteidl.core.literals_pb2 import Blob, Literal, LiteralMap, Scalar
from flyteidl.core.security_pb2 import Secret, SecurityContext
from flyteidl.core.tasks_pb2 import Container, DataLoadingConfig, Resources, TaskTemplate
from flyteidl.core.types_pb2 import BlobType, LiteralType, SimpleType
from tests.contract.executor.bench import Bench, RecordingSink, attempt_id, literals, machine_with
from tests.image_tools import Engine
from tests.integration.executor.test_fork_server import until

from hydraflyte.backend.engine.events import (
    AttemptAborted,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
)
from hydraflyte.backend.engine.failures import ErrorKind
from hydraflyte.backend.executor.attempts import attempt_dir, log_path
from hydraflyte.backend.executor.containerised import ContainerExecutor, end_leftovers
from hydraflyte.backend.executor.interpreters import Patience
from hydraflyte.backend.executor.runtimes import ContainerRuntime, find_runtime
from hydraflyte.home import Home
from hydraflyte.secret_files import SecretFiles, SecretName
from hydraflyte.task_runtime import TaskRuntime

MIB = 1024 * 1024
FILL_MEMORY = ("sh", "-c", "x=a; while true; do x=$x$x; done")


@dataclass(frozen=True, kw_only=True)
class Yard:
    """A bench whose attempts run in containers of a runtime."""

    bench: Bench
    runtime: ContainerRuntime
    engine: Engine

    @property
    def environ(self):
        return {**os.environ, **self.engine.environment}

    @asynccontextmanager
    async def opened(self):
        executor = ContainerExecutor(
            home=self.bench.home,
            runtime=self.runtime,
            machine=machine_with(cpus=2),
            environ=self.environ,
            platform={"FLYTE_PLATFORM_URL": "127.0.0.1:30080"},
            patience=Patience(abort_s=1.0),
        )
        sink = RecordingSink()
        await executor.open(sink)
        try:
            yield executor, sink
        finally:
            await executor.close()

    def end_of(self, spec):
        """Run one attempt and return the event of its end."""

        async def story():
            async with self.opened() as (executor, sink):
                executor.start(spec)
                return await sink.next_end()

        return asyncio.run(story())

    def containers(self):
        """Ids of the containers of this home that exist, running or not."""
        name = self.runtime.kind.value
        label = f"label=hydraflyte.home={self.bench.home}"
        return self.engine.command(name, "ps", "--all", "--quiet", "--filter", label).stdout.split()

    def printed(self, spec, stream="stdout"):
        return log_path(self.bench.home, spec.attempt, stream).read_text()

    def with_resources(self, *argv, **limits):
        """An attempt with these limits, such as ``mem="64Mi"``."""
        names = {"mem": Resources.MEMORY, "cpu": Resources.CPU}
        entries = [Resources.ResourceEntry(name=names[name], value=value) for name, value in limits.items()]
        container = Container(image=self.bench.image, args=argv, resources=Resources(limits=entries))
        return self.bench.place(TaskTemplate(container=container), attempt_id(), argv=argv)


def yard(tmp_path, engine, kind, image):
    home = Home(root=tmp_path / "home")
    home.prepare()
    runtime = find_runtime(kind, {**os.environ, **engine.environment})
    return Yard(bench=Bench(tmp_path, image), runtime=runtime, engine=engine)


@pytest.fixture
def in_podman(tmp_path, podman, shell_image):
    return yard(tmp_path, podman, TaskRuntime.PODMAN, shell_image)


@pytest.fixture(params=[TaskRuntime.PODMAN, TaskRuntime.DOCKER], ids=["podman", "docker"])
def in_either(request, tmp_path, shell_image):
    engine = request.getfixturevalue(request.param.value)
    return yard(tmp_path, engine, request.param, shell_image)


# what they see


def test_what_a_container_prints_is_the_attempts_log(in_either):
    spec = in_either.bench.program("sh", "-c", "echo to out; echo to err >&2")

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptSucceeded)
    assert in_either.printed(spec) == "to out\n"
    assert in_either.printed(spec, "stderr") == "to err\n"


def test_variables_arrive_as_they_are_and_nothing_of_the_backends_own_does(in_either):
    odd = {"QUOTED": """a "b" 'c' $HOME #d""", "TWO_LINES": "one\ntwo", "EMPTY": "", "FLYTE_ATTEMPT_NUMBER": "0"}
    script = 'printf "%s|" "$QUOTED" "$TWO_LINES" "$EMPTY" "$FLYTE_ATTEMPT_NUMBER" "$FLYTE_PLATFORM_URL" "$ONLY_OURS"'
    spec = in_either.bench.program("sh", "-c", script, env=odd)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ONLY_OURS", "not for tasks")

        end = in_either.end_of(spec)

    assert isinstance(end, AttemptSucceeded)
    assert in_either.printed(spec) == """a "b" 'c' $HOME #d|one\ntwo||0|127.0.0.1:30080||"""


def test_secrets_are_files_and_variables_in_the_container_and_nowhere_afterwards(in_podman):
    secrets = SecretFiles(Home(root=in_podman.bench.home).secrets)
    secrets.set(SecretName(group="db", key="password"), b"hunter2\nsecond line\n")
    wanted = [
        Secret(group="db", key="password", mount_requirement=Secret.FILE),
        Secret(group="db", key="password", mount_requirement=Secret.ENV_VAR, env_var="DB_PASSWORD"),
    ]
    argv = ("sh", "-c", 'cat "$FLYTE_SECRETS_DEFAULT_DIR/db/password"; echo "$DB_PASSWORD"')
    template = TaskTemplate(
        container=Container(image=in_podman.bench.image, args=argv), security_context=SecurityContext(secrets=wanted)
    )
    spec = in_podman.bench.place(template, attempt_id(), argv=argv)

    end = in_podman.end_of(spec)

    assert isinstance(end, AttemptSucceeded)
    assert in_podman.printed(spec) == "hunter2\nsecond line\nhunter2\nsecond line\n"
    directory = attempt_dir(in_podman.bench.home, spec.attempt)
    left = [path for path in directory.rglob("*") if path.is_file() and path.name != "stdout.log"]
    assert not any(b"hunter2" in path.read_bytes() for path in left)
    assert not (in_podman.bench.home / "mounted-secrets").exists()


def test_limits_of_cpu_and_memory_are_the_kernels(in_either):
    script = """
        cd /sys/fs/cgroup
        cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
        cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes
    """
    spec = in_either.with_resources("sh", "-c", script, cpu="500m", mem="64Mi")

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptSucceeded)
    assert in_either.printed(spec).split() == ["50000", "100000", str(64 * MIB)]


def test_code_is_unpacked_into_the_attempts_own_folder_where_the_images_may_not_be_writable(in_podman):
    daemon_of_another = replace(in_podman, runtime=replace(in_podman.runtime, is_root_ours=False))
    spec = in_podman.bench.program(
        "sh", "-c", "pwd; echo code > unpacked", "pyflyte-fast-execute", "--dest-dir", "/root"
    )
    work = attempt_dir(in_podman.bench.home, spec.attempt) / "work"

    end = daemon_of_another.end_of(spec)

    assert isinstance(end, AttemptSucceeded)
    assert in_podman.printed(spec) == f"{work}\n"
    assert (work / "unpacked").read_text() == "code\n"


# how they end


def test_outputs_are_found_where_the_container_put_them(in_either):
    argv = in_either.bench.writes("outputs.pb", literals(o0=6))
    spec = in_either.bench.program(*argv)

    end = in_either.end_of(spec)

    assert end == AttemptSucceeded(attempt=spec.attempt, outputs=literals(o0=6))
    assert Path(spec.output_prefix, "outputs.pb").stat().st_uid == os.getuid()


def raw_container(place, script, *, outputs, inputs_pb):
    """An attempt of a container of its own that exchanges ``inputs_pb`` and ``outputs`` (name -> type) with Flyte."""
    argv = ("sh", "-c", script)
    config = DataLoadingConfig(enabled=True, input_path="/var/inputs", output_path="/var/outputs")
    template = TaskTemplate(container=Container(image=place.bench.image, args=argv, data_config=config))
    for name in inputs_pb.literals:
        template.interface.inputs.variables[name].SetInParent()
    for name, kind in outputs.items():
        template.interface.outputs.variables[name].type.CopyFrom(kind)
    spec = place.bench.place(template, attempt_id(), argv=argv)
    Path(spec.inputs_uri).write_bytes(inputs_pb.SerializeToString())
    return spec


def test_a_raw_container_finds_its_inputs_in_files_and_leaves_its_outputs_in_files(in_either, tmp_path):
    given = tmp_path / "given.txt"
    given.write_text("as given")
    blob = Literal(scalar=Scalar(blob=Blob(uri=str(given))))
    script = "cd /var/outputs; cat /var/inputs/x > y; echo >> y; cp /var/inputs/text kept; cat /var/inputs/inputs.json"
    outputs = {"y": LiteralType(simple=SimpleType.INTEGER), "kept": LiteralType(blob=BlobType())}
    inputs_pb = LiteralMap(literals={**literals(x=7).literals, "text": blob})
    spec = raw_container(in_either, script, outputs=outputs, inputs_pb=inputs_pb)

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptSucceeded), end
    assert end.outputs.literals["y"] == literals(y=7).literals["y"]
    assert end.outputs.literals["kept"].scalar.blob.uri == f"{spec.raw_output_prefix}/kept"
    assert Path(spec.raw_output_prefix, "kept").read_text() == "as given"
    assert json.loads(in_either.printed(spec)) == {"x": 7, "text": "/var/inputs/text"}


def test_a_raw_container_that_leaves_no_output_fails_as_with_copilot(in_podman):
    outputs = {"y": LiteralType(simple=SimpleType.INTEGER)}
    spec = raw_container(in_podman, "true", outputs=outputs, inputs_pb=literals(x=1))

    end = in_podman.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert (end.failure.code, end.failure.kind, end.failure.is_retryable) == ("Error", ErrorKind.USER, True)
    assert "[flyte-copilot] terminated" in end.failure.message
    assert "the container left no y" in end.failure.message


def test_an_exit_status_is_the_users_error_with_the_last_lines(in_either):
    spec = in_either.bench.program("sh", "-c", "echo about to leave >&2; exit 3")

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert (end.failure.code, end.failure.kind, end.failure.is_retryable) == ("Error", ErrorKind.USER, True)
    assert "exit code (3). Reason [Error]. Message: \nabout to leave" in end.failure.message


def test_more_memory_than_the_limit_is_oomkilled(in_either):
    spec = in_either.with_resources(*FILL_MEMORY, mem="32Mi")

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert (end.failure.code, end.failure.kind, end.failure.is_retryable) == ("OOMKilled", ErrorKind.USER, True)
    assert "the container reached its memory limit of 32.0 MiB" in end.failure.message


def test_an_image_that_is_not_there_cannot_be_pulled(in_either, registry):
    image = f"{registry}/no/such:1"
    spec = replace(in_either.bench.program("true"), task=TaskTemplate(container=Container(image=image, args=["true"])))

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert end.failure.code == "ContainersNotReady|ImagePullBackOff"
    assert (end.failure.kind, end.failure.is_retryable) == (ErrorKind.USER, True)
    assert f'Back-off pulling image "{image}"' in end.failure.message
    assert "manifest unknown" in end.failure.message


@pytest.mark.parametrize("image", ["", "Not An Image"])
def test_what_is_no_image_name_is_refused_for_good(in_podman, image):
    spec = replace(in_podman.bench.program("true"), task=TaskTemplate(container=Container(image=image, args=["true"])))

    end = in_podman.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert end.failure.code == "ContainersNotReady|InvalidImageName"
    assert not end.failure.is_retryable


def test_a_program_that_the_image_lacks_cannot_be_started(in_either):
    spec = in_either.bench.program("no-such-program")

    end = in_either.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert end.failure.code == "StartError"
    assert '"no-such-program": executable file not found' in end.failure.message


# what must not be left behind


def test_an_ended_attempt_leaves_no_container(in_either):
    spec = in_either.bench.program("true")

    in_either.end_of(spec)

    assert in_either.containers() == []


def test_an_aborted_container_is_killed_and_removed(in_either):
    spec = in_either.bench.program("sleep", "1000")

    async def story():
        async with in_either.opened() as (executor, sink):
            executor.start(spec)
            assert isinstance(await sink.next(), AttemptStarted)
            await until(lambda: len(in_either.containers()) == 1, what="the container")
            executor.abort(spec.attempt, "enough")
            end = await sink.next_end()
            await until(lambda: in_either.containers() == [], what="the container to be gone")
            return end

    assert asyncio.run(story()) == AttemptAborted(attempt=spec.attempt)


def test_an_attempt_that_waits_for_its_image_can_be_aborted(in_either):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        image = f"localhost:{silent.getsockname()[1]}/slow:1"
        spec = replace(
            in_either.bench.program("true"), task=TaskTemplate(container=Container(image=image, args=["true"]))
        )

        async def story():
            async with in_either.opened() as (executor, sink):
                executor.start(spec)
                connection, _ = await asyncio.to_thread(silent.accept)
                with connection:
                    executor.abort(spec.attempt, "enough")
                    return await sink.next_end(), sink.events

        end, events = asyncio.run(story())

    assert end == AttemptAborted(attempt=spec.attempt)
    assert events == [end]


def test_a_closed_executor_leaves_no_container_and_no_keeper(in_either):
    spec = in_either.bench.program("sleep", "1000")

    async def story():
        async with in_either.opened() as (executor, sink):
            executor.start(spec)
            await sink.next()
            return executor.keeper_pid()

    keeper = asyncio.run(story())

    assert in_either.containers() == []
    assert not Path(f"/proc/{keeper}").exists()


def test_a_container_that_somebody_removes_is_lost(in_podman):
    spec = in_podman.bench.program("sleep", "1000")

    async def story():
        async with in_podman.opened() as (executor, sink):
            executor.start(spec)
            await sink.next()
            await until(lambda: len(in_podman.containers()) == 1, what="the container")
            in_podman.engine.command("podman", "rm", "--force", "--time", "0", *in_podman.containers())
            return await sink.next_end()

    assert isinstance(asyncio.run(story()), AttemptLost)


def test_a_killed_keeper_loses_its_attempts_and_the_next_one_removes_their_containers(in_podman):
    spec = in_podman.bench.program("sleep", "1000")
    later = in_podman.bench.program("true", attempt=attempt_id("later"))

    async def story():
        async with in_podman.opened() as (executor, sink):
            executor.start(spec)
            await sink.next()
            await until(lambda: len(in_podman.containers()) == 1, what="the container")
            os.kill(executor.keeper_pid(), signal.SIGKILL)
            lost = await sink.next_end()
            await until(lambda: in_podman.containers() == [], what="the container to be gone")
            executor.start(later)
            return lost, await sink.next_end()

    lost, ended = asyncio.run(story())

    assert isinstance(lost, AttemptLost)
    assert isinstance(ended, AttemptSucceeded)


def test_an_attempt_that_was_begun_under_an_earlier_backend_is_not_begun_again(in_podman):
    argv = ("sh", "-c", 'mkdir -p "$0"; echo begun >> "$0/marks"; sleep 1000', "{{.outputPrefix}}")
    spec = in_podman.bench.program(*argv)
    marks = Path(spec.output_prefix, "marks")

    async def first_life():
        async with in_podman.opened() as (executor, _):
            executor.start(spec)
            await until(marks.exists, what="the mark")

    asyncio.run(first_life())
    end = in_podman.end_of(spec)

    assert isinstance(end, AttemptLost)
    assert marks.read_text() == "begun\n"


def test_containers_of_a_backend_that_was_killed_are_removed_whatever_runs_tasks_now(in_podman):
    home = Home(root=in_podman.bench.home)
    home.container_runtime.write_text(f"podman {in_podman.runtime.program}")
    label = f"hydraflyte.home={home.root}"
    in_podman.engine.command(
        *("podman", "run", "--detach", "--tls-verify=false", "--label", label, in_podman.bench.image, "sleep", "1000")
    )

    end_leftovers(home, in_podman.environ)

    assert in_podman.containers() == []
    assert not home.container_runtime.exists()


def test_a_task_that_a_connector_runs_has_no_image_and_is_refused(in_podman):
    spec = in_podman.bench.place(TaskTemplate(type="sensor"), attempt_id(), argv=("flyte-connector",))

    end = in_podman.end_of(spec)

    assert isinstance(end, AttemptFailed)
    assert end.failure.code == "BadTaskDefinition"
    assert "of type sensor has no image: a connector runs it" in end.failure.message
    assert "without `--runtime podman`" in end.failure.message
