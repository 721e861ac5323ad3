"""What dynamic tasks may contain besides tasks: launch plans, sub-workflows, conditionals, gates, and each other."""

from pathlib import Path

import deep_dynamic_flows as flows
import library_flows
import pytest
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="module", autouse=True)
def library(remote):
    """Register the launch plans that the flows refer to by name."""
    own = {"source_path": str(FLOWS), "module_name": "library_flows", "version": flows.LIBRARY_VERSION}
    remote.register_script(library_flows.tripled_plan, **own)
    remote.register_script(library_flows.scale_plan, project="flytetester", domain="staging", **own)


@pytest.fixture(scope="module")
def own_plan(remote):
    """A dynamic task's own launch plan is not registered with its workflow: flytekit does not know of it."""
    place = {"source_path": str(FLOWS), "module_name": "deep_dynamic_flows", "version": "with-own-plan"}
    remote.register_script(flows.doubled_plan, **place)
    return remote.register_script(flows.own_plan, **place)


@pytest.mark.parametrize(
    ("workflow", "inputs", "expected"),
    [
        (flows.reference_plans, {"n": 2}, 6 + 110),
        (flows.mapped_plans, {"n": 3}, [0, 3, 6]),
        (flows.choosing, {"n": 20}, 42),
        (flows.choosing, {"n": 7}, 24),
        (flows.choosing, {"n": 1}, 4),
        (flows.guarded_below, {"n": 0}, 0),
        (flows.nested, {"n": 7}, 21 + 14 + 24),
        (flows.napping, {"n": 1}, 3),
    ],
    ids=[
        "launch plans of other projects",
        "a map over a launch plan",
        "a conditional that takes a sub-workflow",
        "a conditional that takes a launch plan",
        "a conditional that takes a task",
        "a sub-workflow with a failure node",
        "dynamic tasks in a dynamic task",
        "a gate",
    ],
)
def test_it_runs_below_a_dynamic_task(run, workflow, inputs, expected):
    assert run(workflow, **inputs).outputs == {"o0": expected}


def test_a_dynamic_task_begins_its_own_launch_plan(remote, own_plan):
    execution = remote.execute(own_plan, inputs={"n": 3}, wait=True)

    assert flows.own_plan(n=3) == 6
    assert execution.outputs == {"o0": 6}


def test_flyte_remote_walks_through_a_dynamic_task_into_its_child_executions(remote, own_plan):
    execution = remote.execute(own_plan, inputs={"n": 1}, wait=True)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    dynamic = synced.node_executions["n0"]
    below = {node.metadata.spec_node_id: node for node in dynamic.subworkflow_node_executions.values()}
    (child,) = below["dn1"].workflow_executions

    assert (dynamic.metadata.is_dynamic, dynamic.metadata.is_parent_node) == (True, True)
    assert set(below) == {"start-node", "dn0", "dn1", "dn2", "end-node"}
    assert dynamic.subworkflow_node_executions["n0-0-dn1"] is below["dn1"]
    assert child.spec.launch_plan.name == "deep.doubled_plan"
    assert child.spec.metadata.nesting == 1
    assert child.outputs == {"o0": 0}


def test_the_compiled_workflow_of_a_dynamic_task_names_its_launch_plans(remote, own_plan):
    execution = remote.execute(own_plan, inputs={"n": 1}, wait=True)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    data = remote.client.get_node_execution_data(synced.node_executions["n0"].id)
    template = data.dynamic_workflow.compiled_workflow.primary.template

    nodes = {node.id: node for node in template.nodes}
    assert template.id.name == "dynamic_n0"
    assert nodes["dn1"].workflow_node.launchplan_ref.name == "deep.doubled_plan"
    assert nodes["dn1"].workflow_node.launchplan_ref.version == "with-own-plan"


def test_a_failed_sub_workflow_below_a_dynamic_task_runs_its_failure_node_first(run, remote):
    execution = run(flows.guarded_below, n=3)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)
    dynamic = synced.node_executions["n0"]
    (guarded,) = [n for n in dynamic.subworkflow_node_executions.values() if n.metadata.spec_node_id == "dn0"]
    phases = {n.metadata.spec_node_id: n.closure.phase for n in guarded.subworkflow_node_executions.values()}

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "USER:RuntimeError"
    assert phases == {
        "start-node": NodeExecution.SUCCEEDED,
        "dn0": NodeExecution.FAILED,  # flytekit compiles it inside the dynamic task, where ids begin with a d
        "dfn0": NodeExecution.SUCCEEDED,
    }


def test_a_launch_plan_that_nobody_registered_fails_the_dynamic_task(run):
    execution = run(flows.missing_plan, n=1)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == "DynamicWorkflowBuildFailed"
    assert "WorkflowReferenceNotFound: node dn0: launch plan" in execution.error.message
    assert "deep.never_registered" in execution.error.message
