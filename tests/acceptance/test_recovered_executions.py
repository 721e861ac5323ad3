"""RecoverExecution and RelaunchExecution through FlyteRemote and pyflyte: what is reused and what runs again."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import recovered_flows
from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def recover(remote):
    """Recover an execution and wait for the end of the new one."""

    def recover(execution):
        identifier = remote.client.recover_execution(execution.id)
        return remote.wait(remote.fetch_execution(name=identifier.name))

    return recover


def by_pyflyte(backend, remote, verb, execution):
    """Have pyflyte run the execution again; gives the new one when it has ended."""
    command = [str(Path(sys.executable).parent / "pyflyte"), "--config", backend.config]
    command += ["execution", "--execution-id", execution.id.name, verb]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    name = done.stdout.strip().rpartition(":")[2]
    return remote.wait(remote.fetch_execution(name=name))


def fix(folder):
    """Let fragile tasks succeed from now on, and forget who ran before."""
    runs = marks(folder)
    for file in folder.iterdir():
        file.unlink()
    (folder / recovered_flows.FIXED).touch()
    return runs


def marks(folder):
    """How often each task ran."""
    return dict(Counter(file.stem for file in folder.iterdir() if file.name != recovered_flows.FIXED))


def phases(remote, execution, parent=None):
    nodes, _ = remote.client.list_node_executions(execution.id, unique_parent_id=parent, limit=100)
    return {node.id.node_id: NodeExecution.Phase.Name(node.closure.phase) for node in nodes}


def test_what_ended_well_is_taken_over_and_what_failed_runs_again(run, recover, remote, folder):
    original = run(recovered_flows.chain, folder=str(folder))
    assert original.closure.phase == WorkflowExecution.FAILED
    assert fix(folder) == {"first": 2}

    execution = recover(original)

    assert execution.outputs == {"o0": "first"}
    assert marks(folder) == {"first": 1}
    assert phases(remote, execution) == {
        "start-node": "SUCCEEDED",
        "n0": "RECOVERED",
        "n1": "SUCCEEDED",
        "end-node": "SUCCEEDED",
    }
    assert execution.spec.metadata.mode == ExecutionMetadata.RECOVERED
    assert execution.spec.metadata.reference_execution.name == original.id.name
    node = execution.node_executions["n0"]
    assert node.task_executions == []
    assert node.closure.duration.total_seconds() == 0
    data = remote.client.get_node_execution_data(node.id)
    assert data.full_inputs.literals["name"].scalar.primitive.string_value == "first"
    assert data.full_outputs.literals["o0"].scalar.primitive.string_value == "first"


def test_every_construct_is_recovered_as_far_as_it_got(run, recover, remote, folder):
    original = run(recovered_flows.every_construct, folder=str(folder), kind="sound")
    assert original.closure.phase == WorkflowExecution.FAILED
    assert fix(folder) == {
        "in_sound_part": 1,
        "in_broken_part": 2,
        "sound_dynamic": 1,
        "in_sound_dynamic": 1,
        "broken_dynamic": 1,
        "in_broken_dynamic": 2,
        "item0": 1,
        "item1": 1,
        "in_sound_child": 1,
        "in_broken_child": 2,
        "arm": 1,
    }

    execution = recover(original)

    assert execution.outputs == {"o0": [0, 10, 20]}
    assert marks(folder) == {
        "in_broken_part": 1,
        "in_broken_dynamic": 1,
        "item1": 1,
        "item2": 1,
        "in_broken_child": 1,
    }
    assert phases(remote, execution) == {
        "start-node": "SUCCEEDED",
        "n0": "RECOVERED",  # a sub-workflow that ended well has no nodes here
        "n1": "SUCCEEDED",
        "n2": "RECOVERED",
        "n3": "SUCCEEDED",
        "n4": "SUCCEEDED",
        "n5": "RECOVERED",
        "n6": "SUCCEEDED",
        "n7": "RECOVERED",
        "end-node": "SUCCEEDED",
    }
    assert phases(remote, execution, "n0") == {}
    assert phases(remote, execution, "n1") == {
        "n1-0-start-node": "SUCCEEDED",
        "n1-0-n0": "RECOVERED",
        "n1-0-n1": "SUCCEEDED",
        "n1-0-end-node": "SUCCEEDED",
    }
    assert phases(remote, execution, "n3") == {
        "n3-0-start-node": "SUCCEEDED",
        "n3-0-dn0": "RECOVERED",
        "n3-0-dn1": "SUCCEEDED",
        "n3-0-end-node": "SUCCEEDED",
    }


def test_the_clients_see_whole_what_was_recovered(run, recover, remote, folder):
    original = run(recovered_flows.every_construct, folder=str(folder), kind="sound")
    fix(folder)

    execution = recover(original)

    dynamic = remote.client.get_node_execution_data(execution.node_executions["n2"].id).dynamic_workflow
    assert [node.id for node in dynamic.compiled_workflow.primary.template.nodes if node.id.startswith("dn")] == ["dn0"]
    array = execution.node_executions["n4"].task_executions[0].closure
    assert [TaskExecution.Phase.Name(item.phase) for item in array.metadata.external_resources] == ["SUCCEEDED"] * 3
    sound, broken = (execution.node_executions[node_id].workflow_executions[0] for node_id in ("n5", "n6"))
    assert sound.id == original.node_executions["n5"].workflow_executions[0].id
    assert broken.id != original.node_executions["n6"].workflow_executions[0].id
    assert broken.spec.metadata.mode == ExecutionMetadata.RECOVERED
    assert broken.spec.metadata.reference_execution == original.node_executions["n6"].workflow_executions[0].id
    assert broken.spec.metadata.parent_node_execution.execution_id.name == execution.id.name
    assert phases(remote, broken)["n0"] == "RECOVERED"


def test_a_recovered_execution_can_be_recovered_and_one_that_succeeded_runs_nothing(run, recover, remote, folder):
    first = run(recovered_flows.chain, folder=str(folder))
    second = recover(first)
    fix(folder)

    third = recover(second)
    fourth = recover(third)

    assert second.closure.phase == WorkflowExecution.FAILED
    assert third.outputs == fourth.outputs == {"o0": "first"}
    assert marks(folder) == {"first": 1}
    assert phases(remote, fourth) == {
        "start-node": "SUCCEEDED",
        "n0": "RECOVERED",
        "n1": "RECOVERED",
        "end-node": "RECOVERED",
    }


def test_a_task_that_runs_again_goes_on_from_its_checkpoint(run, recover, folder):
    original = run(recovered_flows.has_checkpoint, folder=str(folder))
    assert fix(folder) == {"begins_with_0_bytes": 1}

    execution = recover(original)

    assert execution.outputs == {"o0": "half"}
    assert marks(folder) == {"begins_with_4_bytes": 1}


def test_the_failure_node_cleans_up_after_every_failure(run, recover, remote, folder):
    original = run(recovered_flows.cleans_up, folder=str(folder))

    execution = recover(original)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert marks(folder) == {"first": 3, "clean": 2}
    assert phases(remote, execution) == {
        "start-node": "SUCCEEDED",
        "n0": "RECOVERED",
        "n1": "FAILED",
        "fn0": "SUCCEEDED",
    }


def test_pyflyte_recovers_and_relaunches(run, flyte_backend, remote, folder):
    original = run(recovered_flows.chain, folder=str(folder))
    fix(folder)

    recovered = by_pyflyte(flyte_backend, remote, "recover", original)
    relaunched = by_pyflyte(flyte_backend, remote, "relaunch", original)

    assert recovered.spec.metadata.mode == ExecutionMetadata.RECOVERED
    assert relaunched.spec.metadata.mode == ExecutionMetadata.RELAUNCH
    assert recovered.outputs == relaunched.outputs == {"o0": "first"}
    assert marks(folder) == {"first": 3}  # one of the recovered execution, two of the other
    assert phases(remote, relaunched)["n0"] == "SUCCEEDED"
