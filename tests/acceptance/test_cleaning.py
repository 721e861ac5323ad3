"""``hydraflyte clean``: what goes, what stays, and that what stays still works."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import cleaning_flows
import pytest
from flyteidl.admin.execution_pb2 import ExecutionRecoverRequest, ExecutionRelaunchRequest
from flyteidl.core.execution_pb2 import WorkflowExecution

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent / "flows"
LONG_AGO = time.time() - 30 * 86400


def hydraflyte(*arguments, home, check=True):
    command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", str(home.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 or not check, done.stderr
    return done


def clean(home, *options):
    return json.loads(hydraflyte("clean", "--json", *options, home=home).stdout)


def clean_before(home, instant):
    """Clean exactly what ended before the instant; the command line knows whole seconds only."""
    age_s = (datetime.now(timezone.utc) - instant).total_seconds()
    request = urllib.request.Request(
        f"{home.running().http_url}/clean?older_than_s={age_s}",
        method="POST",
        headers={"Authorization": f"Bearer {home.token()}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(root=tmp_path_factory.mktemp("home"))
    start_backend(home, BackendOptions(port=0))
    yield home
    stop_backend(home)


@pytest.fixture(scope="module")
def remote(home):
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    config = Config.auto(config_file=home.running().config)
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


@pytest.fixture(scope="module")
def begin(remote):
    known = {}

    def begin_one(workflow, **inputs):
        if workflow.name not in known:
            known[workflow.name] = remote.register_script(
                workflow, source_path=str(FLOWS), module_name=cleaning_flows.__name__
            )
        return remote.execute(known[workflow.name], inputs=inputs)

    return begin_one


@pytest.fixture(scope="module")
def run(remote, begin):
    return lambda workflow, **inputs: remote.wait(begin(workflow, **inputs))


def names(remote):
    return {execution.id.name for execution in remote.recent_executions(limit=100)}


def folders_of(home, name):
    """Everything below the home that has the execution's name."""
    return {
        str(Path(folder, entry).relative_to(home.root))
        for folder, folders, files in os.walk(home.root)
        for entry in [*folders, *files]
        if name in entry
    }


def test_ended_executions_go_with_all_their_files_and_running_ones_stay_and_end_well(home, remote, run, begin):
    old = run(cleaning_flows.writes, text="a" * 10_000)
    waiting = begin(cleaning_flows.reads_later, note=old.outputs["o0"])

    foreseen = clean(home, "--older-than", "0s", "--dry-run")
    assert old.id.name in names(remote)
    freed = clean(home, "--older-than", "0s")

    assert foreseen == {**freed, "dry_run": True}
    assert (freed["executions"], freed["attempt_folders"], freed["literal_folders"]) == (1, 1, 1)
    assert names(remote) == {waiting.id.name}
    assert hydraflyte("executions", "logs", old.id.name, home=home, check=False).returncode == 1
    assert folders_of(home, old.id.name) == {
        path for path in folders_of(home, old.id.name) if path.startswith("blobs/raw/")
    }, "only the file that the waiting execution takes is left"

    remote.approve("go-on", waiting.id.name)
    assert remote.wait(waiting).outputs["o0"] == "a" * 10_000

    relaunched = remote.client._stub.RelaunchExecution(ExecutionRelaunchRequest(id=waiting.id.to_flyte_idl()))
    remote.terminate(remote.fetch_execution(name=relaunched.id.name), "seen enough")
    remote.wait(remote.fetch_execution(name=relaunched.id.name))
    for path in folders_of(home, old.id.name):
        os.utime(home.root / path, (LONG_AGO, LONG_AGO))  # nobody's, but young: it might be about to be named
    clean(home, "--older-than", "0s")
    assert folders_of(home, old.id.name) == set()


