"""Nodes that override their task, and tasks that are no Python functions."""

import container_flows
from flyteidl.core.execution_pb2 import WorkflowExecution

FAILED = WorkflowExecution.FAILED


def test_a_container_whose_program_is_here_and_that_exchanges_no_files_runs(run, tmp_path):
    execution = run(container_flows.runs_a_program, path=str(tmp_path / "said"))

    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert (tmp_path / "said").read_text() == "said\n"


def test_a_container_that_exchanges_files_is_refused_with_one_message(run):
    execution = run(container_flows.wants_files, x=1)

    assert execution.closure.phase == FAILED
    assert execution.error.code == "BadTaskDefinition"
    assert "a container of its own, of the image busybox:1.36, that writes y to /var/outputs" in execution.error.message
    assert "hydraflyte up --runtime docker" in execution.error.message


def test_a_shell_task_runs(run):
    assert run(container_flows.calls_a_shell).outputs == {"o0": 3}


def test_a_sensor_waits_for_what_it_looks_for(run, tmp_path):
    assert run(container_flows.waits_for_a_file, path=str(tmp_path / "awaited")).outputs == {"o0": True}


def test_a_task_without_container_or_connector_is_refused_with_one_message(run):
    execution = run(container_flows.asks_an_oracle)

    assert execution.error.code == "BadTaskDefinition"
    assert "a task of type 'oracle' has no container to run, and " in execution.error.message
    assert "install the flytekit plugin that brings one" in execution.error.message


def test_a_node_may_have_more_retries_and_another_name_than_its_task(run, tmp_path):
    execution = run(container_flows.is_given_retries, folder=str(tmp_path))

    assert execution.outputs == {"o0": 2}
    assert len(execution.node_executions["patient"].task_executions) == 3


def test_a_node_may_have_a_timeout_of_its_own(run):
    execution = run(container_flows.is_given_a_timeout)

    assert execution.error.code == "RetriesExhausted|TimeoutExpired"


def test_a_node_may_be_cached_where_its_task_is_not(run, tmp_path):
    first = run(container_flows.is_given_a_cache, folder=str(tmp_path))
    second = run(container_flows.is_given_a_cache, folder=str(tmp_path))

    assert first.outputs == second.outputs == {"o0": 0}
