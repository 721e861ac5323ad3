"""Every seam of the backend on one page. A Protocol stands here only where two implementations exist."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import VariableMap
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from hydraflyte.backend.engine.commands import AttemptSpec, StartChild
from hydraflyte.backend.engine.events import Event
from hydraflyte.backend.engine.state import ExecutionPlan
from hydraflyte.identifiers import AttemptId, ExecutionId


@dataclass(frozen=True, slots=True, kw_only=True)
class FuturesWritten:
    """The process of a dynamic task ended well, and what it left is a workflow to run (``futures.pb``).

    No event of the engine: the loop has the workflow compiled and tells the engine the result.

    Attributes:
        outputs: of the task, and so of the workflow.
    """

    attempt: AttemptId
    futures: DynamicJobSpec
    outputs: VariableMap
    has_deck: bool = False


class EventSink(Protocol):
    """Where the executor reports. Implemented by the loop, and by a recording one in tests."""

    def post(self, execution: ExecutionId, event: Event | FuturesWritten) -> None:
        """Hand over an event; returns at once. Called from the server's asyncio thread only."""
        ...


class TaskExecutor(Protocol):
    """Runs attempts as processes. Implemented by the fork server, and by a scripted one in tests.

    What must hold, for each attempt handed to ``start``: at most one AttemptStarted, then exactly one of
    AttemptSucceeded, FuturesWritten, AttemptFailed, AttemptLost or AttemptAborted reaches the sink, also when
    processes die.
    """

    async def open(self, sink: EventSink) -> None:
        """Get ready to start attempts; events go to ``sink`` from now on."""
        ...

    def start(self, spec: AttemptSpec) -> None:
        """Queue the attempt; returns at once. Starting the same attempt id twice runs it once."""
        ...

    def abort(self, attempt: AttemptId, reason: str) -> None:
        """Kill the attempt (TERM, grace, KILL to its process group) or drop it from the queue; returns at once.

        An unknown attempt is answered with AttemptAborted too.
        """
        ...

    def find_result(self, spec: AttemptSpec) -> Event | FuturesWritten | None:
        """Return the end of an attempt that an earlier server process started, from the files it left.

        None means that nothing durable says how it ended: it is lost.
        """
        ...

    async def close(self) -> None:
        """Kill what runs and stop. Attempts still running are not reported."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """A validated CreateExecution, ready to be stored and begun.

    Attributes:
        plan: what the engine needs; its inputs are the merged ones.
        spec: the ExecutionSpec to store and show (principal, system metadata, resolved settings filled in).
        user_inputs: the inputs as the caller sent them; relaunch and recover start from these.
        launch_plan: id of the launch plan, or of the task for a single-task execution (``spec.launch_plan``).
        workflow: id of the workflow that runs (``.flytegen.…`` for a single task).
        tags: (key, value) pairs to be found by: labels as they are, tags with an empty value.
        most_open: how many executions of the launch plan's name may be open, this one included; 0 for any number.
    """

    plan: ExecutionPlan
    spec: ExecutionSpec
    user_inputs: LiteralMap
    launch_plan: Identifier
    workflow: Identifier
    tags: tuple[tuple[str, str], ...] = ()
    most_open: int = 0


class ExecutionControl(Protocol):
    """What the API may ask of the loop. Implemented by the loop, and by a scripted one in the API's tests."""

    async def create(self, new: NewExecution) -> None:
        """Store the execution and begin it; returns once it is durable.

        Raises:
            ExecutionExistsError: the name is taken in this project and domain; nothing was changed.
            TooManyOpenError: as many executions of the launch plan are open as may be; nothing was changed.
        """
        ...

    async def terminate(self, execution: ExecutionId, *, cause: str, principal: str) -> None:
        """Ask for termination; returns once the phase ABORTING is durable.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            ExecutionEndedError: it is in a terminal phase already.
        """
        ...

    async def wait_until_ended(self, execution: ExecutionId, *, timeout_s: float) -> bool:
        """Return True when the execution is in a terminal phase (at once if it is), False after ``timeout_s``."""
        ...

    def note_signal(self, execution: ExecutionId, signal_id: str, value: Literal) -> None:
        """Tell the execution's gates that the signal was set, and stored; returns at once."""
        ...


class ChildLauncher(Protocol):
    """Begins the executions that launch-plan nodes ask for. Implemented by the API, and by a scripted one in tests."""

    async def launch_child(self, parent: ExecutionId, command: StartChild) -> None:
        """Begin the child through the same checks as any execution; returns once it is durable, or if it exists.

        Raises:
            ChildRefusedError: it cannot be begun, now or later.
        """
        ...


class ScheduledLauncher(Protocol):
    """Begins the executions of schedules. Implemented by the API, and by a scripted one in the scheduler's tests."""

    async def launch_scheduled(self, launch_plan: Identifier, scheduled_at: datetime) -> str:
        """Begin the execution of this fire time through the same checks as any other; returns its name.

        Returns once it is durable, or if it was begun before: one fire time has one execution.

        Raises:
            FireRefusedError: no execution begins for it, now or later.
        """
        ...


class ExecutionOrders(Protocol):
    """What the owner may order on a page of the console. Implemented by the API.

    Raises:
        OrderRefusedError: by each, if it cannot be done; nothing was changed.
    """

    async def relaunch(self, execution: ExecutionId, changed: LiteralMap) -> ExecutionId:
        """Begin all of the execution again, with some of its inputs changed; returns the new one."""
        ...

    async def recover(self, execution: ExecutionId) -> ExecutionId:
        """Begin again what did not end well; returns the new execution."""
        ...

    async def terminate(self, execution: ExecutionId) -> None:
        """End the execution."""
        ...


class OrderRefusedError(Exception):
    """The owner's order cannot be carried out; the text says why."""


class FireRefusedError(Exception):
    """A fire time begins no execution; the text says why."""


class ChildRefusedError(Exception):
    """The child execution cannot be begun; the text says why."""


class ExecutionExistsError(Exception):
    """An execution of this name exists already."""


class TooManyOpenError(Exception):
    """The launch plan's limit of open executions is reached."""


class ExecutionNotFoundError(Exception):
    """There is no execution of this name."""


class ExecutionEndedError(Exception):
    """The execution has ended; it cannot be changed any more."""
