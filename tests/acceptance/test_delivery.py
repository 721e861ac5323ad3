"""One file carries a workflow from a machine that has the code to backends that have only the file."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import launch_plan_pb2, project_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import Config
from flytekit.models.admin.workflow import WorkflowSpec
from flytekit.models.launch_plan import LaunchPlan
from flytekit.models.task import TaskSpec
from google.protobuf.message import Message

import hydraflyte
from hydraflyte.cli.main import main
from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.errors import BackendUnavailableError
from hydraflyte.home import Home, RunningBackend
from hydraflyte.launcher.artifacts.archive import opened, write_archive
from hydraflyte.launcher.artifacts.contents import read_package, write_artifact, write_standard
from hydraflyte.launcher.artifacts.delivery import Target, deliver
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.provenance import this_call
from hydraflyte.launcher.remote import Creation, GrpcFlyteClient, Upload

PROGRAM = """
import hydra
from flytekit import dynamic, task, workflow
from omegaconf import DictConfig

from helpers import times


@task
def scaled(x: float, by: float) -> float:
    return times(x, by)


@dynamic
def added(count: int, by: float) -> float:
    values = [scaled(x=float(number), by=by) for number in range(count)]
    return total(values=values)


@task
def total(values: list[float]) -> float:
    return sum(values)


@workflow
def inner(by: float) -> float:
    return scaled(x=1.0, by=by)


@task
def described(value: float, cfg: DictConfig) -> str:
    return f"{cfg.name}: {value}"


@workflow
def whole(cfg: DictConfig, count: int = 3, by: float = 2.0) -> str:
    inner(by=by)
    return described(value=added(count=count, by=by), cfg=cfg)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    whole(cfg=cfg)


if __name__ == "__main__":
    main()