def test_cached_results_are_kept_with_their_data_until_they_are_to_go_too(home, run, tmp_path):
    run(cleaning_flows.writes_once, text="remember", folder=str(tmp_path))
    clean(home, "--older-than", "0s")

    again = run(cleaning_flows.writes_once, text="remember", folder=str(tmp_path))
    runs_with_cache = len(os.listdir(tmp_path))
    freed = clean(home, "--older-than", "0s", "--cache")
    anew = run(cleaning_flows.writes_once, text="remember", folder=str(tmp_path))

    assert again.outputs == anew.outputs == {"o0": "remember"}
    assert runs_with_cache == 1
    assert freed["cached_results"] == 1
    assert len(os.listdir(tmp_path)) == 2


def test_an_execution_that_stays_can_be_recovered_when_older_ones_are_gone(home, remote, run, tmp_path):
    run(cleaning_flows.writes, text="old")
    before = datetime.now(timezone.utc)
    broken = run(cleaning_flows.breaks, text="kept", folder=str(tmp_path))

    freed = clean_before(home, before)
    (tmp_path / "mended").touch()
    answer = remote.client._stub.RecoverExecution(ExecutionRecoverRequest(id=broken.id.to_flyte_idl()))
    recovered = remote.wait(remote.fetch_execution(name=answer.id.name))

    assert freed["executions"] >= 1
    assert broken.closure.phase == WorkflowExecution.FAILED
    assert recovered.outputs == {"o0": "kept"}

    assert clean_before(home, before)["executions"] == 0
    clean(home, "--older-than", "0s")
    assert names(remote) == set()


def test_bundles_stay_while_a_registration_names_them_and_leftovers_go_when_they_are_old(home, run):
    old_leftovers = [
        home.blobs / "uploads" / "flytesnacks" / "development" / "nobody" / "bundle.tar.gz",
        home.blobs / "raw" / "zz" / "of-nobody-n0-0" / "data",
        home.root / "attempts" / "flytesnacks" / "development" / "of-nobody" / "n0" / "0" / "stdout.log",
        home.blobs / "metadata" / ".partial-abc",
    ]
    fresh = home.blobs / "uploads" / "flytesnacks" / "development" / "fresh" / "bundle.tar.gz"
    outside = home.root.parent / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    for path in (*old_leftovers, fresh):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (home.root / "attempts" / "flytesnacks" / "development" / "link").symlink_to(outside)
    for folder, folders, files in os.walk(home.blobs / "uploads"):
        for entry in (*folders, *files):
            if "fresh" not in folder:
                os.utime(Path(folder, entry), (LONG_AGO, LONG_AGO))
    for path in old_leftovers:
        for each in (path, *path.parents[:3]):
            os.utime(each, (LONG_AGO, LONG_AGO))

    freed = clean(home, "--older-than", "14d")

    assert (freed["temporary_files"], freed["raw_data_folders"]) == (1, 1)
    assert [path for path in old_leftovers if path.exists()] == []
    assert fresh.exists()
    assert (outside / "precious").exists()
    assert run(cleaning_flows.writes, text="still there").closure.phase == WorkflowExecution.SUCCEEDED


def test_without_a_backend_the_command_does_it_itself(home, run):
    run(cleaning_flows.writes, text="the last")
    stop_backend(home)

    freed = clean(home, "--older-than", "0s")
    text = hydraflyte("clean", "--older-than", "2w", "--dry-run", home=home).stdout

    assert freed["executions"] >= 1
    assert text.startswith("would free:\n")


@pytest.mark.parametrize("age", ["14", "-1d", "soon", "1.5d"])
def test_an_age_that_is_none_is_named(home, age):
    done = hydraflyte("clean", f"--older-than={age}", home=home, check=False)

    assert done.returncode == 1
    assert f"error: --older-than {age} is no age." in done.stderr
    assert "such as 14d" in done.stderr


def test_a_folder_that_is_no_home_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()

    done = hydraflyte("clean", "--older-than", "0s", home=Home(root=tmp_path), check=False)

    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
