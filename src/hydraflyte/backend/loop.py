"""The loop: takes events, lets the engine step, stores what follows in one transaction, then acts on it.

The one rule: no command is carried out before the states it follows from are durable, and memory never runs
ahead of the database. A crash therefore loses nothing but commands not yet sent, and ``open`` derives those
again. The loop holds no rule of Flyte: those are the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal

from hydraflyte.backend.alarms import Alarms
from hydraflyte.backend.children import Children, insisting
from hydraflyte.backend.engine import machine
from hydraflyte.backend.engine.commands import (
    AbortAttempt,
    AbortChild,
    AttemptSpec,
    Command,
    KeepReservation,
    LookUpCache,
    OpenSignal,
    ReleaseReservation,
    StartAttempt,
    StartChild,
    WakeAt,
    WriteCache,
)
from hydraflyte.backend.engine.events import (
    AbortRequested,
    AttemptFailed,
    AttemptLost,
    AttemptProducedWorkflow,
    Event,
    ExecutionRequested,
    SignalSet,
    TimePassed,
)
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.engine.offloaded import NONE_READ, Contents, LiteralNeededError
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES, ExecutionPhase, TaskPhase
from hydraflyte.backend.engine.state import ExecutionState, Step
from hydraflyte.backend.lookups import Lookups
from hydraflyte.backend.ports import (
    ChildLauncher,
    ExecutionEndedError,
    ExecutionNotFoundError,
    FuturesWritten,
    NewExecution,
    TaskExecutor,
)
from hydraflyte.backend.store.executions import Change, ExecutionStore, OffloadedUnreadableError
from hydraflyte.clock import Clock
from hydraflyte.errors import CompilationError
from hydraflyte.identifiers import ExecutionId

log = logging.getLogger(__name__)

CompileFutures = Callable[[FuturesWritten], Awaitable[CompiledWorkflowClosure]]
DYNAMIC_BUILD_FAILED = "DynamicWorkflowBuildFailed"
_RETRY_STORING_AFTER_S = 1.0
_NEVER_PASSES = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.ELOOP}
)  # of a path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posted:
    """An event in the queue. ``stored`` is set once its consequences are durable."""

    execution: ExecutionId
    event: Event
    stored: asyncio.Future[None] | None = None


@dataclass(slots=True, kw_only=True)
class _Open:
    """An execution that has not ended: its stored state, and who waits for its end."""

    state: ExecutionState
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class ExecutionLoop:
    """Drives every open execution. Implements ``EventSink`` and ``ExecutionControl``.

    All methods must be called on the asyncio thread that called :meth:`open`.

    Args:
        ended: called when the end of an execution is durable.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        executor: TaskExecutor,
        clock: Clock,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._ended = ended
        self._executor = executor
        self._clock = clock
        self._open: dict[ExecutionId, _Open] = {}
        self._posted: asyncio.Queue[_Posted] = asyncio.Queue()
        self._alarms = Alarms(
            clock=clock,
            is_open=self._open.__contains__,
            wake=lambda execution: self.post(execution, TimePassed()),
        )
        self._lookups = Lookups(store=store, sink=self, is_open=self._open.__contains__)
        self._compiling: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._children: Children | None = None  # set by open: what begins them needs this loop
        self._compile_futures: CompileFutures | None = None  # set by open

    async def open(self, *, children: ChildLauncher, compile_futures: CompileFutures) -> None:
        """Take up every execution that had not ended when the last process stopped, then begin to drive.

        Args:
            children: begins the executions of launch-plan nodes; it may use this loop.
            compile_futures: compiles what dynamic tasks produce; raises CompilationError.
        """
        self._compile_futures = compile_futures
        self._children = Children(launcher=children, control=self, sink=self, store=self._store)
        await self._executor.open(self)
        for state in await self._store.load_open(self._clock.now()):
            self._open[state.plan.execution_id] = _Open(state=state)
            self._resume(state)
        self._driver = asyncio.create_task(self._drive(), name="execution-loop")

    async def close(self) -> None:
        """Stop driving and stop the executor. Open executions are taken up again by the next :meth:`open`."""
        if self._driver is not None:
            self._driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._driver
        self._alarms.close()
        self._lookups.close()
        for task in self._compiling:
            task.cancel()
        if self._children is not None:
            await self._children.close()
        await self._executor.close()

    def post(self, execution: ExecutionId, event: Event | FuturesWritten) -> None:
        """See ``EventSink.post``."""
        if isinstance(event, FuturesWritten):
            task = asyncio.create_task(self._compile(event))
            self._compiling.add(task)
            task.add_done_callback(self._compiling.discard)
            return
        self._posted.put_nowait(_Posted(execution=execution, event=event))

    async def create(self, new: NewExecution) -> None:
        """See ``ExecutionControl.create``."""
        state = machine.begin(new.plan, self._clock.now())
        await self._store.insert(new, state)
        self._open[state.plan.execution_id] = _Open(state=state)
        self.post(state.plan.execution_id, ExecutionRequested())

    async def terminate(self, execution: ExecutionId, *, cause: str, principal: str) -> None:
        """See ``ExecutionControl.terminate``."""
        if execution not in self._open:
            if await self._store.exists(execution):
                raise ExecutionEndedError(str(execution))
            raise ExecutionNotFoundError(str(execution))
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        event = AbortRequested(cause=cause, principal=principal)
        self._posted.put_nowait(_Posted(execution=execution, event=event, stored=stored))
        await stored

    async def wait_until_ended(self, execution: ExecutionId, *, timeout_s: float) -> bool:
        """See ``ExecutionControl.wait_until_ended``."""
        entry = self._open.get(execution)
        if entry is None:
            return True
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.waiters.append(ended)
        try:
            await asyncio.wait_for(ended, timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            if ended in entry.waiters:
                entry.waiters.remove(ended)
        return True

    def note_signal(self, execution: ExecutionId, signal_id: str, value: Literal) -> None:
        """See ``ExecutionControl.note_signal``."""
        self.post(execution, SignalSet(signal_id=signal_id, value=value))

    def _resume(self, state: ExecutionState) -> None:
        """Settle what was under way: attempts that ended meanwhile, attempts that are lost, commands not sent."""
        execution = state.plan.execution_id
        if state.phase is ExecutionPhase.UNDEFINED:
            self.post(execution, ExecutionRequested())
        for spec in machine.open_attempts(state):
            if state.nodes[spec.attempt.node].attempts[-1].phase is TaskPhase.RUNNING:
                lost = AttemptLost(attempt=spec.attempt, reason="the backend stopped while the attempt was running")
                self.post(execution, self._executor.find_result(spec) or lost)
        self._carry_out(execution, machine.recover(state, self._clock.now()))

    async def _drive(self) -> None:
        while True:
            batch = [await self._posted.get()]
            while not self._posted.empty():
                batch.append(self._posted.get_nowait())
            try:
                await self._handle(batch)
            except Exception as error:  # process border: one bad batch must not stop every other execution
                log.exception("events of %s could not be handled", {str(item.execution) for item in batch})
                _settle(batch, error)

    async def _handle(self, batch: Sequence[_Posted]) -> None:
        now = self._clock.now()
        changes: dict[ExecutionId, Change] = {}
        for item in batch:
            entry = self._open.get(item.execution)
            if entry is None:
                continue  # a late word about an execution that has ended
            before = changes.get(item.execution) or Change.of(entry.state)
            changes[item.execution] = before.followed_by(await self._step(before.state, item.event, now), item.event)
            await asyncio.sleep(0)  # a batch may hold hundreds: whoever calls meanwhile is answered between two steps
        for change in await self._store_all(list(changes.values()), now):
            execution = change.state.plan.execution_id
            self._open[execution].state = change.state
            self._carry_out(execution, change.commands)
            if change.state.phase in TERMINAL_EXECUTION_PHASES:
                self._forget(execution)
        _settle(batch, None)

    async def _step(self, state: ExecutionState, event: Event, now: datetime) -> Step:
        contents = NONE_READ
        try:
            while True:
                try:
                    return machine.step(state, event, now, contents)
                except LiteralNeededError as needed:
                    contents = await self._with_content(contents, needed.uri)
        except Exception as error:  # process border: a defect of the engine ends this execution, not the backend
            log.exception("%s: the engine failed on %s", state.plan.execution_id, type(event).__name__)
            return machine.give_up(state, f"hydraflyte's engine failed: {type(error).__name__}: {error}", now)

    async def _with_content(self, contents: Contents, uri: str) -> Contents:
        try:
            return contents.with_content(uri, await self._store.read_offloaded(uri))
        except OffloadedUnreadableError as error:
            return contents.without_content(uri, str(error))

    async def _store_all(self, changes: Sequence[Change], now: datetime) -> Sequence[Change]:
        """Store the changes; returns what was stored.

        What can never be stored (a file that no file system takes) ends the one execution that it belongs to, and
        nobody else waits for it.
        """
        try:
            await self._save(changes, now)
        except Exception as error:  # process border: an execution that cannot be stored must not stop the others
            if len(changes) > 1:
                return [stored for change in changes for stored in await self._store_all([change], now)]
            return [await self._store_as_failed(changes[0], error, now)]
        return changes

    async def _save(self, changes: Sequence[Change], now: datetime) -> None:
        """Store the changes; on a full disk or the like, keep trying: nothing may be lost or run ahead."""
        while True:
            try:
                return await self._store.save(changes, now)
            except (OSError, sqlite3.Error) as error:
                if not _may_pass(error):
                    raise
                log.error("states cannot be stored (%s); next try in %.0f s", error, _RETRY_STORING_AFTER_S)
                await asyncio.sleep(_RETRY_STORING_AFTER_S)

    async def _store_as_failed(self, change: Change, error: Exception, now: datetime) -> Change:
        """Store the end of an execution whose files cannot be stored; raises if that cannot be stored either."""
        log.exception("%s: its state cannot be stored", change.state.plan.execution_id, exc_info=error)
        step = machine.give_up(change.state, f"its state cannot be stored: {type(error).__name__}: {error}", now)
        touched = change.touched | step.touched
        failed = Change(state=step.state, commands=step.commands, touched=touched, events=change.events)
        await self._save([failed], now)
        return failed

    def _forget(self, execution: ExecutionId) -> None:
        self._lookups.forget(execution)
        for waiter in self._open.pop(execution).waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._ended()

    def _carry_out(self, execution: ExecutionId, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case StartAttempt():
                    self._hand_over(execution, command.spec)
                case AbortAttempt():
                    self._executor.abort(command.attempt, command.reason)
                case WakeAt():
                    self._alarms.set(execution, command.at)
                case LookUpCache():
                    self._lookups.look_up_cache(execution, command)
                case WriteCache():
                    pass  # stored in the same transaction as the state it follows from
                case KeepReservation():
                    self._lookups.keep(execution, command)
                case ReleaseReservation():
                    self._lookups.release(execution, command)
                case StartChild():
                    assert self._children is not None, "commands come after open"
                    self._children.start(execution, command)
                case AbortChild():
                    assert self._children is not None, "commands come after open"
                    self._children.abort(execution, command)
                case OpenSignal():  # stored like WriteCache; a value may have been there before the gate
                    self._lookups.look_up_signal(execution, command)

    def _hand_over(self, execution: ExecutionId, spec: AttemptSpec) -> None:
        try:
            self._executor.start(spec)
        except Exception as error:  # process border: what follows for others must still be carried out
            log.exception("%s cannot be handed over", spec.attempt)
            reason = f"it cannot be handed over to be run: {type(error).__name__}: {error}"
            self.post(execution, AttemptLost(attempt=spec.attempt, reason=reason))

    async def _compile(self, written: FuturesWritten) -> None:
        """Have a dynamic task's workflow compiled, and tell the engine; what cannot be compiled fails for good."""
        assert self._compile_futures is not None, "attempts end after open"
        compile_futures = self._compile_futures
        end: AttemptProducedWorkflow | AttemptFailed
        try:
            workflow = await insisting(lambda: compile_futures(written))
        except CompilationError as error:
            failure = Failure(kind=ErrorKind.USER, code=DYNAMIC_BUILD_FAILED, message=error.message)
            end = AttemptFailed(attempt=written.attempt, failure=failure, has_deck=written.has_deck)
        except Exception as error:  # process border: a defect must end the node, not leave it waiting for ever
            log.exception("%s: what it produced cannot be compiled", written.attempt)
            reason = f"{type(error).__name__}: {error}"
            failure = Failure(kind=ErrorKind.SYSTEM, code=DYNAMIC_BUILD_FAILED, message=reason)
            end = AttemptFailed(attempt=written.attempt, failure=failure, has_deck=written.has_deck)
        else:
            end = AttemptProducedWorkflow(attempt=written.attempt, workflow=workflow, has_deck=written.has_deck)
        self.post(written.attempt.execution, end)


def _settle(batch: Iterable[_Posted], error: Exception | None) -> None:
    """Tell those who wait for their events how it went."""
    for item in batch:
        if item.stored is None or item.stored.done():
            continue
        if error is None:
            item.stored.set_result(None)
        else:
            item.stored.set_exception(error)


def _may_pass(error: Exception) -> bool:
    """Tell whether storing again may help: space, descriptors and locks come back, an impossible name does not."""
    if isinstance(error, OSError):
        return error.errno not in _NEVER_PASSES
    return isinstance(error, sqlite3.OperationalError)
