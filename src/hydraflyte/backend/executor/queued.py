"""Queues attempts in front of what the machine has, hands them to a workplace, and reports how each ended.

Rule: each attempt handed to ``start`` gets exactly one end, from one place (``_end``). Knows the queue, directories
and results; how attempts are started and watched is the workplace's business.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptAborted, AttemptFailed, AttemptLost, AttemptStarted
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.executor import attempts, results
from hydraflyte.backend.executor.budget import BudgetQueue, DevicePool
from hydraflyte.backend.executor.demands import Demand, Needs, needs_of, shortfalls
from hydraflyte.backend.executor.machine import Machine
from hydraflyte.backend.executor.mounts import Mount, Mounts, unmount
from hydraflyte.backend.executor.results import AttemptEnd
from hydraflyte.backend.executor.waits import why_waiting
from hydraflyte.backend.executor.workplaces import Assignment, Runner, Workplace
from hydraflyte.backend.ports import EventSink, TaskExecutor
from hydraflyte.errors import HydraFlyteError
from hydraflyte.home import Home
from hydraflyte.identifiers import AttemptId
from hydraflyte.secret_files import SecretFiles

_log = logging.getLogger(__name__)
INSUFFICIENT_RESOURCES = "InsufficientResources"
_MOST_ENDED_REMEMBERED = 10_000  # a repeated start comes soon or never
_LARGE_RESULT_BYTES = 256 * 1024
_BEGUN_BEFORE = "the backend stopped while the attempt was running"


@dataclass(slots=True, kw_only=True)
class _Live:
    """An attempt without an end so far."""

    spec: AttemptSpec
    needs: Needs
    runner: Runner | None = None  # set once submitted
    mount: Mount | None = None  # its secrets, once submitted
    is_aborting: bool = False


class QueuedExecutor(TaskExecutor):
    """A TaskExecutor in front of a workplace.

    Args:
        home: the backend's home; attempts are kept in ``home/attempts``. Must not be used by another executor.
        machine: what the attempts share; one that asks for nothing counts as one processor.
        environ: the backend's own environment; a variable there may hold a secret.
        workplace: runs the attempts. Owned from here on.
    """

    def __init__(self, *, home: Path, machine: Machine, environ: Mapping[str, str], workplace: Workplace) -> None:
        self._home = home
        self._workplace = workplace
        self._queue: BudgetQueue[str, AttemptSpec] = BudgetQueue(capacity=machine.capacity)
        self._devices: DevicePool[str] = DevicePool(machine.gpus)
        secrets = SecretFiles(Home(root=home).secrets)
        self._mounts = Mounts(folder=home / "mounted-secrets", files=secrets, environ=environ)
        self._live: dict[str, _Live] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._sink: EventSink | None = None
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor-disk")
        self._reading: set[asyncio.Future[AttemptEnd]] = set()

    async def open(self, sink: EventSink) -> None:
        """See ``TaskExecutor.open``."""
        self._sink = sink
        self._mounts.clear()
        await self._workplace.open(self)

    def start(self, spec: AttemptSpec) -> None:
        """Queue the attempt. One that has ended before, even under an earlier backend, is not run again."""
        key = str(spec.attempt)
        if key in self._live or key in self._ended:
            return
        self._live[key] = _Live(spec=spec, needs=needs_of(spec))
        asyncio.get_running_loop().call_soon(self._admit, key)

    def abort(self, attempt: AttemptId, reason: str) -> None:
        """Kill the attempt or drop it from the queue."""
        _log.info("aborting %s: %s", attempt, reason)
        key = str(attempt)
        live = self._live.get(key)
        if live is not None:
            if live.is_aborting:
                return
            live.is_aborting = True
            if live.runner is not None and not live.runner.withdraw(key):
                live.runner.abort(key)
                return
        asyncio.get_running_loop().call_soon(self._end, key, AttemptAborted(attempt=attempt))

    def find_result(self, spec: AttemptSpec) -> AttemptEnd | None:
        """Return the end of an attempt from its files, or None."""
        try:
            directory = attempts.attempt_dir(self._home, spec.attempt)
        except attempts.UnsafeNameError:
            return None
        if not directory.exists():
            return None
        end = self._read_end(spec)
        return self._with_advice(spec, end) if isinstance(end, AttemptFailed) else end

    def why_waiting(self, attempt: AttemptId) -> str | None:
        """Return what the attempt waits for, in words; None if it does not wait for anything."""
        return why_waiting(self._queue, str(attempt))

    async def close(self) -> None:
        """Kill what runs; return once nothing is left."""
        self._sink = None
        await self._workplace.close()
        await asyncio.get_running_loop().run_in_executor(None, self._disk.shutdown)
        self._mounts.clear()

    def _admit(self, key: str) -> None:
        live = self._live.get(key)
        if live is None or live.is_aborting:
            return
        known = self.find_result(live.spec)
        if known is not None:
            self._end(key, known)
            return
        if self._has_begun(live.spec):
            self._end(key, AttemptLost(attempt=live.spec.attempt, reason=_BEGUN_BEFORE))
            return
        demand = live.needs.demand
        lacking = shortfalls(demand, self._queue.capacity)
        if lacking:
            self._end(key, _refuse(live.spec.attempt, lacking))
            return
        never_free = self._held_for_its_end(live)
        if not demand.fits(self._queue.capacity - sum(never_free.values(), Demand())):
            self._end(key, _refuse_below_waiting(live, never_free, self._queue.capacity))
            return
        self._queue.push(key, live.spec, demand)
        self._start_what_fits()

    def _held_for_its_end(self, live: _Live) -> dict[str, Demand]:
        """Return what eager attempts have that wait for this one, and so will have until it has ended.

        Of several eager attempts of one execution nobody knows which of them waits: none is counted then, nor any
        above it.
        """
        held: dict[str, Demand] = {}
        below = live.spec
        while below.eager_parent is not None:
            above = [
                key
                for key, other in self._live.items()
                if other.spec.task.metadata.is_eager and other.spec.attempt.execution == below.eager_parent
            ]
            if len(above) != 1 or above[0] in held or above[0] not in self._queue.running:
                break
            held[above[0]] = self._queue.running[above[0]]
            below = self._live[above[0]].spec
        return {key: demand for key, demand in held.items() if demand != Demand()}

    def _has_begun(self, spec: AttemptSpec) -> bool:
        try:
            return self._workplace.has_begun(attempts.attempt_dir(self._home, spec.attempt))
        except attempts.UnsafeNameError:
            return False  # refused when its directory is to be made

    def _free(self, key: str) -> None:
        self._queue.release(key)
        self._devices.release(key)

    def _start_what_fits(self) -> None:
        for key, spec in self._queue.take():
            problem = self._submit(key, spec)
            if problem is not None:
                self._end(key, problem)

    def _submit(self, key: str, spec: AttemptSpec) -> AttemptFailed | None:
        """Make the attempt's directory and hand it to the workplace; return why that is not possible, or None."""
        refusal = self._workplace.refuse(spec)
        if refusal is not None:
            return results.fail_for_good(spec.attempt, code=results.BAD_TASK_DEFINITION, message=refusal)
        live = self._live[key]
        try:
            directory = attempts.attempt_dir(self._home, spec.attempt)
            attempts.prepare(directory)
            attempts.prepare_checkpoint(spec.argv)
            live.mount = self._mounts.mount(spec.task)
            assignment = Assignment(
                key=key,
                spec=spec,
                directory=directory,
                needs=live.needs,
                devices=self._devices.take(key, live.needs.demand.gpus),
                mount=live.mount,
            )
            live.runner = self._workplace.submit(assignment)
        except HydraFlyteError as error:
            return results.fail_for_good(spec.attempt, code=results.BAD_TASK_DEFINITION, message=_in_one_text(error))
        except OSError as error:
            return _fail_by_system(spec.attempt, f"the attempt's directory cannot be made: {error}")
        return None

    def on_started(self, attempt: str) -> None:
        """It runs."""
        live = self._live.get(attempt)
        if live is not None:
            identity = live.spec.attempt
            self._post(AttemptStarted(attempt=identity, logs=attempts.log_links(identity)))

    def on_exited(self, attempt: str) -> None:
        """It runs no more: free its slot at once, then read what it left."""
        live = self._live.get(attempt)
        if live is None:
            return
        self._free(attempt)
        self._start_what_fits()
        read = functools.partial(self._read_certain_end, live.spec)
        if results.measure_results(live.spec) < _LARGE_RESULT_BYTES:
            self._end(attempt, read())
            return
        reading = asyncio.get_running_loop().run_in_executor(self._disk, read)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        reading.add_done_callback(lambda done: self._end(attempt, done.result()))

    def on_lost(self, attempt: str, reason: str) -> None:
        """What ran it is gone, and it with that."""
        live = self._live.get(attempt)
        if live is not None:
            self._end(attempt, AttemptLost(attempt=live.spec.attempt, reason=reason))

    def on_unstartable(self, attempt: str, reason: str) -> None:
        """What should run it does not stay alive."""
        live = self._live.get(attempt)
        if live is not None:
            failure = results.fail_for_good(live.spec.attempt, code=results.BAD_TASK_DEFINITION, message=reason)
            self._end(attempt, failure)

    def _read_certain_end(self, spec: AttemptSpec) -> AttemptEnd:
        directory = attempts.attempt_dir(self._home, spec.attempt)
        lost = AttemptLost(attempt=spec.attempt, reason=f"no record of its end could be written to {directory}")
        return self._read_end(spec) or lost

    def _read_end(self, spec: AttemptSpec) -> AttemptEnd | None:
        directory = attempts.attempt_dir(self._home, spec.attempt)
        try:
            self._workplace.settle(spec, directory)
            return results.read_end(spec, directory)
        except Exception:  # the border of the task process: whatever it left must not stop the backend
            _log.exception("cannot read how attempt %s ended", spec.attempt)
            return _fail_by_system(spec.attempt, f"the result in {spec.output_prefix} cannot be read")

    def _end(self, key: str, event: AttemptEnd) -> None:
        """Report the attempt's one end. An abort that was asked for wins over whatever else happened."""
        live = self._live.pop(key, None)
        if live is None and not isinstance(event, AttemptAborted):
            return
        self._queue.drop(key)
        self._free(key)
        if live is not None:
            self._remember_ended(key)
            self._discard_scratch(live)
            if isinstance(event, AttemptFailed):
                event = self._with_advice(live.spec, event)
            if live.is_aborting:
                event = AttemptAborted(attempt=live.spec.attempt)
        self._post(event)
        self._start_what_fits()

    def _remember_ended(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > _MOST_ENDED_REMEMBERED:
            self._ended.popitem(last=False)

    def _with_advice(self, spec: AttemptSpec, end: AttemptFailed) -> AttemptFailed:
        """Add to the message which secrets were not there: what flytekit says of them names no way to set them."""
        advice = [text for text in self._mounts.missing(spec.task) if text not in end.failure.message]
        if not advice:
            return end
        return replace(end, failure=replace(end.failure, message="\n".join((end.failure.message, *advice))))

    def _discard_scratch(self, live: _Live) -> None:
        if live.mount is not None:
            unmount(live.mount)
        if live.runner is not None and self._sink is not None:
            self._disk.submit(attempts.remove_scratch, attempts.attempt_dir(self._home, live.spec.attempt))

    def _post(self, event: AttemptStarted | AttemptEnd) -> None:
        if self._sink is not None:
            self._sink.post(event.attempt.execution, event)


def _refuse(attempt: AttemptId, lacking: Sequence[str]) -> AttemptFailed:
    message = (
        f"The task can never run on this machine: it asks for {' and '.join(lacking)}. Ask for less in its Resources"
        " (or with_overrides), or declare more: `hydraflyte down`, then `hydraflyte up` with --cpus, --memory, --gpus."
    )
    return results.fail_for_good(attempt, code=INSUFFICIENT_RESOURCES, message=message)


def _refuse_below_waiting(live: _Live, never_free: Mapping[str, Demand], capacity: Demand) -> AttemptFailed:
    holders = ", ".join(f"{key} has {demand.gpus}" for key, demand in never_free.items())
    message = (  # an eager task is told its first 74 characters
        "It can never run: the eager task above it keeps the GPU(s) it wants."
        f" It asks for {live.needs.demand.gpus} GPU(s), of {capacity.gpus}, of which {holders}. Ask for none in the"
        " eager task, which runs nothing itself, or declare more: `hydraflyte down`, then `hydraflyte up` with --gpus."
    )
    return results.fail_for_good(live.spec.attempt, code=INSUFFICIENT_RESOURCES, message=message)


def _fail_by_system(attempt: AttemptId, message: str) -> AttemptFailed:
    failure = Failure(kind=ErrorKind.SYSTEM, code="FailedToStart", message=message, is_retryable=True)
    return AttemptFailed(attempt=attempt, failure=failure)


def _in_one_text(error: HydraFlyteError) -> str:
    return f"{error.message}. {error.hint}"