"""
SETTINGS = (
    "+flyte.tasks.scaled.cpu=500m",
    "+flyte.tasks.described.env.GREETING=hello",
    'hydra.launcher.workflow.cron_schedule="30 2 * * *"',
    "hydra.launcher.notifications=[{type: email, recipients: [a@example.invalid], phases: [failed]}]",
)
LAUNCHED_IN = ("hydra.launcher.workflow.domain=staging",)
CONFIG = "defaults: [_self_, {override hydra/launcher: flyte}]\nname: first\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What was packaged, after the code is gone."""

    artifact: Path
    again: Path
    changed: Path
    standard: Path
    commit: str


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def command(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hydraflyte", *arguments],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in this process, which has imported everything."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def delivered(file: Path, *arguments: str) -> str:
    ended = here("deliver", str(file), *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def done(*arguments: str, cwd: Path) -> str:
    ended = command(*arguments, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def write_project(folder: Path) -> None:
    (folder / "conf").mkdir(parents=True)
    (folder / "train.py").write_text(PROGRAM)
    (folder / "helpers.py").write_text("def times(x: float, by: float) -> float:\n    return x * by\n")
    (folder / "conf" / "config.yaml").write_text(CONFIG)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, flyte_backend: RunningBackend) -> Packages:
    """A committed project, packaged; a clone of it elsewhere, packaged too, and registered; then both are deleted."""
    place = tmp_path_factory.mktemp("packages")
    project, clone = place / "project", place / "elsewhere" / "clone"
    write_project(project)
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "message")
    commit = git(project, "rev-parse", "HEAD")
    git(place, "clone", "-q", str(project), str(clone))
    git(clone, "remote", "remove", "origin")
    for path in clone.rglob("*.py"):
        os.utime(path, (1, 1))

    done("package", "train.py", "-o", "../a.artifact", cwd=project)
    inside = clone / "train.package"
    inside.write_bytes(b"an earlier package, which is no part of the next one")
    done("package", "clone/train.py", "-o", str(inside), cwd=clone.parent)
    inside.rename(place / "again.artifact")
    launch = (sys.executable, "-W", "ignore", "train.py", "-m", "hydra.launcher.run=false", *LAUNCHED_IN)
    subprocess.run(launch, cwd=clone, env={**os.environ, "HYDRAFLYTE_HOME": flyte_backend.home}, check=True)
    done("package", "train.py", "name=second", *SETTINGS, "-o", "../changed.artifact", cwd=project)
    write_standard(place / "flyte-package.tgz", read_package(place / "a.artifact", place))

    assert git(project, "status", "--porcelain", "--", ":!*__pycache__*") == ""  # packaging leaves nothing behind
    shutil.rmtree(project)
    shutil.rmtree(clone)
    return Packages(
        artifact=place / "a.artifact",
        again=place / "again.artifact",
        changed=place / "changed.artifact",
        standard=place / "flyte-package.tgz",
        commit=commit,
    )


@pytest.fixture(scope="module")
def other_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    home = Home(root=tmp_path_factory.mktemp("other-home"))
    yield start_backend(home, BackendOptions(port=0))
    stop_backend(home)


def client_of(backend: RunningBackend) -> SynchronousFlyteClient:
    return SynchronousFlyteClient(Config.auto(config_file=backend.config).platform)


def our_client_of(backend: RunningBackend) -> GrpcFlyteClient:
    return GrpcFlyteClient(resolve_endpoint(backend.config, None, os.environ))


def registered(backend: RunningBackend, project: str, domain: str, version: str) -> dict[str, Message]:
    """Return all that is registered under a version, as it was stored."""
    found: dict[str, Message] = {}
    names = {
        identifier_pb2.TASK: ("train.scaled", "train.added", "train.total", "train.described"),
        identifier_pb2.WORKFLOW: ("train.inner", "train.whole"),
        identifier_pb2.LAUNCH_PLAN: ("train.whole",),
    }
    client = our_client_of(backend)
    for kind, each in names.items():
        for name in each:
            identifier = identifier_pb2.Identifier(
                resource_type=kind, project=project, domain=domain, name=name, version=version
            )
            entity = client.fetch(identifier)
            assert entity is not None, identifier
            found[f"{kind} {name}"] = entity
    client.close()
    return found


def as_bytes(entity: Message, replaced: Mapping[str, str]) -> bytes:
    """Return an entity without its times, with some of its texts replaced as whole values."""
    text = str(entity)
    if hasattr(entity, "closure"):
        copy = type(entity)()
        copy.CopyFrom(entity)
        for name in ("created_at", "updated_at"):
            if name in copy.closure.DESCRIPTOR.fields_by_name:
                copy.closure.ClearField(name)
        text = str(copy)
    for before, after in replaced.items():
        text = text.replace(f'"{before}"', f'"{after}"')
    return text.encode()


def test_the_same_tree_is_the_same_file_wherever_and_whenever_it_is_packaged(packages: Packages) -> None:
    assert packages.artifact.read_bytes() == packages.again.read_bytes()


def test_an_artifact_tells_everything_without_its_code(packages: Packages, tmp_path: Path) -> None:
    artifact = read_package(packages.artifact, tmp_path)

    manifest = artifact.manifest
    assert manifest is not None
    assert (manifest.workflow, manifest.version) == ("train.whole", f"main-{packages.commit[:12]}")
    assert [(each.kind, each.identifier.name) for each in artifact.entities][-3:] == [
        ("workflow", "train.inner"),
        ("workflow", "train.whole"),
        ("launch plan", "train.whole"),
    ]
    assert artifact.documents["config/config.yaml"] == b"name: first\n"
    schema = json.loads(artifact.documents["config/schema.json"])
    assert schema["config"]["properties"] == {"name": {"type": "string"}}
    assert schema["inputs"]["count"] == {"type": {"simple": "INTEGER"}, "required": False}
    origin = json.loads(artifact.documents["provenance.json"])
    assert origin["git"]["commit"] == packages.commit
    assert set(origin["files"]) == {"train.py", "helpers.py", "conf/config.yaml"}


def test_it_is_registered_by_whoever_has_nothing_but_the_file(
    packages: Packages, other_backend: RunningBackend, tmp_path: Path
) -> None:
    told = json.loads(done("deliver", str(packages.artifact), "--home", other_backend.home, "--json", cwd=tmp_path))

    assert (told["created"], told["unchanged"]) == (7, 0)
    with hydraflyte.connect(other_backend.config) as client:
        execution = client.execute("train.whole", overrides=["name=given"])
        assert client.results(execution) == {"o0": "given: 6.0"}


def test_delivering_again_sends_nothing(packages: Packages, other_backend: RunningBackend) -> None:
    told = delivered(packages.artifact, "--home", other_backend.home)

    assert "0 entities created, 7 unchanged" in told


def test_two_backends_get_the_same_entities_byte_for_byte_but_for_place_and_code(
    packages: Packages, other_backend: RunningBackend, flyte_backend: RunningBackend, tmp_path: Path
) -> None:
    project = "delivered"
    our_client_of(flyte_backend)._admin.RegisterProject(  # no client of ours makes projects
        project_pb2.ProjectRegisterRequest(project=project_pb2.Project(id=project, name=project))
    )
    version = f"main-{packages.commit[:12]}"
    where = ("--home", flyte_backend.home, "--project", project, "--domain", "staging")

    here = json.loads(done("deliver", str(packages.artifact), *where, "--json", cwd=tmp_path))
    done("deliver", str(packages.artifact), "--home", other_backend.home, cwd=tmp_path)

    first = registered(other_backend, "flytesnacks", "development", version)
    second = registered(flyte_backend, project, "staging", version)
    code = Path(here["code"]).name
    there = next(Path(other_backend.home).rglob(code))
    notes = "hydraflyte.org/provenance"
    documents = [found["3 train.whole"].spec.annotations.values[notes] for found in (first, second)]
    replaced = {project: "flytesnacks", "staging": "development", here["code"]: str(there), documents[1]: documents[0]}
    calls = "hydraflyte.org/command-line"
    for found in (first, second):
        assert "deliver" in found["3 train.whole"].spec.annotations.values.pop(calls)
    assert first.keys() == second.keys()
    for name, entity in first.items():
        assert as_bytes(entity, {}) == as_bytes(second[name], replaced), name
    assert there.read_bytes() == Path(here["code"]).read_bytes()
    with hydraflyte.connect(flyte_backend.config, project=project, domain="staging") as client:
        assert client.results(client.execute("train.whole", inputs={"count": 2})) == {"o0": "first: 2.0"}


def test_overrides_of_the_packaging_are_the_defaults_of_another_version(
    packages: Packages, flyte_backend: RunningBackend
) -> None:
    told = json.loads(delivered(packages.changed, "--home", flyte_backend.home, "--json"))

    assert told["version"].startswith(f"main-{packages.commit[:12]}-")
    with hydraflyte.connect(flyte_backend.config) as client:
        execution = client.execute("train.whole", inputs={"count": 1}, version=told["version"])
        assert client.results(execution) == {"o0": "second: 0.0"}


def test_settings_and_notifications_of_the_packaging_are_registered_with_it(
    packages: Packages, other_backend: RunningBackend
) -> None:
    delivered(packages.changed, "--home", other_backend.home, "--version", "set")

    found = registered(other_backend, "flytesnacks", "development", "set")
    assert [pair.key for pair in found["1 train.described"].closure.compiled_task.template.container.env] == [
        "GREETING"
    ]
    whole = found["2 train.whole"].closure.compiled_workflow
    for workflow in (found["2 train.inner"].closure.compiled_workflow.primary, whole.sub_workflows[0]):
        (node,) = (node for node in workflow.template.nodes if node.HasField("task_node"))
        assert node.task_node.overrides.resources.limits[0].value == "500m"
        assert node.task_node.reference_id.version == "set"
    (notification,) = found["3 train.whole"].spec.entity_metadata.notifications
    assert list(notification.email.recipients_email) == ["a@example.invalid"]
    with hydraflyte.connect(other_backend.config) as client:
        execution = client.execute("train.whole", inputs={"count": 1}, version="set")
        assert client.results(execution) == {"o0": "second: 0.0"}


def test_its_schedule_starts_when_whoever_delivers_says_so(packages: Packages, other_backend: RunningBackend) -> None:
    where = ("--home", other_backend.home, "--version", "scheduled")

    resting = json.loads(delivered(packages.changed, *where, "--json"))["schedules"]
    active = json.loads(delivered(packages.changed, *where, "--activate", "--json"))["schedules"]
    replaced = json.loads(delivered(packages.artifact, *where[:2], "--activate", "--json"))

    assert [(each["name"], each["schedule"], each["state"]) for each in resting + active] == [
        ("train.whole.schedule", "cron 30 2 * * *", "inactive"),
        ("train.whole.schedule", "cron 30 2 * * *", "active"),
    ]
    assert (replaced["schedules"], replaced["deactivated"]) == ([], ["train.whole.schedule"])


class _Interrupted(GrpcFlyteClient):
    """A connection that breaks after some entities have been created."""

    left = 0

    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> Creation:
        if identifier.resource_type != identifier_pb2.TASK:
            self.left -= 1
            if self.left < 0:
                raise BackendUnavailableError("gone", hint="")
        return super().create(identifier, spec)


@pytest.mark.parametrize("created", [0, 1, 2])
def test_a_delivery_that_was_interrupted_is_completed_by_the_next(
    packages: Packages, flyte_backend: RunningBackend, tmp_path: Path, created: int
) -> None:
    artifact = read_package(packages.artifact, tmp_path)
    target = Target(project="flytesnacks", domain="development", version=f"interrupted-{created}")
    client = _Interrupted(resolve_endpoint(flyte_backend.config, None, os.environ))
    client.left = created
    with pytest.raises(BackendUnavailableError):
        deliver(client, artifact, target, this_call())

    client.left = math.inf  # type: ignore[assignment]  # it holds now
    delivery = deliver(client, artifact, target, this_call())
    client.close()

    assert delivery.count(Creation.UNCHANGED) == 4 + created
    assert delivery.count(Creation.CREATED) == 3 - created
    with hydraflyte.connect(flyte_backend.config) as user:
        execution = user.execute("train.whole", inputs={"count": 1}, version=target.version)
        assert user.results(execution) == {"o0": "first: 0.0"}


def test_a_version_that_is_taken_shows_the_difference_and_the_way_out(
    packages: Packages, flyte_backend: RunningBackend
) -> None:
    where = ("--home", flyte_backend.home, "--version", "taken")
    delivered(packages.artifact, *where)

    refused = here("deliver", str(packages.changed), *where)

    assert refused.returncode == 1
    assert "train.described is already registered as version taken with other content" in refused.stderr
    assert "hint: deliver it as another version with --version" in refused.stderr


def test_a_commit_that_was_launched_is_delivered_as_another_version(
    packages: Packages, flyte_backend: RunningBackend
) -> None:
    where = ("--home", flyte_backend.home, "--domain", "staging")

    told = delivered(packages.artifact, *where)
    again = json.loads(delivered(packages.artifact, *where, "--json"))

    launched = f"main-{packages.commit[:12]}"
    assert f"version {launched} is registered with other settings" in told
    assert again["version"].startswith(f"{launched}-")
    assert (again["created"], again["unchanged"]) == (0, 7)


def test_a_dry_run_checks_the_file_and_touches_no_backend(packages: Packages, tmp_path: Path) -> None:
    nowhere = ("--endpoint", "127.0.0.1:1", "--version", "v1", "--dry-run")

    told = delivered(packages.artifact, *nowhere)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(packages.artifact.read_bytes()[:-6000])
    refused = here("deliver", str(damaged), *nowhere, "--json")
    other = here("deliver", __file__, *nowhere)

    assert "would be registered in flytesnacks/development as version v1" in told
    assert "launch plan  train.whole" in told
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["hint"] == "copy it again, or have it written again."
    assert f"error: {__file__} is no package of Flyte entities: it is no tar file." in other.stderr
    assert "hint: give a file that `hydraflyte package` or `pyflyte package` wrote." in other.stderr


def test_a_place_that_is_not_there_is_named_as_the_command_line_names_it(
    packages: Packages, flyte_backend: RunningBackend
) -> None:
    nobody = here("deliver", str(packages.artifact), "--endpoint", "127.0.0.1:1")
    domain = here("deliver", str(packages.artifact), "--home", flyte_backend.home, "--domain", "stagng")

    assert (nobody.returncode, domain.returncode) == (1, 1)
    assert "No Flyte backend answers at 127.0.0.1:1 (--endpoint=127.0.0.1:1)" in nobody.stderr
    assert "hint: tried with plain text; check --endpoint, or set --endpoint=embedded." in nobody.stderr
    assert domain.stderr == (
        "error: There is no domain 'stagng' at the embedded backend; its domains are development, staging, "
        "production.\nhint: did you mean --domain staging?\n"
    )


def test_the_standard_package_registers_by_the_rules_of_flytectl(
    packages: Packages, flyte_backend: RunningBackend
) -> None:
    """flytectl's rules: files sorted by name, the kind by the last digit, empty fields and marks filled, created."""
    client = client_of(flyte_backend)
    with opened(packages.standard) as members:
        contents = {member.name: member.content() for member in members}
    (bundle,) = (name for name in contents if name.startswith("fast") and name.endswith(".tar.gz"))
    uri = _upload(client, bundle, contents.pop(bundle), flyte_backend)

    for name in sorted(contents):
        assert name.endswith(".pb"), "flytectl refuses everything else"
        _register_as_flytectl_does(client, name, contents[name], uri)

    with hydraflyte.connect(flyte_backend.config) as user:
        execution = user.execute("train.whole", version="by-hand", inputs={"count": 1})
        assert user.results(execution) == {"o0": "first: 0.0"}


def _upload(client: SynchronousFlyteClient, name: str, content: bytes, backend: RunningBackend) -> str:
    file = our_client_of(backend)
    path = Path(backend.home) / name
    path.write_bytes(content)
    uri = file.upload("flytesnacks", "development", Upload(path=path, digest_md5=hashlib.md5(content).digest()))
    file.close()
    return uri


def _register_as_flytectl_does(client: SynchronousFlyteClient, name: str, content: bytes, uri: str) -> None:
    match name[-4]:
        case "1":
            task = task_pb2.TaskSpec.FromString(content)
            task.template.container.args[:] = [
                uri if argument == "{{ .remote_package_path }}" else argument
                for argument in task.template.container.args
            ]
            _fill(task)
            model = TaskSpec.from_flyte_idl(task)
            client.create_task(model.template.id, model)
        case "2":
            workflow = workflow_pb2.WorkflowSpec.FromString(content)
            _fill(workflow)
            spec = WorkflowSpec.from_flyte_idl(workflow)
            client.create_workflow(spec.template.id, spec)
        case "3":
            plan = launch_plan_pb2.LaunchPlan.FromString(content)
            _fill(plan)
            launch_plan = LaunchPlan.from_flyte_idl(plan)
            client.create_launch_plan(launch_plan.id, launch_plan.spec)


def _fill(message: Any) -> None:  # Any: a message, or a value inside one
    if isinstance(message, identifier_pb2.Identifier):
        message.project = message.project or "flytesnacks"
        message.domain = message.domain or "development"
        message.version = message.version or "by-hand"
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in [value] if isinstance(value, Message) else value:
            _fill(part)


def test_what_pyflyte_packages_is_delivered_and_runs(other_backend: RunningBackend, tmp_path: Path) -> None:
    write_project(tmp_path / "code")
    pyflyte = [str(Path(sys.executable).with_name("pyflyte")), "--pkgs", "train", "package", "--copy", "all"]
    subprocess.run([*pyflyte, "-o", "../p.tgz"], cwd=tmp_path / "code", check=True, capture_output=True, timeout=120)
    shutil.rmtree(tmp_path / "code")

    refused = here("deliver", str(tmp_path / "p.tgz"), "--home", other_backend.home)
    told = delivered(tmp_path / "p.tgz", "--home", other_backend.home, "--version", "pyflyte")

    assert "The package names no version" in refused.stderr
    assert "8 entities created" in told
    with hydraflyte.connect(other_backend.config) as client:
        execution = client.execute("train.whole", version="pyflyte", inputs={"cfg": {"name": "x"}, "count": 1})
        assert client.results(execution) == {"o0": "x: 0.0"}


def test_a_package_without_its_code_bundle_is_not_delivered(packages: Packages, tmp_path: Path) -> None:
    with opened(packages.standard) as members:
        contents = {each.name: each.content() for each in members if each.name.endswith(".pb")}
    write_archive(tmp_path / "p.tgz", dict(contents), compressed=True)

    refused = here("deliver", str(tmp_path / "p.tgz"), "--version", "v", "--dry-run")

    assert "Tasks of the package load a code bundle, and there is none in it." in refused.stderr


def test_uncommitted_code_is_not_delivered_where_only_committed_code_goes(packages: Packages, tmp_path: Path) -> None:
    artifact = read_package(packages.artifact, tmp_path)
    assert artifact.manifest is not None
    manifest = replace(artifact.manifest, uncommitted=("train.py",), require_clean=("production",))
    write_artifact(tmp_path / "dirty.artifact", replace(artifact, manifest=manifest))

    refused = here("deliver", str(tmp_path / "dirty.artifact"), "--domain", "production")

    assert refused.returncode == 1
    assert "The domain production takes only committed code" in refused.stderr
    assert "this package has other code: train.py" in refused.stderr


def test_a_package_is_not_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    write_project(tmp_path)

    refused = here("package", str(tmp_path / "train.py"), "-o", str(tmp_path / "dits" / "x.artifact"))

    assert refused.returncode == 1
    assert f"cannot be written: there is no folder {tmp_path / 'dits'}." in refused.stderr
    assert not (tmp_path / "dits").exists()


def test_a_value_that_cannot_be_a_default_is_refused_and_not_left_out(tmp_path: Path) -> None:
    write_project(tmp_path)
    program = (tmp_path / "train.py").read_text()
    timed = program.replace("by: float = 2.0) -> str:", "by: float = 2.0, rest: timedelta = timedelta(days=1)) -> str:")
    (tmp_path / "train.py").write_text(f"from datetime import timedelta\n{timed}")

    refused = command("package", "train.py", "+rest=2h", "-o", "x.artifact", cwd=tmp_path)

    assert "rest must be timedelta, got '2h' (str)" in refused.stderr
    assert refused.returncode == 1
    assert not (tmp_path / "x.artifact").exists()


def test_a_sweep_is_no_package(tmp_path: Path) -> None:
    write_project(tmp_path)

    refused = command("package", "train.py", "name=a,b", "-o", "x.artifact", cwd=tmp_path)

    assert refused.returncode == 1
    assert refused.stderr == (
        "error: A package has one set of defaults, and this launch has 2 jobs.\n"
        "hint: give one value for each key; where the config chooses a sweeper, add hydra/sweeper=basic.\n"
    )
    assert not (tmp_path / "x.artifact").exists()
