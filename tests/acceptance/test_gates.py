"""Gates, through FlyteRemote: a value, an approval, a rejection, a pause."""

import time
from pathlib import Path

import nested_flows
import pytest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flytekit.exceptions.base import FlyteException

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def waiting(remote):
    """Begin an execution and return it once its gate has opened the signal."""

    def begin(workflow, signal_id):
        registered = remote.register_script(workflow, source_path=str(FLOWS), module_name=workflow.__module__)
        execution = remote.execute(registered, inputs={"a": 1}, wait=False)
        deadline = time.monotonic() + 30
        while [signal.id.signal_id for signal in remote.list_signals(execution.id.name)] != [signal_id]:
            assert time.monotonic() < deadline, "the signal was not opened"
            time.sleep(0.05)
        return execution

    return begin


def test_a_value_that_is_set_opens_the_gate_and_goes_on(remote, waiting):
    execution = waiting(nested_flows.asks_for_a_number, "number")

    remote.set_input("number", execution.id.name, value=41, python_type=int)
    execution = remote.wait(execution)

    assert execution.outputs == {"o0": 42}
    assert [node_id for node_id in execution.node_executions if node_id.startswith("n")] == ["n0", "n1"]


def test_a_value_of_another_type_is_refused_and_the_gate_goes_on_waiting(remote, waiting):
    execution = waiting(nested_flows.asks_for_a_number, "number")

    with pytest.raises(FlyteException, match="signal 'number' is INTEGER but was set to STRING"):
        remote.set_input("number", execution.id.name, value="many", python_type=str)
    remote.set_input("number", execution.id.name, value=1, python_type=int)

    assert remote.wait(execution).outputs == {"o0": 2}


def test_an_approval_lets_the_value_through(remote, waiting):
    execution = waiting(nested_flows.asks_for_approval, "fine")

    remote.approve("fine", execution.id.name)

    assert remote.wait(execution).outputs == {"o0": 3}


def test_a_rejection_fails_the_execution(remote, waiting):
    execution = waiting(nested_flows.asks_for_approval, "fine")

    remote.reject("fine", execution.id.name)
    execution = remote.wait(execution)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "ReceivedRejectSignal"


def test_a_sleep_takes_as_long_as_it_says(run):
    execution = run(nested_flows.sleeps, a=1)

    assert execution.outputs == {"o0": 3}
    (nap,) = [
        node
        for node in execution.node_executions.values()
        if node.closure.task_node_metadata is None and node.id.node_id.startswith("n")
    ]
    assert nap.closure.duration.total_seconds() >= 1
