"""Eager tasks, through FlyteRemote: a task that talks to the backend it runs on."""

import asyncio
from pathlib import Path

import eager_flows
from flyteidl.core.execution_pb2 import WorkflowExecution

FLOWS = Path(__file__).parent / "flows"


def test_an_eager_task_begins_executions_and_gives_what_it_gives_in_process(remote):
    registered = remote.register_script(eager_flows.doubles, source_path=str(FLOWS), module_name="eager_flows")

    execution = remote.execute(registered, inputs={"count": 3}, wait=True)

    assert execution.closure.phase == WorkflowExecution.SUCCEEDED, execution.error.message[-1500:]
    assert execution.outputs == {"o0": 6}
    assert asyncio.run(eager_flows.doubles(count=3)) == 6
    children = [
        each for each in remote.recent_executions(limit=100) if execution.id.name in each.spec.labels.values.values()
    ]
    assert sorted(each.spec.launch_plan.name for each in children) == [
        "eager_flows.double",
        "eager_flows.double",
        "eager_flows.double",
        "eager_flows.total",
    ]
