"""The keeper: a process that starts containers through a runtime's own program, and ends them with its backend.

Speaks as a zygote does: in come ``start`` and ``abort`` (id, grace_s), out go ``ready`` once, then for each start
``started`` (id, pid) and ``exited`` (id), or ``lost`` (id). The end of the control stream means: remove every container
of this home and leave. Rule: a container is begun once; what was begun is marked in its attempt's directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydraflyte.backend.executor.container_calls import Engine, Result, Vanished, kill
from hydraflyte.backend.executor.runtimes import last_line
from hydraflyte.backend.executor.zygote.frames import FrameError, FrameReader, Message, encode
from hydraflyte.backend.executor.zygote.system import count_oom_kills

BEGUN_FILE = "begun"
_ENV_FILE = "environment"
_SIGKILL_CODES = (137, 247)  # as a shell and as flytekit's fast-execute pass SIGKILL on
_LEAVE_PATIENCE_S = 8.0
_STUBBORN_AFTER_S = 2.0
_NO_REFERENCE = "invalid reference format"  # as docker and podman say it


class Order(NamedTuple):
    """What the backend asks for; the fields of a ``start`` message.

    Attributes:
        create: arguments of ``create`` after the file of variables.
        pull: options of ``pull``.
        env_lines: content of the file of variables.
        client_env: variables that ``create`` takes from the program's own environment.
        memory_limit: bytes, or None.
    """

    id: str
    node: str
    directory: str
    name: str
    image: str
    pull: list[str]
    create: list[str]
    env_lines: str
    client_env: dict[str, str]
    memory_limit: int | None


@dataclass
class Attempt:
    """A container under way."""

    order: Order
    task: asyncio.Task[None] | None = None
    is_aborting: bool = False
    is_running: bool = False  # ``start`` was called: only the runtime can end it


class Refused(Exception):
    """There will be no container; the attempt ends with this code of Flyte's."""

    def __init__(self, code: str, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_retryable = is_retryable


class Keeper(asyncio.Protocol):
    """Takes orders, one task an attempt."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._attempts: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pulls: dict[str, asyncio.Task[Result]] = {}  # by image; kept, for what was pulled is there
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # a socket's transport reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._obey(message)
        except FrameError:
            assert self._transport is not None
            self._transport.abort()

    def send(self, kind: str, **fields: object) -> None:
        """Tell the backend; one that is gone hears nothing."""
        if self._transport is not None:
            self._transport.write(encode({"type": kind, **fields}))

    async def leave(self) -> None:
        """End everything at once, without a record: nobody asked for their end, so they count as lost."""
        tasks = [*self._tasks, *self._pulls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        deadline = time.monotonic() + _LEAVE_PATIENCE_S
        while await self._engine.sweep() and time.monotonic() < deadline:
            pass  # a container that was just being made may turn up late

    def _obey(self, message: Message) -> None:
        if message["type"] == "start":
            order = Order(**{name: message[name] for name in Order._fields})
            attempt = self._attempts[order.id] = Attempt(order)
            attempt.task = self._begin(self._run(attempt))
        elif message["type"] == "abort" and message["id"] in self._attempts:
            self._abort(self._attempts[message["id"]], message["grace_s"])

    def _abort(self, attempt: Attempt, grace_s: float) -> None:
        if attempt.is_aborting:
            return
        attempt.is_aborting = True
        if attempt.is_running:
            self._begin(self._stop(attempt, grace_s))
        elif attempt.task is not None:
            attempt.task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _stop(self, attempt: Attempt, grace_s: float) -> None:
        """TERM, grace, KILL, as a pod is ended; one that does not obey even then is taken away."""
        name = attempt.order.name
        await self._engine.call("stop", "-t", str(math.ceil(grace_s)), name)
        await asyncio.sleep(_STUBBORN_AFTER_S)
        if attempt.is_running:
            await self._engine.remove(name)

    async def _run(self, attempt: Attempt) -> None:
        order = attempt.order
        directory = Path(order.directory)
        answer = "lost"
        try:
            if not (directory / BEGUN_FILE).exists():  # else by a keeper before this one
                record = await self._end_of(attempt, directory)
                _write(directory / "exit.json", record)
                answer = "exited"
        except Vanished:
            pass
        except Exception:  # the border of a foreign program: whatever it does must not leave an attempt without an end
            traceback.print_exc()
        del self._attempts[order.id]
        self.send(answer, id=order.id)
        await self._engine.remove(order.name)

    async def _end_of(self, attempt: Attempt, directory: Path) -> dict[str, Any]:
        """Return the record of the attempt's end, once it has ended.

        Raises:
            Vanished: nobody can say how it ended.
        """
        before = count_oom_kills()
        try:
            state = await self._live(attempt, directory)
        except Refused as refusal:
            _write(directory / "refused.json", _as_json(refusal))
            return _record(attempt, {}, has_oom_kills=False)
        except (Vanished, asyncio.CancelledError):
            if not attempt.is_aborting:
                raise
            return _record(attempt, {}, has_oom_kills=False)
        record = _record(attempt, state, has_oom_kills=count_oom_kills() != before)
        if record["oom_killed"] and attempt.order.memory_limit:
            _leave_notice(directory, attempt.order.memory_limit)
        return record

    async def _live(self, attempt: Attempt, directory: Path) -> Mapping[str, Any]:
        """Make the container, start it, and stay until it has ended; returns its last state.

        Raises:
            Refused: it cannot be made or started.
            Vanished: it was taken away.
        """
        name = attempt.order.name
        await self._provide_image(attempt.order)
        await self._create(attempt.order, directory)
        (directory / BEGUN_FILE).touch(mode=0o600)
        attempt.is_running = True
        process = await self._engine.attach(name, directory)
        self.send("started", id=attempt.order.id, pid=process.pid)
        try:
            await process.wait()
        finally:
            attempt.is_running = False
            kill(process)
        state = await self._engine.state(name)
        while state.get("Running"):  # the program was killed, or its service restarted
            await self._engine.call("wait", name)
            state = await self._engine.state(name)
        if state.get("Status") == "created" and not attempt.is_aborting:
            raise _cannot_start(attempt.order, directory)
        return state

    async def _provide_image(self, order: Order) -> None:
        """Have the image on this machine; those that want the same one wait for the same pull.

        Raises:
            Refused: it cannot be had.
        """
        if not order.image:
            raise _waiting(order, "InvalidImageName", "the task names no image", is_retryable=False)
        task = self._pulls.get(order.image)
        if task is None:
            task = self._pulls[order.image] = asyncio.get_running_loop().create_task(self._pull(order))
        result = await asyncio.shield(task)
        if result.code != 0:
            self._pulls.pop(order.image, None)
            if _NO_REFERENCE in result.problem:
                message = f'Failed to apply default image tag "{order.image}": {result.problem}'
                raise _waiting(order, "InvalidImageName", message, is_retryable=False)
            message = f'Back-off pulling image "{order.image}": {result.problem}'
            raise _waiting(order, "ImagePullBackOff", message, is_retryable=True)

    async def _pull(self, order: Order) -> Result:
        found = await self._engine.call("image", "inspect", "--format", "{{.Id}}", order.image)
        return found if found.code == 0 else await self._engine.call("pull", "--quiet", *order.pull, order.image)

    async def _create(self, order: Order, directory: Path) -> None:
        env_file = directory / _ENV_FILE
        _write_text(env_file, order.env_lines)
        try:
            result = await self._engine.call("create", "--env-file", str(env_file), *order.create, env=order.client_env)
        finally:
            env_file.unlink(missing_ok=True)
        if result.code != 0:
            self._pulls.pop(order.image, None)  # it may have been removed meanwhile
            raise _waiting(order, "CreateContainerError", result.problem, is_retryable=False)


def _waiting(order: Order, reason: str, message: str, *, is_retryable: bool) -> Refused:
    """Return the end of a container that a pod waits for in vain (flyteplugins, flytek8s/pod_helper.go)."""
    text = f"containers with unready status: [{order.node}]|{message}"
    return Refused(f"ContainersNotReady|{reason}", text, is_retryable=is_retryable)


def _cannot_start(order: Order, directory: Path) -> Refused:
    log = (directory / "stderr.log").read_bytes() or (directory / "stdout.log").read_bytes()
    text = f"[{order.node}] terminated with exit code (128). Reason [StartError]. Message: \n{last_line(log)}"
    return Refused("StartError", text, is_retryable=True)


def _record(attempt: Attempt, state: Mapping[str, Any], *, has_oom_kills: bool) -> dict[str, Any]:
    """Return how the container ended, as a zygote writes it.

    Not every runtime says that the kernel killed for memory: a process that died of SIGKILL unasked, below a limit,
    while the kernel killed something, counts too.
    """
    code = state.get("ExitCode", 137)
    may_be = attempt.order.memory_limit is not None and has_oom_kills and code in _SIGKILL_CODES
    is_oom = not attempt.is_aborting and (may_be or bool(state.get("OOMKilled") and code != 0))
    return {
        "exit_code": code,
        "signal": None,
        "oom_killed": is_oom,
        "aborted": attempt.is_aborting,
        "ended_at": time.time(),
    }


def _leave_notice(directory: Path, limit: int) -> None:
    text = (
        f"hydraflyte: killed: the container reached its memory limit of {limit / 1048576:.1f} MiB"
        " (the mem of its limits, or of its requests where it has no limits)\n"
    )
    with contextlib.suppress(OSError), (directory / "stderr.log").open("a", encoding="utf-8") as log:
        log.write(text)


def _as_json(refusal: Refused) -> dict[str, Any]:
    return {"message": str(refusal), "code": refusal.code, "is_retryable": refusal.is_retryable}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write it complete, or not at all."""
    with contextlib.suppress(OSError):  # the disk is full or the folder is gone: the backend sees no record
        _write_text(path.with_suffix(".new"), json.dumps(content))
        os.replace(path.with_suffix(".new"), path)


def _write_text(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)


async def serve(descriptor: int, engine: Engine) -> None:
    """Serve on the socket until its other end is closed."""
    await engine.sweep()  # what a keeper that was killed left
    control = socket.socket(fileno=descriptor)
    control.setblocking(False)
    control.set_inheritable(False)
    keeper = Keeper(engine)
    await asyncio.get_running_loop().create_connection(lambda: keeper, sock=control)
    keeper.send("ready", python=sys.version.split()[0])
    await keeper.gone
    await keeper.leave()


def main(arguments: Sequence[str]) -> None:
    """Serve with: the runtime's kind and program, the label of this home, the descriptor of the socket."""
    kind, program, label, descriptor = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    asyncio.run(serve(int(descriptor), Engine(program, is_podman=kind == "podman", label=label)))


if __name__ == "__main__":
    main(sys.argv[1:])
