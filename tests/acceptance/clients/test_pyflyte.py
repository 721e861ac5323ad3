"""Every command of pyflyte that talks to a backend, or that leads to one, unmodified.

Commands that only read run inside this process, through click's runner: a process of its own costs two seconds.
"""

import os
import re
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import diskcache
import pytest
from click.testing import CliRunner
from flyteidl.admin.launch_plan_pb2 import LaunchPlan, LaunchPlanCreateRequest
from flyteidl.admin.task_pb2 import TaskCreateRequest, TaskSpec
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest, WorkflowSpec
from flyteidl.core.identifier_pb2 import Identifier
from google.protobuf.message import Message

with warnings.catch_warnings():  # flytekit asks click for its version in a way that click gives up
    warnings.simplefilter("ignore", DeprecationWarning)
    from flytekit.clis.sdk_in_container.pyflyte import main

FLOWS = Path(__file__).parents[1] / "flows"
pytestmark = [  # of flytekit's command line, under pytest's rule that warnings are errors
    pytest.mark.filterwarnings("ignore:The parameter -d is used more than once:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PYFLYTE = Path(sys.executable).parent / "pyflyte"


@pytest.fixture
def pyflyte(flyte_backend):
    """Run a command in this process; returns what it prints."""

    def run(*arguments):
        result = CliRunner().invoke(main, ["--config", flyte_backend.config, *arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return run


@pytest.fixture
def pyflyte_process(flyte_backend, tmp_path):
    """Run a command in a process and a home of its own; returns what it prints."""

    def run(*arguments, cwd=FLOWS):
        environ = {**os.environ, "HOME": str(tmp_path), "COLUMNS": "200"}
        command = [str(PYFLYTE), "--config", flyte_backend.config, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=90, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def execution_name(output):
    return re.search(r"executions/([a-z0-9-]+)", output.replace("\n", "")).group(1)


def test_info_shows_the_control_plane(pyflyte, flyte_backend):
    shown = pyflyte("info")

    assert flyte_backend.version in shown
    assert flyte_backend.endpoint in shown


def test_run_lists_and_runs_what_is_registered(pyflyte, remote, story):
    runs = [
        pyflyte("run", "remote-task", "client_flows.show", "--x", "1"),
        pyflyte("run", "remote-workflow", "client_flows.story", "--x", "2"),
        pyflyte("run", "remote-launchplan", "client_flows.story", "--x", "3"),
    ]

    ended = [remote.wait(remote.fetch_execution(name=execution_name(output))) for output in runs]

    assert [each.outputs["o0"] for each in ended] == [1, 2, 3]


def test_run_remote_takes_names_labels_and_environment(pyflyte_process, remote):
    arguments = (
        "--name",
        "by-pyflyte-run",
        "--labels",
        "team=a",
        "--env",
        "MODE=fast",
        "--max-parallelism",
        "2",
    )
    pyflyte_process("run", "--remote", *arguments, "client_flows.py", "story", "--x", "4")

    execution = remote.wait(remote.fetch_execution(name="by-pyflyte-run"))

    assert execution.outputs["o0"] == 4
    assert dict(execution.spec.labels.values) == {"team": "a"}
    assert execution.spec.envs.envs == {"MODE": "fast"}
    assert execution.spec.max_parallelism == 2


def test_register_takes_a_file(pyflyte_process, remote):
    pyflyte_process("register", "--version", "by-file", "client_flows.py")

    assert remote.fetch_launch_plan(name="client_flows.story", version="by-file").id.version == "by-file"
    assert remote.fetch_launch_plan(name="client_flows.nightly", version="by-file").entity_metadata.schedule


def test_package_and_serialize_write_what_flytectl_registers(pyflyte_process, remote, stub, tmp_path):
    source, folder, packed = tmp_path / "source", tmp_path / "serialized", tmp_path / "packed.tgz"
    source.mkdir()
    folder.mkdir()
    (source / "client_flows.py").write_text((FLOWS / "client_flows.py").read_text())
    given = ("--pkgs", "client_flows")
    image = ("--image", "example.org/image:v1")

    pyflyte_process(*given, "package", *image, "--output", str(packed), cwd=source)
    pyflyte_process(*given, "serialize", *image, "workflows", "-f", str(folder), cwd=source)
    with tarfile.open(packed) as archive:
        specs = {Path(name).name: archive.extractfile(name).read() for name in archive.getnames() if name[-3:] == ".pb"}
    for name in sorted(specs, key=lambda name: name.removesuffix(".pb")[-1]):
        register_as_flytectl_does(stub, name, specs[name])

    assert set(specs) == {path.name for path in folder.iterdir()}
    assert remote.fetch_workflow(name="client_flows.story", version="packed").id.version == "packed"


def register_as_flytectl_does(stub, name, content):
    """Register one file of a package; its last letter tells the kind, and the placeholders are filled in."""
    match name.removesuffix(".pb")[-1]:
        case "1":
            task = filled_in(TaskSpec.FromString(content))
            stub.CreateTask(TaskCreateRequest(id=task.template.id, spec=task))
        case "2":
            workflow = filled_in(WorkflowSpec.FromString(content))
            stub.CreateWorkflow(WorkflowCreateRequest(id=workflow.template.id, spec=workflow))
        case _:
            plan = filled_in(LaunchPlan.FromString(content))
            stub.CreateLaunchPlan(LaunchPlanCreateRequest(id=plan.id, spec=plan.spec))


def filled_in(message):
    """Fill in what identifiers leave open, on all levels."""
    if isinstance(message, Identifier):
        for part, value in (("project", "flytesnacks"), ("domain", "development"), ("version", "packed")):
            if getattr(message, part) in ("", f"{{{{ registration.{part} }}}}"):
                setattr(message, part, value)
    for field, value in message.ListFields():
        if isinstance(value, Message):
            filled_in(value)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value:
                filled_in(each)
    return message


def test_get_launchplan_shows_all_those_of_a_name_and_one(pyflyte, story):
    everything = pyflyte("get", "launchplan", "-p", "flytesnacks", "-d", "development")
    one = pyflyte("get", "launchplan", "-p", "flytesnacks", "-d", "development", "client_flows.nightly", story.version)

    assert "client_flows.nightly" in everything
    assert '"schedule": "0 3 * * *"' in one


def test_launchplan_activates_and_deactivates(pyflyte, remote, story):
    place = ("-p", "flytesnacks", "-d", "development")
    pyflyte("launchplan", *place, "--activate", "client_flows.at_time", story.version)
    assert remote.fetch_active_launchplan(name="client_flows.at_time").id.version == story.version
    assert "client_flows.at_time" in pyflyte("get", "launchplan", *place, "--active-only")

    pyflyte("launchplan", *place, "--deactivate", "client_flows.at_time", story.version)
    assert remote.fetch_active_launchplan(name="client_flows.at_time") is None


def test_execution_relaunches_and_recovers(pyflyte, remote, story):
    for verb in ("relaunch", "recover"):
        output = pyflyte("execution", "--execution-id", "the-story", verb)
        name = output.strip().rpartition(":")[2].strip()

        assert remote.wait(remote.fetch_execution(name=name)).outputs["o0"] == 7


def test_metrics_are_dumped_and_explained(pyflyte, story):
    assert "TASK_RUNTIME" in pyflyte("metrics", "dump", "the-story")
    assert "the-story" in pyflyte("metrics", "explain", "the-story")


def test_fetch_shows_and_downloads(pyflyte, story, tmp_path):
    shown = pyflyte("fetch", "flyte://v1/flytesnacks/development/the-story/n0/o")
    pyflyte("fetch", "-r", "flyte://v1/flytesnacks/development/the-story/n1-0-n0/o", str(tmp_path))

    assert "7" in shown
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["number 7\n"]


def test_backfill_registers_and_runs(pyflyte, remote, story):
    window = ("--from-date", "2026-02-01", "--backfill-window", "2 days", "--parallel", "-n", "backfill-by-pyflyte")

    pyflyte("backfill", "-p", "flytesnacks", "-d", "development", *window, "client_flows.nightly", story.version)
    ended = remote.wait(remote.fetch_execution(name="backfill-by-pyflyte"))

    assert len([node for node in ended.node_executions if node.startswith("n")]) == 2


def test_the_local_cache_is_cleared(pyflyte_process, tmp_path):
    def cached():
        with diskcache.Cache(str(tmp_path / ".flyte" / "local-cache")) as cache:
            return len(cache)

    pyflyte_process("run", "client_flows.py", "counted", "--x", "1")
    before = cached()
    pyflyte_process("local-cache", "clear")

    assert (before, cached()) == (1, 0)
