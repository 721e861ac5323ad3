"""What Linux offers a parent that must not leave children behind; on other systems each call does nothing.

Rule: never raises. A kernel that refuses one of these costs a safety net, not a task.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
CAN_MEASURE_MEMORY = os.path.exists("/proc/self/status")
_KNOWS_CHILDREN = os.path.exists("/proc/thread-self/children")  # a kernel may be built without
TASK_OOM_SCORE = 500  # the kernel takes a task before it takes the backend


def _load_prctl() -> Callable[..., int] | None:
    """Return libc's prctl, looked up before any fork so that a child needs no allocation of the loader."""
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(OSError, AttributeError):
        function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
        return function
    return None


_prctl = _load_prctl()


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends. Ends it at once if ``parent`` has ended already."""
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def offer_to_oom_killer() -> None:
    """Raise the out-of-memory score of this process."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(TASK_OOM_SCORE))


def count_oom_kills() -> int | None:
    """Return how many processes of this machine the kernel has killed for memory, or None where it does not say."""
    with contextlib.suppress(OSError, ValueError), open("/proc/vmstat", "rb") as file:
        for line in file:
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return None


def find_children(parent: int) -> list[int]:
    """Return the ids of the living children of ``parent``, from /proc."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit() and _parent_of(name) == parent:
                children.append(int(name))
    return children


def find_descendants(root: int) -> list[int]:
    """Return ``root`` and all its living descendants, from /proc."""
    found = [root]
    for pid in found:  # grows while it is walked through
        found += _children_of(pid) if _KNOWS_CHILDREN else find_children(pid)
    return found


def _children_of(pid: int) -> list[int]:
    """Return the children of all threads of a process; a few microseconds, where a look through /proc takes longer."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
    return children


def _parent_of(pid: str) -> int | None:
    """Return the parent's id of a living process; None if it is gone or a zombie."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        state, parent = file.read().rpartition(b")")[2].split()[:2]
        return None if state == b"Z" else int(parent)
    return None
