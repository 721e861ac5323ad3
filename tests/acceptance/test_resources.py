"""Resources, secrets and checkpoints of unmodified flytekit tasks, on a machine declared to have 4 CPUs and 2 GPUs."""

import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import checkpoint_flows
import httpx2
import pytest
import resource_flows
import secret_flows
from flyteidl.admin.matchable_resource_pb2 import MatchingAttributes, TaskResourceAttributes, TaskResourceSpec
from flyteidl.admin.task_execution_pb2 import TaskExecutionListRequest
from flyteidl.admin.workflow_attributes_pb2 import WorkflowAttributes, WorkflowAttributesUpdateRequest
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent / "flows"
FAILED, SUCCEEDED = WorkflowExecution.FAILED, WorkflowExecution.SUCCEEDED
PASSWORD, USER, TOKEN, WORD = "correct horse", "the-user", "token-of-v2", "from-the-shell"


def hydraflyte(*arguments, home, value=None):
    command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", str(home.root)]
    return subprocess.run(command, input=value, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of a backend on a machine with declared devices, and a secret in its environment."""
    home = Home(root=tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("_FSEC_SHELL_WORD", WORD)
        start_backend(home, BackendOptions(port=0, cpus="4", memory="4Gi", gpus="2"))
    for group, key, value in (("db", "password", PASSWORD), ("DB", "user", USER)):
        assert hydraflyte("secrets", "set", group, key, home=home, value=value + "\n").returncode == 0
    assert hydraflyte("secrets", "set", "api", "token", "--version=v2", home=home, value=TOKEN).returncode == 0
    yield home
    stop_backend(home)


@pytest.fixture(scope="module")
def remote(home):
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    config = Config.auto(config_file=home.running().config)
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


@pytest.fixture(scope="module")
def registered(remote):
    return lambda workflow: remote.register_script(workflow, source_path=str(FLOWS), module_name=workflow.__module__)


@pytest.fixture(scope="module")
def run(remote, registered):
    return lambda workflow, **inputs: remote.execute(registered(workflow), inputs=inputs, wait=True)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def task_of(remote, execution):
    """The only task execution of ``n0``, or None."""
    node = NodeExecutionIdentifier(node_id="n0", execution_id=execution.id.to_flyte_idl())
    found = remote.client._stub.ListTaskExecutions(TaskExecutionListRequest(node_execution_id=node, limit=9))
    return next(iter(found.task_executions), None)


def phase_of_task(remote, execution):
    task = task_of(remote, execution)
    return None if task is None else task.closure.phase


def page_of(execution):
    return f"/console/projects/flytesnacks/domains/development/executions/{execution.id.name}"


def bearer(home):
    return {"authorization": f"Bearer {home.token()}"}


def attempts_of(execution, node_id="n0"):
    return [task.closure for task in execution.node_executions[node_id].task_executions]


# the budget


def test_each_task_that_asks_for_a_gpu_has_one_for_itself(run, tmp_path):
    execution = run(resource_flows.share_devices, numbers=[0, 1, 2, 3, 4, 5], folder=str(tmp_path))

    assert execution.closure.phase == SUCCEEDED
    assert set(execution.outputs["o0"]) == {"0", "1"}


def test_a_task_that_asks_for_no_gpu_sees_none_and_one_that_asks_for_two_sees_two(run):
    assert run(resource_flows.asks_for_no_device).outputs == {"o0": ""}
    assert run(resource_flows.asks_for_two_devices).outputs == {"o0": "0,1"}


def test_tasks_whose_memory_does_not_fit_together_run_one_after_the_other(run, tmp_path):
    execution = run(resource_flows.one_at_a_time, numbers=[1, 2, 3], folder=str(tmp_path))

    assert execution.outputs == {"o0": [1, 2, 3]}


def test_a_task_that_can_never_fit_is_refused_at_once_with_the_sums(run):
    execution = run(resource_flows.never_fits)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "InsufficientResources"
    assert "it asks for 64 of CPU, of 4 and 1.0 TiB of memory, of 4.0 GiB and 3 GPU(s), of 2" in execution.error.message
    assert "`hydraflyte up` with --cpus, --memory, --gpus" in execution.error.message


def test_an_attempt_that_waits_says_for_what_and_who_has_it(remote, home, registered, tmp_path):
    done = tmp_path / "done"
    holder = remote.execute(registered(resource_flows.holds_all_devices), inputs={"until": str(done)})
    wait_for(lambda: phase_of_task(remote, holder) == TaskExecution.RUNNING)
    waiting = remote.execute(registered(resource_flows.wants_a_device), inputs={})
    wait_for(lambda: phase_of_task(remote, waiting) == TaskExecution.WAITING_FOR_RESOURCES)

    task = task_of(remote, waiting)
    shown = hydraflyte("executions", "show", waiting.id.name, home=home).stdout
    page = httpx2.get(f"{home.running().http_url}{page_of(waiting)}", headers=bearer(home)).text

    reason = (
        "waits for resources: it asks for 1 GPU(s), of 2 with 0 free;"
        f" held by flytesnacks/development/{holder.id.name}/n0/0 (2 GPU(s))"
    )
    assert task.closure.reason == reason
    assert f"attempt 0 {reason}" in shown
    assert reason in page
    done.touch()
    ended = [remote.wait(execution, timeout=timedelta(seconds=60)) for execution in (holder, waiting)]
    assert [execution.outputs["o0"] for execution in ended] == ["0,1", "0"]


def test_a_task_below_an_eager_one_that_keeps_all_devices_fails_at_once(run, remote):
    execution = run(resource_flows.keeps_all_devices_while_it_waits)

    children = remote.recent_executions(limit=20)
    child = next(each for each in children if each.spec.labels.values.get("eager-exec") == execution.id.name)
    error = remote.fetch_execution(name=child.id.name).error
    assert execution.closure.phase == FAILED
    assert "It can never run: the eager task above it keeps the GPU(s) it wants." in execution.error.message
    assert error.code == "InsufficientResources"
    assert f"It asks for 1 GPU(s), of 2, of which flytesnacks/development/{execution.id.name}/" in error.message
    assert "has 2. Ask for none in the eager task" in error.message


def test_a_task_below_an_eager_one_has_the_devices_that_are_left(run):
    execution = run(resource_flows.keeps_one_device_while_it_waits)

    assert execution.closure.phase == SUCCEEDED, execution.error.message
    assert execution.outputs == {"o0": "1"}


def test_a_node_may_ask_for_less_than_its_task(run):
    assert run(resource_flows.fits_when_overridden).outputs == {"o0": 1}


def test_variables_and_resources_of_a_pod_template_count(run):
    assert run(resource_flows.runs_in_a_pod).outputs == {"o0": ["yes", "yes", "1"]}


def test_defaults_and_limits_of_a_workflow_hold_for_its_tasks(run, remote):
    def attributes_for(workflow, **resources):
        spec = {side: TaskResourceSpec(**amounts) for side, amounts in resources.items()}
        given = WorkflowAttributes(
            project="flytesnacks",
            domain="development",
            workflow=workflow.name,
            matching_attributes=MatchingAttributes(task_resource_attributes=TaskResourceAttributes(**spec)),
        )
        remote.client._stub.UpdateWorkflowAttributes(WorkflowAttributesUpdateRequest(attributes=given))

    attributes_for(resource_flows.asks_for_nothing, defaults={"memory": "8Gi"})
    attributes_for(resource_flows.never_fits, limits={"cpu": "2", "memory": "1Gi", "gpu": "1"})

    assert "8.0 GiB of memory, of 4.0 GiB" in run(resource_flows.asks_for_nothing).error.message
    assert run(resource_flows.never_fits).outputs == {"o0": 1}


# memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory processes share")
def test_a_task_whose_processes_use_too_much_memory_is_killed_and_tried_again(run):
    execution = run(resource_flows.uses_memory, mebibytes=600)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "RetriesExhausted|OOMKilled"
    assert "[2/2] currentAttempt done. Last Error: USER::" in execution.error.message
    assert "Reason [OOMKilled]" in execution.error.message
    assert re.search(r"used [\d.]+ MiB of memory, its limit is 300\.0 MiB", execution.error.message)
    assert [attempt.phase for attempt in attempts_of(execution)] == [TaskExecution.FAILED] * 2


def test_a_task_that_stays_below_its_limit_is_left_alone(run):
    assert run(resource_flows.uses_memory, mebibytes=20).outputs == {"o0": 20}


def test_memory_that_is_only_reserved_or_shared_counts_as_what_it_is(run):
    assert run(resource_flows.shares_memory).outputs == {"o0": 0}


# secrets


def test_secrets_reach_the_task_in_the_ways_it_asks_for(run):
    assert run(secret_flows.uses_secrets).outputs == {"o0": [PASSWORD, USER, USER, TOKEN, WORD]}


def test_a_secrets_file_is_private_and_gone_after_the_attempt(run):
    outputs = run(secret_flows.finds_file).outputs

    path, mode, content = outputs["o0"], outputs["o1"], outputs["o2"]
    assert (mode, content.strip()) == (0o600, PASSWORD)
    assert not os.path.exists(path)
    assert not os.path.exists(os.path.dirname(os.path.dirname(path)))


def test_secrets_reach_dynamic_and_map_tasks(run):
    execution = run(secret_flows.in_dynamic_and_map_tasks, words=["a", "b"])

    assert execution.outputs == {"o0": ["8 a 13", "8 b 13"]}


def test_a_missing_secret_that_the_code_asks_for_is_named_with_the_command_that_sets_it(run):
    execution = run(secret_flows.insists_on_a_missing_secret)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "USER:RuntimeError"
    assert "Unable to find secret for key knows in group nobody" in execution.error.message
    assert "set it with `hydraflyte secrets set nobody knows`" in execution.error.message


def test_a_missing_secret_that_the_code_does_not_ask_for_does_no_harm(run):
    assert run(secret_flows.asks_in_vain).outputs == {"o0": "did not need it"}


def test_a_task_that_asks_for_no_secret_sees_none(run):
    assert run(secret_flows.pries).outputs == {"o0": []}


def test_no_value_is_in_any_other_file_of_the_home(run, home):
    run(secret_flows.asks_in_vain)
    run(secret_flows.in_dynamic_and_map_tasks, words=["c"])
    values = [PASSWORD.encode(), USER.encode()]  # `uses_secrets` returned the others and these: look at the rest

    tellers = {str(path) for path in home.root.rglob("*") if path.is_file() and _tells(path, values)}
    expected = {str(home.secrets / "db" / "password"), str(home.secrets / "db" / "user")}

    assert {path for path in tellers if "/blobs/" not in path} == expected


def _tells(path, values):
    content = path.read_bytes()
    return any(value in content for value in values)


# checkpoints


def test_a_task_goes_on_from_its_last_checkpoint(run):
    execution = run(checkpoint_flows.resumes, target=3)

    assert execution.outputs == {"o0": [0, 1, 2]}
    assert len(attempts_of(execution)) == 3


def test_an_attempt_that_died_before_its_first_checkpoint_is_no_obstacle(run):
    execution = run(checkpoint_flows.resumes_after_a_crash)

    assert execution.outputs == {"o0": ["True", "attempt 1 found None"]}


def test_items_of_a_map_go_on_each_from_its_own_checkpoint(run):
    assert run(checkpoint_flows.items_resume, numbers=[1, 2, 3]).outputs == {"o0": [10, 20, 30]}
