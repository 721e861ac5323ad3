"""Runs attempts in forked children of warm interpreters, and reports how each ended.

Rule: each attempt handed to ``start`` gets exactly one end, from one place (``_end``). Knows the queue, directories
and results; how processes are started and watched is the interpreters' business.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptAborted, AttemptFailed, AttemptLost, AttemptStarted
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.executor import attempts, environment, results
from hydraflyte.backend.executor.interpreters import Patience, WarmInterpreter
from hydraflyte.backend.executor.results import AttemptEnd
from hydraflyte.backend.executor.slots import SlotQueue
from hydraflyte.backend.executor.zygotes import Site, start_message
from hydraflyte.backend.ports import EventSink
from hydraflyte.errors import HydraFlyteError
from hydraflyte.identifiers import AttemptId

_log = logging.getLogger(__name__)
_MOST_ENDED_REMEMBERED = 10_000  # a repeated start comes soon or never
_LARGE_RESULT_BYTES = 256 * 1024


@dataclass(slots=True, kw_only=True)
class _Live:
    """An attempt without an end so far."""

    spec: AttemptSpec
    interpreter: WarmInterpreter | None = None  # set once submitted
    is_aborting: bool = False


class ForkServerExecutor:
    """A TaskExecutor on processes of this machine.

    Args:
        home: the backend's home; attempts are kept in ``home/attempts``. Must not be used by another executor.
        python: absolute path of the interpreter for attempts that name none.
        slots: most attempts that run at once (eager ones, which wait for others, are not counted).
        environ: the backend's own environment; a small part of it is passed on to tasks.
        platform: variables that tell every attempt where this backend is; its own ones win over them.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        *,
        home: Path,
        python: str,
        slots: int,
        environ: Mapping[str, str],
        platform: Mapping[str, str] = MappingProxyType({}),
        patience: Patience = Patience(),  # noqa: B008 (an immutable value)
    ) -> None:
        self._home = home
        self._python = python
        self._patience = patience
        self._inherited = {**environment.select_inherited(environ), **platform}
        self._site = Site(folder=home / "zygotes", environ=self._inherited)
        self._queue: SlotQueue[str, AttemptSpec] = SlotQueue(slots=slots)
        self._live: dict[str, _Live] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._interpreters: dict[str, WarmInterpreter] = {}
        self._sink: EventSink | None = None
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor-disk")
        self._reading: set[asyncio.Future[AttemptEnd]] = set()

    async def open(self, sink: EventSink) -> None:
        """Get ready, and start to warm up the default interpreter; does not wait for it."""
        self._sink = sink
        shutil.rmtree(self._site.folder, ignore_errors=True)  # of a backend that was killed
        self._site.folder.mkdir(mode=0o700, parents=True)
        try:
            python = environment.choose_interpreter({}, default=self._python)
        except environment.InterpreterError as error:
            _log.warning("cannot warm up: %s", error)
            return
        self._interpreter(python).warm_up()

    def start(self, spec: AttemptSpec) -> None:
        """Queue the attempt. One that has ended before, even under an earlier backend, is not run again."""
        key = str(spec.attempt)
        if key in self._live or key in self._ended:
            return
        self._live[key] = _Live(spec=spec)
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
            if live.interpreter is not None and not live.interpreter.withdraw(key):
                live.interpreter.abort(key)
                return
        asyncio.get_running_loop().call_soon(self._end, key, AttemptAborted(attempt=attempt))

    def find_result(self, spec: AttemptSpec) -> AttemptEnd | None:
        """Return the end of an attempt from its files, or None."""
        try:
            return results.read_end(spec, attempts.attempt_dir(self._home, spec.attempt))
        except attempts.UnsafeNameError:
            return None

    async def close(self) -> None:
        """Kill what runs; return once no process is left."""
        self._sink = None
        await asyncio.gather(*(interpreter.close() for interpreter in self._interpreters.values()))
        self._interpreters.clear()
        await asyncio.get_running_loop().run_in_executor(None, self._disk.shutdown)
        shutil.rmtree(self._site.folder, ignore_errors=True)

    def zygote_pids(self) -> tuple[int, ...]:
        """Return the process ids of the warm interpreters that live now."""
        pids = (interpreter.zygote_pid for interpreter in self._interpreters.values())
        return tuple(pid for pid in pids if pid is not None)

    def _interpreter(self, python: str) -> WarmInterpreter:
        if python not in self._interpreters:
            self._interpreters[python] = WarmInterpreter(
                python=python, site=self._site, patience=self._patience, listener=self
            )
        return self._interpreters[python]

    def _admit(self, key: str) -> None:
        live = self._live.get(key)
        if live is None or live.is_aborting:
            return
        known = self.find_result(live.spec)
        if known is not None:
            self._end(key, known)
            return
        self._queue.push(key, live.spec, needs_slot=not live.spec.task.metadata.is_eager)
        self._fill_slots()

    def _fill_slots(self) -> None:
        for key, spec in self._queue.take():
            problem = self._submit(key, spec)
            if problem is not None:
                self._end(key, problem)

    def _submit(self, key: str, spec: AttemptSpec) -> AttemptFailed | None:
        """Make the attempt's directory and hand it to its interpreter; return why that is not possible, or None."""
        try:
            python = environment.choose_interpreter(spec.env, default=self._python)
            directory = attempts.attempt_dir(self._home, spec.attempt)
            attempts.prepare(directory)
        except (environment.InterpreterError, attempts.UnsafeNameError) as error:
            return results.fail_for_good(spec.attempt, code=results.BAD_TASK_DEFINITION, message=_in_one_text(error))
        except OSError as error:
            return _fail_by_system(spec.attempt, f"the attempt's directory cannot be made: {error}")
        env = environment.build_environment(self._inherited, spec.env, python=python, tmp=directory / "tmp")
        interpreter = self._interpreter(python)
        self._live[key].interpreter = interpreter
        interpreter.submit(key, start_message(attempt=key, directory=directory, argv=spec.argv, env=env))
        return None

    def on_started(self, attempt: str) -> None:
        """The process exists."""
        live = self._live.get(attempt)
        if live is not None:
            identity = live.spec.attempt
            self._post(AttemptStarted(attempt=identity, logs=attempts.log_links(identity)))

    def on_exited(self, attempt: str) -> None:
        """The process is gone: free its slot at once, then read what it left."""
        live = self._live.get(attempt)
        if live is None:
            return
        self._queue.release(attempt)
        self._fill_slots()
        read = functools.partial(self._read_end, live.spec)
        if results.measure_results(live.spec) < _LARGE_RESULT_BYTES:
            self._end(attempt, read())
            return
        reading = asyncio.get_running_loop().run_in_executor(self._disk, read)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        reading.add_done_callback(lambda done: self._end(attempt, done.result()))

    def on_lost(self, attempt: str, reason: str) -> None:
        """The process died with its zygote."""
        live = self._live.get(attempt)
        if live is not None:
            self._end(attempt, AttemptLost(attempt=live.spec.attempt, reason=reason))

    def on_unstartable(self, attempt: str, reason: str) -> None:
        """No zygote of this interpreter lives long enough."""
        live = self._live.get(attempt)
        if live is not None:
            failure = results.fail_for_good(live.spec.attempt, code=results.BAD_TASK_DEFINITION, message=reason)
            self._end(attempt, failure)

    def _read_end(self, spec: AttemptSpec) -> AttemptEnd:
        directory = attempts.attempt_dir(self._home, spec.attempt)
        try:
            end = results.read_end(spec, directory)
        except Exception:  # the border of the task process: whatever it left must not stop the backend
            _log.exception("cannot read how attempt %s ended", spec.attempt)
            return _fail_by_system(spec.attempt, f"the result in {spec.output_prefix} cannot be read")
        return end or AttemptLost(attempt=spec.attempt, reason=f"no record of its end could be written to {directory}")

    def _end(self, key: str, event: AttemptEnd) -> None:
        """Report the attempt's one end. An abort that was asked for wins over whatever else happened."""
        live = self._live.pop(key, None)
        if live is None and not isinstance(event, AttemptAborted):
            return
        self._queue.drop(key)
        self._queue.release(key)
        if live is not None:
            self._remember_ended(key)
            self._discard_scratch(live)
            if live.is_aborting:
                event = AttemptAborted(attempt=live.spec.attempt)
        self._post(event)
        self._fill_slots()

    def _remember_ended(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > _MOST_ENDED_REMEMBERED:
            self._ended.popitem(last=False)

    def _discard_scratch(self, live: _Live) -> None:
        if live.interpreter is not None and self._sink is not None:
            self._disk.submit(attempts.remove_scratch, attempts.attempt_dir(self._home, live.spec.attempt))

    def _post(self, event: AttemptStarted | AttemptEnd) -> None:
        if self._sink is not None:
            self._sink.post(event.attempt.execution, event)


def _fail_by_system(attempt: AttemptId, message: str) -> AttemptFailed:
    failure = Failure(kind=ErrorKind.SYSTEM, code="FailedToStart", message=message, is_retryable=True)
    return AttemptFailed(attempt=attempt, failure=failure)


def _in_one_text(error: HydraFlyteError) -> str:
    return f"{error.message}. {error.hint}"
