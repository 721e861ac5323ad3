"""Where attempts run: the seam between the executor's book-keeping and processes or containers.

Rule: a workplace starts and ends what it is handed, and answers for it once through its listener; whether an attempt
may run, and what its files mean, is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.executor.demands import Needs
from hydraflyte.backend.executor.interpreters import AttemptListener
from hydraflyte.backend.executor.mounts import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """An attempt that is to run now.

    Attributes:
        key: its id, as its listener is told.
        directory: its own, made and empty but for ``work`` and ``tmp``.
        needs: what it may use.
        devices: ids of the GPUs that are its own for as long as it runs.
        mount: its secrets.
    """

    key: str
    spec: AttemptSpec
    directory: Path
    needs: Needs
    devices: tuple[str, ...]
    mount: Mount


class Runner(Protocol):
    """What keeps the attempts that were submitted to it."""

    def withdraw(self, attempt: str) -> bool:
        """Take back what was not yet begun; return whether it could be. It gets no answer."""
        ...

    def abort(self, attempt: str) -> None:
        """End it: TERM, grace, KILL. It is answered like one that ended by itself."""
        ...


class Workplace(Protocol):
    """Runs assignments. Implemented by processes of this machine and by containers."""

    async def open(self, listener: AttemptListener) -> None:
        """Get ready; nothing that an earlier backend left goes on running."""
        ...

    def refuse(self, spec: AttemptSpec) -> str | None:
        """Return why an attempt can never run here, or None. Nothing was made for it yet."""
        ...

    def has_begun(self, directory: Path) -> bool:
        """Tell whether an earlier backend began the attempt of this directory, so that it must not be begun again."""
        ...

    def submit(self, assignment: Assignment) -> Runner:
        """Start it as soon as possible; returns who has it in hand.

        Raises:
            HydraFlyteError: it can never be started, which is the task's own fault.
            OSError: its files cannot be made.
        """
        ...

    def settle(self, spec: AttemptSpec, directory: Path) -> None:
        """Bring what an attempt that has ended left behind to where Flyte keeps it. Doing it twice does no harm.

        Raises:
            OSError: something cannot be moved.
        """
        ...

    async def close(self) -> None:
        """Kill everything and return once nothing is left. What ran gets no answer any more."""
        ...
