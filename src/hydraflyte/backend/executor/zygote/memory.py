"""How much memory an attempt and its descendants use, and which attempts use more than they may.

Rule: looks as often as needed and no more. The cheap sum (resident and swapped pages, each process for itself)
counts shared pages several times, so it only raises the suspicion; the proportional sum, which costs the kernel a
walk through the page tables, decides. Linux only: elsewhere nothing is ever found.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from . import system

INTERVAL_S = 0.1
_LARGEST_SHARE = 0.05  # of the time may go into looking: a proportional sum of 1 GiB takes 60 ms


class MemoryWatch:
    """The attempts that have a memory limit, by pid."""

    def __init__(self) -> None:
        self._limits: dict[int, int] = {}
        self._look_at: dict[int, float] = {}

    def add(self, pid: int, limit: int | None) -> None:
        """Watch a process that was started just now; None means no limit."""
        if limit is not None and system.CAN_MEASURE_MEMORY:
            self._limits[pid] = limit
            self._look_at[pid] = time.monotonic() + INTERVAL_S

    def remove(self, pid: int) -> None:
        """Stop watching a process that was reaped, or is being killed."""
        self._limits.pop(pid, None)
        self._look_at.pop(pid, None)

    @property
    def deadline(self) -> float | None:
        """When to look next (monotonic), or None while nothing is watched."""
        return min(self._look_at.values(), default=None)

    def find_excess(self) -> Iterator[tuple[int, int, int]]:
        """Yield (pid, bytes used, limit) of each attempt that uses more than it may, of those whose time has come."""
        for pid, limit in list(self._limits.items()):
            begun_at = time.monotonic()
            if begun_at < self._look_at[pid]:
                continue
            used = measure(pid, limit)
            now = time.monotonic()
            self._look_at[pid] = now + max(INTERVAL_S, (now - begun_at) / _LARGEST_SHARE)
            if used > limit:
                yield pid, used, limit


def measure(root: int, limit: int) -> int:
    """Return the bytes that ``root`` and its descendants use; exact only as far as it matters for ``limit``."""
    processes = system.find_descendants(root)
    resident = sum(_field(pid, "status", (b"VmRSS:", b"VmSwap:")) or 0 for pid in processes)
    if resident <= limit:
        return resident
    return sum(_share(pid) for pid in processes)


def _share(pid: int) -> int:
    """Return the process's proportional share; its resident pages where the kernel does not say."""
    share = _field(pid, "smaps_rollup", (b"Pss:", b"SwapPss:"))
    return (_field(pid, "status", (b"VmRSS:", b"VmSwap:")) or 0) if share is None else share


def _field(pid: int, name: str, wanted: tuple[bytes, ...]) -> int | None:
    """Return the sum of the named fields (in kB) as bytes, or None if the process is gone or they are not there."""
    found = None
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/{name}", "rb") as file:
        for line in file:
            if line.startswith(wanted):
                found = (found or 0) + int(line.split()[1]) * 1024
    return found


def excess_text(used: int, limit: int) -> str:
    """Return the line that tells the user what happened."""
    return (
        f"hydraflyte: killed: the task's processes used {used / 1048576:.1f} MiB of memory, its limit is"
        f" {limit / 1048576:.1f} MiB (the mem of its limits, or of its requests where it has no limits)\n"
    )


def leave_notice(directory: str, text: str) -> None:
    """Put the line at the end of what the attempt printed; it has no other reader than people."""
    with contextlib.suppress(OSError), open(os.path.join(directory, "stderr.log"), "a", encoding="utf-8") as file:
        file.write(text)
