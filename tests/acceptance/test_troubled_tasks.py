"""Tasks that end badly: a correct final phase, one clear message, and a backend that goes on serving."""

import urllib.request

import pytest
import trouble_flows
from arithmetic_flows import arithmetic
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution

FAILED = WorkflowExecution.FAILED


@pytest.fixture(autouse=True)
def the_backend_goes_on_serving(run):
    yield
    assert run(arithmetic, x=5).outputs == {"o0": 5, "o1": 0}


KILLED = "The process was killed by SIGKILL and printed nothing; the machine may have run out of memory."


def attempts_of(remote, execution, node_id="n0"):
    node = execution.node_executions[node_id]
    return [task.closure for task in node.task_executions]


def test_an_exception_of_the_users_is_shown_with_the_users_own_traceback(run):
    execution = run(trouble_flows.raises, message="no data")

    assert execution.closure.phase == FAILED
    assert execution.error.code == "USER:RuntimeError"
    assert "ValueError: cannot go on: no data" in execution.error.message
    assert "trouble_flows.py" in execution.error.message


def test_a_process_that_exits_with_3_is_a_user_error_that_names_the_code(run):
    execution = run(trouble_flows.exits, code=3)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "RetriesExhausted|Error"
    assert "[1/1] currentAttempt done. Last Error: USER::" in execution.error.message
    assert "terminated with exit code (3)" in execution.error.message
    assert "about to leave" in execution.error.message


def test_a_killed_process_is_tried_again_as_a_fault_of_the_system(run, remote):
    execution = run(trouble_flows.is_killed)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "RetriesExhausted|Interrupted"
    assert execution.error.message.endswith("Message: \n" + KILLED)
    phases = [attempt.phase for attempt in attempts_of(remote, execution)]
    assert phases == [TaskExecution.FAILED] * 4


def test_a_task_that_prints_100_megabytes_succeeds_and_all_of_it_is_kept(run, remote, flyte_backend):
    execution = run(trouble_flows.prints_much, megabytes=100)

    (attempt,) = attempts_of(remote, execution)
    (stdout,) = [link for link in attempt.logs if link.name == "stdout"]
    token = (flyte_backend.home + "/token", "r")
    with open(*token) as file:
        request = urllib.request.Request(stdout.uri, headers={"Authorization": f"Bearer {file.read().strip()}"})
    with urllib.request.urlopen(request) as answer:
        size = int(answer.headers["Content-Length"])

    assert execution.outputs == {"o0": 100}
    assert 100 * 1024 * 1024 <= size < 101 * 1024 * 1024


def test_a_task_that_never_ends_is_stopped_by_its_timeout(run):
    execution = run(trouble_flows.never_ends)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "RetriesExhausted|TimeoutExpired"


def test_a_recoverable_error_uses_up_the_tasks_retries(run, remote, tmp_path):
    execution = run(trouble_flows.recovers, folder=str(tmp_path))

    phases = [attempt.phase for attempt in attempts_of(remote, execution)]

    assert execution.outputs == {"o0": 2}
    assert phases == [TaskExecution.FAILED, TaskExecution.FAILED, TaskExecution.SUCCEEDED]
