"""Some hundred executions on a real backend, followed by lists: none is lost, and nobody asks for each."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flyteidl.admin import execution_pb2
from flytekit import sleep, workflow

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import endpoint_of
from hydraflyte.launcher.execute import Submission, submit
from hydraflyte.launcher.register import RegistrationPlan, register, serialize
from hydraflyte.launcher.remote import GrpcFlyteClient
from hydraflyte.launcher.wait import Outcome, Sweep, Watcher

JOBS = 200


@workflow
def crowd(x: int = 1) -> int:
    """No task, so that the crowd costs no processes: it rests, and returns what it was given."""
    sleep(timedelta(seconds=0.2))
    return x


class CountingClient(GrpcFlyteClient):
    """The real client; counts its questions about executions."""

    def __init__(self, running: RunningBackend) -> None:
        super().__init__(endpoint_of(running))
        self.asked: Counter[str] = Counter()

    def get_execution(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self.asked["get"] += 1
        return super().get_execution(*arguments, **options)

    def list_executions(self, query):  # type: ignore[no-untyped-def]
        self.asked["list"] += 1
        return super().list_executions(query)


@pytest.fixture
def client(flyte_backend: RunningBackend) -> Iterator[CountingClient]:
    client = CountingClient(flyte_backend)
    yield client
    client.close()


def test_hundreds_of_jobs_end_with_few_threads_and_few_questions(client: CountingClient) -> None:
    plan = RegistrationPlan(
        project="flytesnacks",
        domain="development",
        version=uuid.uuid4().hex,
        image=None,
        environment={},
        bundle_uri=None,
        key="",
    )
    entities = serialize(crowd, (crowd,), plan)
    register(client, entities)
    name = f"c{uuid.uuid4().hex[:8]}"
    threads = []

    def start(number: int) -> Submission:
        threads.append(threading.active_count())
        request = execution_pb2.ExecutionCreateRequest(
            project="flytesnacks", domain="development", name=f"{name}-{number}"
        )
        request.spec.launch_plan.CopyFrom(entities[-1].identifier)
        request.inputs.literals["x"].scalar.primitive.integer = number
        return submit(client, number, request)

    watcher = Watcher(submitted=lambda submission: None, phase_changed=lambda number, phase: None)
    sweep = Sweep(client=client, start=start, watcher=watcher, source_root=Path.cwd())
    ended = [step for step in sweep.run_all(range(JOBS), JOBS) if isinstance(step, Outcome)]

    assert sorted(outcome.number for outcome in ended) == list(range(JOBS))
    assert {outcome.phase for outcome in ended} == {"SUCCEEDED"}
    assert all(o.outputs is not None and o.outputs.literals["o0"].scalar.primitive.integer == o.number for o in ended)
    assert client.asked["get"] == 0
    assert max(threads) < 100
