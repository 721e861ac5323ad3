"""Echo tasks: they give what they take, and need no process.

Follows flyteplugins (go/tasks/plugins/testing/echo.go). The one rule: everything else goes to the executor that runs
processes, unseen.
"""

from __future__ import annotations

from pathlib import Path

from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.backend.engine.attempts import ECHO_TASK_TYPE
from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptStarted, AttemptSucceeded, Event
from hydraflyte.backend.ports import EventSink, FuturesWritten, TaskExecutor
from hydraflyte.identifiers import AttemptId


class EchoingExecutor(TaskExecutor):
    """Answers echo tasks itself; see ``TaskExecutor``."""

    def __init__(self, processes: TaskExecutor) -> None:
        self._processes = processes
        self._sink: EventSink | None = None

    async def open(self, sink: EventSink) -> None:
        """See ``TaskExecutor.open``."""
        self._sink = sink
        await self._processes.open(sink)

    def start(self, spec: AttemptSpec) -> None:
        """See ``TaskExecutor.start``."""
        if spec.task.type != ECHO_TASK_TYPE:
            self._processes.start(spec)
            return
        assert self._sink is not None, "commands come after open"
        outputs = echo(spec.task, LiteralMap.FromString(Path(spec.inputs_uri).read_bytes()))
        folder = Path(spec.output_prefix)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "outputs.pb").write_bytes(outputs.SerializeToString(deterministic=True))
        self._sink.post(spec.attempt.execution, AttemptStarted(attempt=spec.attempt))
        self._sink.post(spec.attempt.execution, AttemptSucceeded(attempt=spec.attempt, outputs=outputs))

    def abort(self, attempt: AttemptId, reason: str) -> None:
        """See ``TaskExecutor.abort``; an echo task has ended before anybody can abort it."""
        self._processes.abort(attempt, reason)

    def find_result(self, spec: AttemptSpec) -> Event | FuturesWritten | None:
        """See ``TaskExecutor.find_result``."""
        return self._processes.find_result(spec)

    async def close(self) -> None:
        """See ``TaskExecutor.close``."""
        await self._processes.close()


def echo(task: TaskTemplate, inputs: LiteralMap) -> LiteralMap:
    """Return the inputs under the names of the outputs: in the order of their names."""
    pairs = zip(sorted(task.interface.inputs.variables), sorted(task.interface.outputs.variables), strict=False)
    return LiteralMap(literals={output: inputs.literals[name] for name, output in pairs if name in inputs.literals})
