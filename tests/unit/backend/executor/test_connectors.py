"""Tasks that a connector runs: what it says is left as a process of the task's own would leave it."""

import os
import signal
from dataclasses import dataclass

import pytest
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.core.tasks_pb2 import TaskTemplate
from flytekit.extend.backend.base_connector import (
    AsyncConnectorBase,
    ConnectorRegistry,
    Resource,
    ResourceMeta,
    SyncConnectorBase,
)

from hydraflyte.backend.executor.zygote import connectors

TEMPLATE = {
    "id": {"resource_type": 1, "project": "p", "domain": "d", "name": "ask", "version": "v"},
    "type": "question",
    "metadata": {"retries": {}},
    "interface": {"inputs": {"variables": {"x": {"type": {"simple": 1}}}}},
}


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


@dataclass
class Job(ResourceMeta):
    x: int


class Service(AsyncConnectorBase):
    """Answers with one resource after the other; notes what it is told."""

    name = "Service"

    def __init__(self, *resources):
        super().__init__(metadata_type=Job, task_type_name="question")
        self.resources = list(resources)
        self.asked = []
        self.deleted = []

    async def create(self, task_template, inputs, output_prefix, task_execution_metadata, **kwargs):
        attempt = task_execution_metadata.task_execution_id
        self.asked.append((task_template.id.name, attempt.node_execution_id.execution_id.name, attempt.retry_attempt))
        return Job(x=inputs.literals["x"].scalar.primitive.integer)

    def get(self, resource_meta, **kwargs):  # plain: connectors may be written either way
        return self.resources.pop(0)

    async def delete(self, resource_meta, **kwargs):
        self.deleted.append(resource_meta)


class Oracle(SyncConnectorBase):
    name = "Oracle"

    def __init__(self):
        super().__init__(task_type_name="question")

    async def do(self, task_template, output_prefix, inputs=None, **kwargs):
        return Resource(phase=TaskExecution.SUCCEEDED, outputs={"o0": inputs.literals["x"].scalar.primitive.integer})


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Run the task with a connector; returns the folder of its outputs."""
    monkeypatch.setattr(connectors, "_POLL_S", 0.0)
    monkeypatch.setattr(ConnectorRegistry, "_REGISTRY", {})
    monkeypatch.setattr(ConnectorRegistry, "_METADATA", {})
    monkeypatch.setenv("FLYTE_INTERNAL_EXECUTION_ID", "asking")
    monkeypatch.setenv("FLYTE_ATTEMPT_NUMBER", "2")
    (tmp_path / "task.pb").write_bytes(TaskTemplate(**TEMPLATE).SerializeToString())
    (tmp_path / "inputs.pb").write_bytes(LiteralMap(literals={"x": integer(7)}).SerializeToString())

    def ask(*some):
        for connector in some:
            ConnectorRegistry.register(connector)
        connectors.run([str(tmp_path / name) for name in ("task.pb", "inputs.pb", "out", "raw")])
        return tmp_path / "out"

    return ask


def error_in(folder):
    assert sorted(os.listdir(folder)) == ["error.pb"]
    return ErrorDocument.FromString((folder / "error.pb").read_bytes()).error


def test_a_job_is_followed_to_its_end_and_its_outputs_are_kept(ask, capsys):
    service = Service(
        Resource(phase=TaskExecution.RUNNING, message="thinking"),
        Resource(phase=TaskExecution.SUCCEEDED, outputs={"o0": 42}),
    )

    folder = ask(service)

    assert LiteralMap.FromString((folder / "outputs.pb").read_bytes()).literals["o0"] == integer(42)
    assert service.asked == [("ask", "asking", 2)]
    assert service.deleted == []
    assert capsys.readouterr().out == "thinking\n"


def test_a_job_without_outputs_leaves_nothing(ask):
    folder = ask(Service(Resource(phase=TaskExecution.SUCCEEDED)))

    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("phase", "kind", "message"),
    [
        (TaskExecution.FAILED, ContainerError.NON_RECOVERABLE, "failed to run the job: no idea"),
        (TaskExecution.RETRYABLE_FAILED, ContainerError.RECOVERABLE, "failed to run the job: no idea"),
        (TaskExecution.ABORTED, ContainerError.NON_RECOVERABLE, "failed to run the job with aborted phase."),
    ],
    ids=["failed", "failed, may be tried again", "aborted"],
)
def test_a_job_that_fails_leaves_its_words(ask, phase, kind, message):
    error = error_in(ask(Service(Resource(phase=phase, message="no idea"))))

    assert (error.code, error.kind, error.message) == ("TaskFailedWithError", kind, message)
    assert error.origin == ExecutionError.USER


def test_a_connector_may_answer_at_once(ask):
    folder = ask(Oracle())

    assert LiteralMap.FromString((folder / "outputs.pb").read_bytes()).literals["o0"] == integer(7)


def test_an_attempt_that_is_told_to_end_deletes_its_job(ask):
    class Endless(Service):
        def get(self, resource_meta, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            return Resource(phase=TaskExecution.RUNNING)

    service = Endless()
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what nobody catches must not end the tests

    try:
        with pytest.raises(SystemExit) as ended:
            ask(service)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ended.value.code == 143
    assert service.deleted == [Job(x=7)]


def test_without_a_connector_it_is_said_what_to_install(ask):
    error = error_in(ask())

    assert (error.code, error.kind) == ("BadTaskDefinition", ContainerError.NON_RECOVERABLE)
    assert "a task of type 'question' has no container to run" in error.message
