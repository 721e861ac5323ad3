"""``hydraflyte executions relaunch | recover | evict-cache``, as a user types them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cached_flows
import httpx2
import pytest
import recovered_flows
from flyteidl.admin.execution_pb2 import ExecutionMetadata

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def hydraflyte(flyte_backend):
    """Call the command line; gives status, standard output and standard error."""

    def call(*arguments):
        command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", flyte_backend.home]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    return call


def statuses(hydraflyte, name):
    shown = json.loads(hydraflyte("executions", "show", name, "--json").stdout)
    return {node["node"]: node["cache_status"] for node in shown["nodes"]}


def test_relaunch_runs_all_again_and_recover_what_did_not_end_well(run, remote, hydraflyte, folder):
    original = run(recovered_flows.chain, folder=str(folder))
    failed = hydraflyte("executions", "recover", original.id.name, "--wait")
    (folder / recovered_flows.FIXED).touch()

    at_once = json.loads(hydraflyte("executions", "relaunch", original.id.name, "--json").stdout)
    recovered = json.loads(hydraflyte("executions", "recover", original.id.name, "--wait", "--json").stdout)
    relaunched = hydraflyte("executions", "relaunch", original.id.name, "--wait")

    assert failed.returncode == 1
    assert "first is broken" in failed.stdout
    assert at_once["phase"] in ("QUEUED", "RUNNING", "SUCCEEDED")
    assert (recovered["phase"], recovered["reference"]) == ("SUCCEEDED", original.id.name)
    execution = remote.fetch_execution(name=recovered["name"])
    assert execution.spec.metadata.mode == ExecutionMetadata.RECOVERED
    assert relaunched.returncode == 0, relaunched.stdout + relaunched.stderr
    name, phase, link = relaunched.stdout.split()
    assert phase == "SUCCEEDED"
    assert link.endswith(f"/executions/{name}")


def test_a_relaunch_may_change_inputs(run, remote, hydraflyte, folder):
    original = run(cached_flows.sums, folder=str(folder), a=1)

    changed = json.loads(
        hydraflyte("executions", "relaunch", original.id.name, "a=41", "label=other", "--wait", "--json").stdout
    )

    execution = remote.sync(remote.fetch_execution(name=changed["name"]))
    assert execution.outputs == {"o0": 42}
    assert execution.inputs == {"folder": str(folder), "a": 41, "label": "other"}
    assert execution.spec.metadata.mode == ExecutionMetadata.RELAUNCH
    assert execution.spec.metadata.reference_execution.name == original.id.name


def test_a_single_task_is_relaunched_with_other_inputs(remote, hydraflyte, folder):
    registered = remote.register_script(cached_flows.total, source_path=str(FLOWS), module_name="cached_flows")
    original = remote.execute(registered, inputs={"folder": str(folder), "a": 1, "label": "x"}, wait=True)

    changed = json.loads(
        hydraflyte("executions", "relaunch", original.id.name, "a=5", "--overwrite-cache", "--wait", "--json").stdout
    )

    execution = remote.sync(remote.fetch_execution(name=changed["name"]))
    assert execution.outputs == {"o0": 6}
    assert execution.spec.overwrite_cache


def test_the_console_runs_an_execution_again_with_other_inputs(run, remote, flyte_backend, folder):
    original = run(cached_flows.sums, folder=str(folder), a=1)
    page = f"/console/projects/flytesnacks/domains/development/executions/{original.id.name}"

    with httpx2.Client(base_url=flyte_backend.http_url, timeout=20) as browser:
        signed_in = browser.get(flyte_backend.console_url, follow_redirects=True)
        token = re.search(r'name="token" value="(\w+)"', browser.get(page).text).group(1)
        answer = browser.post(f"{page}/relaunch", data={"token": token, "input.a": "41", "input.label": "other"})

    assert signed_in.status_code == 200
    assert answer.status_code == 303
    execution = remote.wait(remote.fetch_execution(name=answer.headers["location"].rpartition("/")[2]))
    assert execution.outputs == {"o0": 42}
    assert execution.inputs == {"folder": str(folder), "a": 41, "label": "other"}


def test_another_backend_is_asked_by_its_endpoint(run, remote, flyte_backend, folder, tmp_path):
    original = run(cached_flows.sums, folder=str(folder), a=1)
    elsewhere = {**os.environ, "HYDRAFLYTE_HOME": str(tmp_path / "no backend here")}

    def call(verb, *more):
        command = [sys.executable, "-m", "hydraflyte", "executions", verb, original.id.name, *more, "--json"]
        return subprocess.run(command, env=elsewhere, capture_output=True, text=True, timeout=90)

    relaunched = call("relaunch", "--endpoint", flyte_backend.config, "--wait")
    recovered = call("recover", "--endpoint", flyte_backend.config, "--wait")
    nobody = call("recover")

    assert [json.loads(each.stdout)["phase"] for each in (relaunched, recovered)] == ["SUCCEEDED"] * 2
    link = json.loads(relaunched.stdout)["console_url"]
    assert link.startswith(f"{flyte_backend.http_url}/console/projects/flytesnacks/domains/development/executions/")
    assert nobody.returncode == 1
    assert "No backend serves the home" in json.loads(nobody.stdout)["error"]


def test_executions_of_another_backend_are_listed_shown_and_cancelled_by_its_endpoint(
    run, remote, flyte_backend, folder, tmp_path
):
    original = run(cached_flows.sums, folder=str(folder), a=1)
    elsewhere = {**os.environ, "HYDRAFLYTE_HOME": str(tmp_path / "no backend here")}

    def call(verb, *more, endpoint=flyte_backend.config):
        command = [sys.executable, "-m", "hydraflyte", "executions", verb, *more, "--endpoint", endpoint]
        return subprocess.run(command, env=elsewhere, capture_output=True, text=True, timeout=90)

    listed = call("list", "--json")
    shown = call("show", original.id.name, "--json")
    logs = call("logs", original.id.name)
    followed = call("logs", original.id.name, "-f")
    cancelled = call("cancel", original.id.name)
    unknown = call("show", "nobody")
    silent = call("list", endpoint="127.0.0.1:9")

    assert original.id.name in [each["name"] for each in json.loads(listed.stdout)]
    facts = json.loads(shown.stdout)
    assert (facts["phase"], facts["outputs"]) == ("SUCCEEDED", original.outputs)
    assert facts["console_url"].endswith(f"/projects/flytesnacks/domains/development/executions/{original.id.name}")
    assert re.search(r"^==> n0 attempt 0 stdout <==\nhttp://\S+$", logs.stdout, re.M), logs
    assert f"The logs of {original.id.name} cannot be followed" in followed.stderr
    assert f"{original.id.name} has ended already (SUCCEEDED)" in cancelled.stderr
    assert "The Flyte backend at" in unknown.stderr
    assert "nobody" in unknown.stderr
    assert "No Flyte backend answers at 127.0.0.1:9" in silent.stderr
    assert [each.returncode for each in (listed, shown, logs)] == [0, 0, 0]
    assert [each.returncode for each in (followed, cancelled, unknown, silent)] == [1, 1, 1, 1]


def test_what_cannot_be_run_again_or_changed_is_told_in_one_sentence(run, hydraflyte, folder):
    original = run(cached_flows.sums, folder=str(folder), a=1)

    unknown = hydraflyte("executions", "recover", "nobody")
    no_input = hydraflyte("executions", "relaunch", original.id.name, "lable=x")
    no_number = hydraflyte("executions", "relaunch", original.id.name, "a=many")

    assert [done.returncode for done in (unknown, no_input, no_number)] == [1, 1, 1]
    assert "flytesnacks/development/nobody" in unknown.stderr
    assert "did you mean label?" in no_input.stderr
    assert "a: int cannot be made of it" in no_number.stderr
    assert "Traceback" not in unknown.stderr + no_input.stderr + no_number.stderr


def test_evicted_outputs_are_made_again(run, hydraflyte, folder):
    original = run(cached_flows.sums, folder=str(folder), a=1)

    evicted = json.loads(hydraflyte("executions", "evict-cache", original.id.name, "--json").stdout)["evicted"]
    again = hydraflyte("executions", "evict-cache", original.id.name)

    assert [item["node"] for item in evicted] == ["n0"]
    assert again.stdout == f"nothing that {original.id.name} stored or reused is cached\n"
    assert statuses(hydraflyte, original.id.name) == {"n0": "CACHE_EVICTED"}
    relaunched = json.loads(hydraflyte("executions", "relaunch", original.id.name, "--wait", "--json").stdout)
    assert statuses(hydraflyte, relaunched["name"]) == {"n0": "CACHE_POPULATED"}


def test_the_items_of_a_map_task_are_evicted_too(run, remote, hydraflyte):
    original = run(cached_flows.squares, xs=[11, 12])
    before = original.node_executions["n0"].task_executions[0].closure.metadata.external_resources

    evicted = json.loads(hydraflyte("executions", "evict-cache", original.id.name, "--json").stdout)["evicted"]
    unknown = hydraflyte("executions", "evict-cache", original.id.name, "--node", "n9")

    assert len(evicted) == 2
    assert "has no node 'n9'" in unknown.stderr
    synced = remote.sync(remote.fetch_execution(name=original.id.name), sync_nodes=True)
    after = synced.node_executions["n0"].task_executions[0].closure.metadata.external_resources
    assert [resource.cache_status for resource in (*before, *after)] == [3, 3, 7, 7]  # then CACHE_EVICTED
    again = run(cached_flows.squares, xs=[11, 12])
    resources = again.node_executions["n0"].task_executions[0].closure.metadata.external_resources
    assert [resource.cache_status for resource in resources] == [3, 3]  # CACHE_POPULATED
