"""Calls of a container runtime's own program, docker's or podman's.

Rule: whoever stops waiting for a call kills it; what the program says is read, and never guessed from its exit status
alone. Knows containers by name, and nothing of attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydraflyte.backend.executor.runtimes import last_line


class Result(NamedTuple):
    """How a call of the runtime's program ended."""

    code: int
    output: str
    problem: str  # the last line of its standard error


class Vanished(Exception):
    """The container is gone, or its runtime is: nobody can say how it ended."""


class Engine:
    """The runtime's program.

    Args:
        program: its path.
        is_podman: which dialect it speaks.
        label: what marks the containers of this home.
    """

    def __init__(self, program: str, *, is_podman: bool, label: str) -> None:
        self._program = program
        self._is_podman = is_podman
        self._label = label

    async def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Run it to its end; it is killed when the caller is cancelled."""
        pipe = asyncio.subprocess.PIPE
        process = await self._execute(arguments, env=env, stdout=pipe, stderr=pipe)
        try:
            out, err = await process.communicate()
        finally:
            kill(process)
        assert process.returncode is not None
        return Result(process.returncode, out.decode(errors="replace").strip(), last_line(err))

    async def attach(self, name: str, directory: Path) -> asyncio.subprocess.Process:
        """Start the container; what it prints goes to the attempt's log files, without a copy elsewhere."""
        with (directory / "stdout.log").open("ab") as out, (directory / "stderr.log").open("ab") as err:
            return await self._execute(("start", "--attach", name), env=None, stdout=out, stderr=err)

    async def _execute(
        self, arguments: Sequence[str], *, env: Mapping[str, str] | None, stdout: Any, stderr: Any
    ) -> asyncio.subprocess.Process:  # Any: a file or one of subprocess's numbers
        return await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **env} if env else None,
            start_new_session=True,
        )

    async def state(self, name: str) -> Mapping[str, Any]:
        """Return what the runtime knows of the container, its ``State``.

        Raises:
            Vanished: it knows nothing, or is gone itself.
        """
        result = await self.call("inspect", "--type", "container", "--format", "{{json .State}}", name)
        with contextlib.suppress(ValueError):
            found = json.loads(result.output) if result.code == 0 else None
            if isinstance(found, dict):
                return found
        raise Vanished

    async def remove(self, *names: str) -> None:
        """Kill and remove containers, at once; there is no harm if they are gone."""
        at_once = ("--time", "0") if self._is_podman else ()
        await self.call("rm", "--force", "--volumes", *at_once, *names)

    async def sweep(self) -> bool:
        """Kill and remove every container of this home; return whether there was any."""
        found = await self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={self._label}")
        names = found.output.split()
        if names:
            await self.remove(*names)
        return bool(names)


def kill(process: asyncio.subprocess.Process | None) -> None:
    if process is not None and process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
