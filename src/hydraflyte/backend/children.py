"""The child executions of launch-plan nodes: begun, awaited and aborted on the engine's behalf.

The one rule: every StartChild and AbortChild is answered by ChildEnded in the end, whatever goes wrong on the way,
and sending either twice changes nothing: a child is known by its name. It holds no rule of Flyte.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from hydraflyte.backend.engine.commands import AbortChild, StartChild
from hydraflyte.backend.engine.events import ChildEnded, ChildStarted
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.phases import ExecutionPhase
from hydraflyte.backend.ports import (
    ChildLauncher,
    ChildRefusedError,
    EventSink,
    ExecutionControl,
    ExecutionEndedError,
    ExecutionNotFoundError,
)
from hydraflyte.backend.store.executions import ExecutionStore
from hydraflyte.identifiers import ExecutionId, NodeId

_T = TypeVar("_T")

log = logging.getLogger(__name__)

_REFUSED = "RuntimeExecutionError"
_RETRY_AFTER_S = 1.0
_LOOK_AGAIN_AFTER_S = 3600.0


class Children:
    """Carries out the commands about children. All methods are for the asyncio thread of the loop."""

    def __init__(
        self, *, launcher: ChildLauncher, control: ExecutionControl, sink: EventSink, store: ExecutionStore
    ) -> None:
        self._launcher = launcher
        self._control = control
        self._sink = sink
        self._store = store
        self._starting: dict[ExecutionId, asyncio.Task[None]] = {}
        self._watching: dict[ExecutionId, asyncio.Task[None]] = {}
        self._aborting: set[asyncio.Task[None]] = set()

    def start(self, parent: ExecutionId, command: StartChild) -> None:
        """Begin the child and wait for its end; returns at once."""
        if command.child not in self._starting and command.child not in self._watching:
            self._run(self._starting, command.child, self._start(parent, command))

    def abort(self, parent: ExecutionId, command: AbortChild) -> None:
        """Have the child terminated and wait for its end; returns at once."""
        task = asyncio.create_task(self._abort(parent, command))
        self._aborting.add(task)
        task.add_done_callback(self._aborting.discard)

    async def close(self) -> None:
        """Stop waiting. The children go on, or are taken up again, by themselves."""
        tasks = [*self._starting.values(), *self._watching.values(), *self._aborting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, parent: ExecutionId, command: StartChild) -> None:
        try:
            await insisting(lambda: self._launcher.launch_child(parent, command))
        except ChildRefusedError as error:
            self._refuse(parent, command, ErrorKind.USER, str(error))
        except Exception as error:  # process border: a defect must end the node, not leave it waiting for ever
            log.exception("%s: the child %s of %s cannot be begun", parent, command.child, command.node)
            self._refuse(parent, command, ErrorKind.SYSTEM, f"{type(error).__name__}: {error}")
        else:
            self._sink.post(parent, ChildStarted(node=command.node))
            self._watch(parent, command.node, command.child)

    async def _abort(self, parent: ExecutionId, command: AbortChild) -> None:
        starting = self._starting.get(command.child)
        if starting is not None:
            await asyncio.wait({starting})
        try:
            await self._control.terminate(command.child, cause=command.reason, principal="")
        except ExecutionNotFoundError:
            self._sink.post(parent, ChildEnded(node=command.node))
        except ExecutionEndedError:
            self._watch(parent, command.node, command.child)  # it tells the end from the store
        else:
            self._watch(parent, command.node, command.child)

    def _watch(self, parent: ExecutionId, node: NodeId, child: ExecutionId) -> None:
        if child not in self._watching:
            self._run(self._watching, child, self._report_end(parent, node, child))

    async def _report_end(self, parent: ExecutionId, node: NodeId, child: ExecutionId) -> None:
        while not await self._control.wait_until_ended(child, timeout_s=_LOOK_AGAIN_AFTER_S):
            pass
        end = await insisting(lambda: self._store.find_end(child))
        if end is None or end.phase is ExecutionPhase.ABORTED:
            self._sink.post(parent, ChildEnded(node=node))
        else:
            self._sink.post(parent, ChildEnded(node=node, outputs=end.outputs, failure=end.failure))

    def _refuse(self, parent: ExecutionId, command: StartChild, kind: ErrorKind, message: str) -> None:
        failure = Failure(kind=kind, code=_REFUSED, message=message)
        self._sink.post(parent, ChildEnded(node=command.node, failure=failure))

    def _run(
        self,
        tasks: dict[ExecutionId, asyncio.Task[None]],
        child: ExecutionId,
        work: Coroutine[Any, Any, None],  # what it yields to the event loop is nobody's business
    ) -> None:
        task = asyncio.create_task(work)
        tasks[child] = task
        task.add_done_callback(lambda _: tasks.pop(child, None))


async def insisting(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Try until the disk and the database do not get in the way any more."""
    while True:
        try:
            return await attempt()
        except (OSError, sqlite3.OperationalError) as error:
            log.error("the store does not answer (%s); next try in %.0f s", error, _RETRY_AFTER_S)
            await asyncio.sleep(_RETRY_AFTER_S)
