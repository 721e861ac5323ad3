"""Launch plans as nodes, through FlyteRemote: names, settings handed down, outputs, errors, aborts."""

import re
import time
from pathlib import Path

import nested_flows
import pytest
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flytekit import Options
from flytekit.models.common import Annotations, Labels, RawOutputDataConfig

MODE_CHILD_WORKFLOW = 4

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="module")
def start(remote):
    """Register a workflow and begin an execution of it, under a name of our choice."""

    def begin(workflow, inputs, **settings):
        registered = remote.register_script(workflow, source_path=str(FLOWS), module_name=workflow.__module__)
        return remote.execute(registered, inputs=inputs, wait=False, **settings)

    return begin


def child_id(remote, execution, node_id):
    """The id of the execution that a launch-plan node began."""
    (node,) = [node for node in nodes_of(remote, execution) if node.id.node_id == node_id]
    return node.closure.workflow_node_metadata.execution_id


def child_of(remote, execution, node_id):
    """The execution that a launch-plan node began; it must have ended, as reads of running ones are held."""
    child = remote.fetch_execution(name=child_id(remote, execution, node_id).name)
    return remote.sync_execution(child, sync_nodes=True)


def nodes_of(remote, execution):
    return remote.client.list_node_executions(execution.id)[0]


def has_begun_its_child(remote, execution):
    return any(
        node.id.node_id == "n0" and node.closure.phase == NodeExecution.RUNNING for node in nodes_of(remote, execution)
    )


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_the_outputs_are_those_of_the_run_in_process(run):
    execution = run(nested_flows.two_children, a=1)

    assert execution.outputs == {"o0": 101, "o1": 1101}
    assert nested_flows.two_children(a=1) == (101, 1101)


def test_children_have_children(run):
    assert run(nested_flows.grandchildren, a=1).outputs == {"o0": 1202}


def test_a_child_is_an_execution_of_its_own_with_a_name_that_follows_from_the_node(run, remote):
    execution = run(nested_flows.two_children, a=1)

    child = child_of(remote, execution, "n0")

    assert re.fullmatch("f[a-z1-6]{7}", child.id.name)
    assert child.id.name != child_of(remote, execution, "n1").id.name
    assert child.spec.metadata.mode == MODE_CHILD_WORKFLOW
    assert child.spec.metadata.nesting == 1
    assert child.spec.metadata.parent_node_execution.node_id == "n0"
    assert child.spec.metadata.parent_node_execution.execution_id.name == execution.id.name
    assert child.spec.launch_plan.name == "nested.sums_plan"
    assert child.outputs == {"o0": 101}
    assert not execution.node_executions["n0"].metadata.is_parent_node
    assert [node_id for node_id in child.node_executions if node_id.startswith("n")] == ["n0"]


def test_a_short_name_is_kept(start, remote):
    execution = start(nested_flows.two_children, {"a": 1}, execution_name=f"p{int(time.time())}")
    execution = remote.wait(execution)

    assert child_of(remote, execution, "n0").id.name == f"{execution.id.name}-n0-0"


def test_the_settings_of_an_execution_are_handed_down(start, remote, tmp_path):
    options = Options(
        labels=Labels({"team": "blue"}),
        annotations=Annotations({"example.org/why": "a test"}),
        raw_output_data_config=RawOutputDataConfig(f"file://{tmp_path}"),
        max_parallelism=3,
    )

    execution = start(
        nested_flows.asks_a_child,
        inputs={"name": "COLOUR"},
        options=options,
        envs={"COLOUR": "green"},
        overwrite_cache=True,
        interruptible=True,
    )
    execution = remote.wait(execution)
    spec = child_of(remote, execution, "n0").spec

    assert execution.outputs == {"o0": "green"}
    assert spec.labels.values == {"team": "blue"}
    assert spec.annotations.values == {"example.org/why": "a test"}
    assert spec.raw_output_data_config.output_location_prefix == f"file://{tmp_path}"
    assert spec.max_parallelism == 3
    assert spec.overwrite_cache
    assert spec.interruptible


def test_the_error_of_a_child_is_that_of_its_parent(run):
    execution = run(nested_flows.has_a_breaking_child, a=1)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "USER:RuntimeError"
    assert "no way on from 1" in execution.error.message


def test_terminating_the_parent_terminates_the_child_and_says_why(start, remote):
    execution = start(nested_flows.has_a_waiting_child, {"a": 1})
    wait_for(lambda: has_begun_its_child(remote, execution))

    remote.terminate(execution, cause="enough")
    execution = remote.wait(execution)
    child = child_of(remote, execution, "n0")

    assert execution.closure.phase == WorkflowExecution.ABORTED
    assert child.closure.phase == WorkflowExecution.ABORTED
    assert child.closure.abort_metadata.cause == (
        f"cascading abort as parent execution id [{execution.id.name}] aborted, reason [enough]"
    )


def test_terminating_the_child_fails_the_parent(start, remote):
    execution = start(nested_flows.has_a_waiting_child, {"a": 1})
    wait_for(lambda: has_begun_its_child(remote, execution))

    remote.client.terminate_execution(child_id(remote, execution, "n0"), "wrong one")
    execution = remote.wait(execution)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "RemoteChildWorkflowExecutionFailed"


def test_a_child_that_takes_too_long_is_terminated_and_fails_its_parent(run, remote):
    execution = run(nested_flows.has_an_overdue_child, a=1)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "RetriesExhausted|TimeoutExpired"
    assert "task execution timeout [1s] expired" in execution.error.message
    assert child_of(remote, execution, "n0").closure.phase == WorkflowExecution.ABORTED
