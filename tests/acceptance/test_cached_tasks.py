"""Cached tasks through FlyteRemote: what counts as the same, who is shown as the source, who waits for whom."""

import time
from collections import Counter
from pathlib import Path

import cached_flows
import pytest
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import NodeExecution

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def marks(folder):
    return dict(Counter(file.stem for file in folder.iterdir() if file.suffix))


def cache_of(execution, node_id):
    """The cache status and the source of a node's outputs."""
    metadata = execution.node_executions[node_id].closure.task_node_metadata.to_flyte_idl()
    source = metadata.catalog_key.source_task_execution.node_execution_id.execution_id.name
    return CatalogCacheStatus.Name(metadata.cache_status), source


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_second_execution_reuses_the_outputs_whatever_the_ignored_input(run, folder):
    first = run(cached_flows.sums, folder=str(folder), a=1)
    second = run(cached_flows.sums, folder=str(folder), a=1, label="another")
    third = run(cached_flows.sums, folder=str(folder), a=2)

    assert [execution.outputs["o0"] for execution in (first, second, third)] == [2, 2, 3]
    assert marks(folder) == {"total": 2}
    assert cache_of(first, "n0") == ("CACHE_POPULATED", first.id.name)
    assert cache_of(second, "n0") == ("CACHE_HIT", first.id.name)
    assert cache_of(third, "n0") == ("CACHE_POPULATED", third.id.name)
    assert second.node_executions["n0"].task_executions == []


def test_an_execution_that_overwrites_the_cache_looks_nothing_up_and_stores_anew(run, remote, folder):
    first = run(cached_flows.sums, folder=str(folder), a=1)

    flow = remote.fetch_workflow(name=first.spec.launch_plan.name, version=first.spec.launch_plan.version)
    inputs = {"folder": str(folder), "a": 1}
    overwriting = remote.execute(flow, inputs=inputs, overwrite_cache=True, wait=True)
    third = run(cached_flows.sums, folder=str(folder), a=1)

    assert marks(folder) == {"total": 2}
    assert cache_of(overwriting, "n0") == ("CACHE_POPULATED", overwriting.id.name)
    assert cache_of(third, "n0") == ("CACHE_HIT", overwriting.id.name)


def test_a_value_that_brings_its_own_hash_is_the_same_if_its_content_is(run, folder):
    first = run(cached_flows.counts, folder=str(folder), rows=3, nonce="a")
    second = run(cached_flows.counts, folder=str(folder), rows=3, nonce="b")
    third = run(cached_flows.counts, folder=str(folder), rows=4, nonce="c")

    assert [execution.outputs["o0"] for execution in (first, second, third)] == [3, 3, 4]
    assert [cache_of(execution, "n1")[0] for execution in (first, second, third)] == [
        "CACHE_POPULATED",
        "CACHE_HIT",
        "CACHE_POPULATED",
    ]
    assert marks(folder) == {"count": 2}


def test_a_serialised_task_runs_once_for_two_executions_at_the_same_time(remote, folder):
    registered = remote.register_script(cached_flows.takes_turns, source_path=str(FLOWS), module_name="cached_flows")
    first = remote.execute(registered, inputs={"folder": str(folder)})
    wait_for(lambda: marks(folder))
    second = remote.execute(registered, inputs={"folder": str(folder)})
    wait_for(lambda: phase_of(remote, second) == NodeExecution.QUEUED)

    (folder / "go").touch()
    first, second = remote.wait(first), remote.wait(second)

    assert first.outputs == second.outputs == {"o0": "done"}
    assert marks(folder) == {"slow": 1}
    assert cache_of(second, "n0") == ("CACHE_HIT", first.id.name)


def phase_of(remote, execution):
    nodes = {node.id.node_id: node for node in remote.client.list_node_executions(execution.id)[0]}
    return nodes["n0"].closure.phase if "n0" in nodes else None
