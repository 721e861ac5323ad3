"""Runs attempts in forked children of warm interpreters, one for each Python that a task may name.

Rule: a task sees what a pod would show it, as far as a process of this machine can. How an interpreter is kept warm,
and how attempts are queued and judged, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.executor import environment
from hydraflyte.backend.executor.interpreters import AttemptListener, Patience, WarmInterpreter
from hydraflyte.backend.executor.machine import DEVICES_VARIABLE, Machine
from hydraflyte.backend.executor.queued import QueuedExecutor
from hydraflyte.backend.executor.raw_containers import refuse_as_process
from hydraflyte.backend.executor.workplaces import Assignment, Runner, Workplace
from hydraflyte.backend.executor.zygotes import Site, StartOrder

_log = logging.getLogger(__name__)


class WarmProcesses(Workplace):
    """A Workplace of this machine's interpreters.

    Args:
        folder: where zygotes live; it is made, and removed at the end.
        python: absolute path of the interpreter for attempts that name none.
        inherited: variables that every attempt sees; its own ones win over them.
        patience: how long to wait for what.
    """

    def __init__(self, *, folder: Path, python: str, inherited: Mapping[str, str], patience: Patience) -> None:
        self._python = python
        self._patience = patience
        self._inherited = dict(inherited)
        self._site = Site(folder=folder, environ=self._inherited)
        self._interpreters: dict[str, WarmInterpreter] = {}
        self._listener: AttemptListener | None = None

    async def open(self, listener: AttemptListener) -> None:
        """Get ready, and start to warm up the default interpreter; does not wait for it."""
        self._listener = listener
        shutil.rmtree(self._site.folder, ignore_errors=True)  # of a backend that was killed
        self._site.folder.mkdir(mode=0o700, parents=True)
        try:
            python = environment.choose_interpreter({}, default=self._python)
        except environment.InterpreterError as error:
            _log.warning("cannot warm up: %s", error)
            return
        self._interpreter(python).warm_up()

    def refuse(self, spec: AttemptSpec) -> str | None:
        """See ``Workplace.refuse``."""
        return refuse_as_process(spec.task, spec.argv)

    def has_begun(self, directory: Path) -> bool:
        """See ``Workplace.has_begun``: processes end with their backend, so none has."""
        return False

    def settle(self, spec: AttemptSpec, directory: Path) -> None:
        """See ``Workplace.settle``: processes write to where Flyte keeps it."""

    def submit(self, assignment: Assignment) -> Runner:
        """Hand it to its interpreter.

        Raises:
            InterpreterError: the one that it names cannot be used.
        """
        spec = assignment.spec
        python = environment.choose_interpreter(spec.env, default=self._python)
        tmp = assignment.directory / "tmp"
        order = StartOrder(
            attempt=assignment.key,
            directory=assignment.directory,
            argv=spec.argv,
            env=environment.build_environment(self._inherited, spec.env, python=python, tmp=tmp),
            private_env={**_device_env(assignment), **assignment.mount.env},
            memory_limit_bytes=assignment.needs.memory_limit_bytes,
        )
        interpreter = self._interpreter(python)
        interpreter.submit(assignment.key, order.as_message())
        return interpreter

    async def close(self) -> None:
        """See ``Workplace.close``."""
        await asyncio.gather(*(interpreter.close() for interpreter in self._interpreters.values()))
        self._interpreters.clear()
        shutil.rmtree(self._site.folder, ignore_errors=True)

    def zygote_pids(self) -> tuple[int, ...]:
        """Return the process ids of the warm interpreters that live now."""
        pids = (interpreter.zygote_pid for interpreter in self._interpreters.values())
        return tuple(pid for pid in pids if pid is not None)

    def _interpreter(self, python: str) -> WarmInterpreter:
        if python not in self._interpreters:
            assert self._listener is not None, "nothing is submitted before open"
            self._interpreters[python] = WarmInterpreter(
                python=python, site=self._site, patience=self._patience, listener=self._listener
            )
        return self._interpreters[python]


class ForkServerExecutor(QueuedExecutor):
    """A TaskExecutor on processes of this machine.

    Args:
        home: the backend's home; attempts are kept in ``home/attempts``. Must not be used by another executor.
        python: absolute path of the interpreter for attempts that name none.
        machine: what the attempts share; one that asks for nothing counts as one processor.
        environ: the backend's own environment; a small part of it is passed on to tasks.
        platform: variables that tell every attempt where this backend is; its own ones win over them.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        *,
        home: Path,
        python: str,
        machine: Machine,
        environ: Mapping[str, str],
        platform: Mapping[str, str] = MappingProxyType({}),
        patience: Patience = Patience(),  # noqa: B008 (an immutable value)
    ) -> None:
        inherited = {**environment.select_inherited(environ), **platform}
        self._processes = WarmProcesses(folder=home / "zygotes", python=python, inherited=inherited, patience=patience)
        super().__init__(home=home, machine=machine, environ=environ, workplace=self._processes)

    def zygote_pids(self) -> tuple[int, ...]:
        """Return the process ids of the warm interpreters that live now."""
        return self._processes.zygote_pids()


def _device_env(assignment: Assignment) -> dict[str, str]:
    """Return the variable that shows the attempt its GPUs; without any it sees none, as in a pod."""
    if assignment.devices:
        return {DEVICES_VARIABLE: ",".join(assignment.devices)}
    return {} if DEVICES_VARIABLE in assignment.spec.env else {DEVICES_VARIABLE: ""}
