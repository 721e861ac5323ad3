"""What the launches of one sweep share: a sweeper may call the launcher many times, for one sweep.

Made with the launcher that Hydra makes, and as old as it. Also holds the sweep's folder, so that no other program
started in the same second writes into it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from hydraflyte.launcher.code.ignore import SWEEP_MARK
from hydraflyte.launcher.records.found import FoundSweep
from hydraflyte.launcher.records.manifest import Manifest
from hydraflyte.launcher.records.results import ResultRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWorkflow:
    """What the jobs run, or would run."""

    project: str
    domain: str
    workflow: str
    version: str


@dataclass(slots=True, kw_only=True)
class SweepSession:
    """One sweep, as the running program knows it.

    Attributes:
        sweep_id: letters and digits; the id of an earlier sweep if that is gone on with.
        found: what the backend had of that sweep; None if this one is new.
        claimed: numbers of that sweep's jobs that jobs of this program have; only if it may have changed.
        rows: job number in the sweep -> what became of it, those of earlier launches of this program included.
        failures: how many jobs have failed.
        registered: what its jobs run; None before that is known.
        stop_cause: why no further job is started; empty if they are.
    """

    sweep_id: str = field(default_factory=lambda: f"k{secrets.token_hex(4)}")
    found: FoundSweep | None = None
    claimed: set[int] = field(default_factory=set)
    manifest: Manifest | None = None
    registered: RegisteredWorkflow | None = None
    rows: dict[int, ResultRow] = field(default_factory=dict)
    failures: int = 0
    stop_cause: str = ""
    _folders: dict[Path, tuple[Path, int]] = field(default_factory=dict)

    def own_folder(self, wanted: Path) -> Path:
        """Return the wanted folder, or one beside it if another running program has taken that; makes it.

        It stays taken until this program ends.
        """
        if wanted not in self._folders:
            candidate, descriptor, count = wanted, _take(wanted), 0
            while descriptor is None:
                count += 1
                candidate = wanted.with_name(f"{wanted.name}_{count}")
                descriptor = _take(candidate)
            self._folders[wanted] = (candidate, descriptor)
        return self._folders[wanted][0]


def _take(folder: Path) -> int | None:
    """Lock the folder; returns the descriptor that holds the lock, or None if another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / SWEEP_MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
