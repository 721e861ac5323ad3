"""Large things on the embedded backend: a map of 5,000 items, 10,000 finished executions, a workflow of 1,000 nodes.

Through an unmodified client. Memory is that of the backend's own process (RSS), looked at five times a second. Times of
list calls are what the client waits for a page of 100, the greatest of all calls beside the median. The client collects
no garbage meanwhile: with flytekit imported that takes 80 ms, which are not the backend's.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crowds
from flytekit.configuration import Config, FastSerializationSettings, Image, ImageConfig, SerializationSettings
from flytekit.models.admin.common import Sort
from flytekit.models.core.execution import WorkflowExecutionPhase
from flytekit.models.core.identifier import Identifier, ResourceType
from flytekit.remote import FlyteRemote
from flytekit.tools.translator import get_serializable
from measuring import backend, memory_mb, report

LIMITS = {"map_memory_mb": 300, "map_list_ms": 200, "crowd_list_ms": 50, "compile_s": 2}
PAGE = 100
SAMPLE_EVERY_S = 0.2
ENDED = (WorkflowExecutionPhase.SUCCEEDED, WorkflowExecutionPhase.FAILED, WorkflowExecutionPhase.ABORTED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--executions", type=int, default=10_000)
    options = parser.parse_args()
    gc.disable()
    with backend() as status:
        remote = FlyteRemote(
            Config.auto(str(status["config"])), default_project="flytesnacks", default_domain="development"
        )
        compile_s = seconds_to_compile(remote)
        mapped = measure_map(remote, int(status["pid"]), options.items)
        print("map:", mapped, file=sys.stderr, flush=True)
        crowd = measure_crowd(remote, int(status["pid"]), options.executions)
    report(
        "limits",
        {
            "limits": LIMITS,
            "compile_1000_nodes_s": round(compile_s, 3),
            "map": mapped,
            "finished_executions": crowd,
            "holds": {
                "compile_s": compile_s < LIMITS["compile_s"],
                "map_memory_mb": mapped["memory_mb"]["max"] < LIMITS["map_memory_mb"],
                "map_list_ms": max(call["max"] for call in mapped["calls_ms"].values()) < LIMITS["map_list_ms"],
                "crowd_list_ms": max(call["max"] for call in crowd["calls_ms"].values()) < LIMITS["crowd_list_ms"],
            },
        },
    )


def seconds_to_compile(remote: Any) -> float:  # Any: flytekit's own types
    """Return how long the call takes that creates, and so compiles, the workflow of 1,000 nodes."""
    settings = SerializationSettings(
        image_config=ImageConfig(default_image=Image("default", "unused", "v1")),
        project="flytesnacks",
        domain="development",
        version="limits",
        fast_serialization_settings=FastSerializationSettings(enabled=False),
    )
    remote.register_task(crowds.increment, settings)
    spec = get_serializable(OrderedDict(), settings, crowds.thousand)
    identifier = Identifier(ResourceType.WORKFLOW, "flytesnacks", "development", crowds.thousand.name, "limits")
    started = time.perf_counter()
    remote.client.create_workflow(identifier, spec)
    return time.perf_counter() - started


def measure_map(remote: Any, pid: int, items: int) -> dict[str, Any]:
    workflow = registered(remote, crowds.mapped)
    execution = remote.execute(workflow, inputs={"xs": list(range(items))}, wait=False)
    node = None
    calls: dict[str, list[float]] = {}
    started = time.perf_counter()
    with memory_watched(pid) as memory:
        while True:
            nodes = timed_call(calls, "nodes", remote.client.list_node_executions, execution.id, limit=PAGE)[0]
            node = next((found.id for found in nodes if found.id.node_id == "n0"), None)
            if node is not None:
                timed_call(calls, "tasks", remote.client.list_task_executions_paginated, node, limit=PAGE)
                timed_call(calls, "node", remote.client.get_node_execution, node)
            timed_call(calls, "executions", list_executions, remote)
            state = timed_call(calls, "execution", remote.client.get_execution, execution.id)
            if state.closure.phase in ENDED:
                break
            time.sleep(SAMPLE_EVERY_S)
    elapsed = time.perf_counter() - started
    if state.closure.error is not None:
        raise RuntimeError(state.closure.error.message)
    ended = remote.fetch_execution(name=execution.id.name)
    if len(remote.sync(ended).outputs["o0"]) != items:
        raise RuntimeError("outputs are missing")
    return {
        "items": items,
        "seconds": round(elapsed, 1),
        "tasks_per_s": round(items / elapsed, 1),
        "memory_mb": extent(memory),
        "calls_ms": {name: extent(values) for name, values in calls.items()},
    }


def measure_crowd(remote: Any, pid: int, count: int) -> dict[str, Any]:
    workflow = registered(remote, crowds.says_again)
    started = time.perf_counter()
    with memory_watched(pid) as memory:
        begun = [remote.execute(workflow, inputs={"x": number}, wait=False) for number in range(count)]
        created_s = time.perf_counter() - started
        while remote.client.get_execution(begun[-1].id).closure.phase not in ENDED:
            time.sleep(SAMPLE_EVERY_S)
    calls: dict[str, list[float]] = {}
    for direction in (Sort.Direction.DESCENDING, Sort.Direction.ASCENDING):
        token = ""
        for _ in range(count // PAGE):
            name = f"executions, {'newest' if direction == Sort.Direction.DESCENDING else 'oldest'} first"
            page = timed_call(calls, name, list_executions, remote, token, direction)
            token = page[1]
    for execution in begun[:: max(1, count // PAGE)]:
        timed_call(calls, "nodes of one", remote.client.list_node_executions, execution.id, limit=PAGE)
    return {
        "executions": count,
        "created_per_s": round(count / created_s, 1),
        "memory_mb": extent(memory),
        "calls_ms": {name: extent(values) for name, values in calls.items()},
    }


def registered(remote: Any, workflow: Any) -> Any:
    here = str(Path(__file__).resolve().parent)
    return remote.register_script(workflow, source_path=here, module_name="crowds")


def list_executions(remote: Any, token: str = "", direction: int = Sort.Direction.DESCENDING) -> tuple[list[Any], str]:
    found: tuple[list[Any], str] = remote.client.list_executions_paginated(
        "flytesnacks", "development", limit=PAGE, token=token, sort_by=Sort("created_at", direction)
    )
    return found


def timed_call(calls: dict[str, list[float]], name: str, call: Callable[..., Any], *about: Any, **options: Any) -> Any:
    started = time.perf_counter()
    result = call(*about, **options)
    calls.setdefault(name, []).append(1000 * (time.perf_counter() - started))
    return result


@contextmanager
def memory_watched(pid: int) -> Iterator[list[float]]:
    """Give a list that fills with the process's memory in MiB."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_EVERY_S):
            seen.append(memory_mb(pid, "Rss"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def extent(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "max": round(max(values), 1), "n": len(values)}


if __name__ == "__main__":
    main()
