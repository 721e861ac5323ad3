"""Echo tasks end at once with what they take."""

import asyncio

from tests.unit.backend.workflows import INT, literals, task

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptStarted, AttemptSucceeded
from hydraflyte.backend.executor.echo import EchoingExecutor
from hydraflyte.backend.executor.scripted import ScriptedExecutor
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

ATTEMPT = AttemptId(execution=ExecutionId(project="p", domain="d", name="e1"), node=NodeId("n0"), attempt=0)


class Recorder:
    def __init__(self):
        self.events = []

    def post(self, execution, event):
        self.events.append(event)


def test_an_echo_task_gives_its_inputs_in_the_order_of_their_names(tmp_path):
    template = task("echo", inputs={"b": INT, "a": INT}, outputs={"o0": INT, "o1": INT})
    template.type = "echo"
    inputs = tmp_path / "inputs.pb"
    inputs.write_bytes(literals(a=1, b=2).SerializeToString())
    spec = AttemptSpec(
        attempt=ATTEMPT,
        argv=(),
        env={},
        task=template,
        inputs_uri=str(inputs),
        output_prefix=str(tmp_path / "0"),
        raw_output_prefix=str(tmp_path / "raw"),
        bundle_uri="",
    )
    sink = Recorder()
    executor = EchoingExecutor(ScriptedExecutor({}))

    asyncio.run(executor.open(sink))
    executor.start(spec)

    outputs = literals(o0=1, o1=2)
    assert sink.events == [AttemptStarted(attempt=ATTEMPT), AttemptSucceeded(attempt=ATTEMPT, outputs=outputs)]
    assert (tmp_path / "0" / "outputs.pb").read_bytes() == outputs.SerializeToString(deterministic=True)
