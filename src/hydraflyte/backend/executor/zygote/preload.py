"""Which libraries an attempt may find already imported, and whether a process that imported them may fork.

Rule: only installed libraries are ever imported ahead, never a module of the user: what the user's code computes when
it is imported (paths, variables, seeds, ids) is computed in each attempt, as in a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Mapping, Sequence

from . import command

Dates = tuple[int, ...]
Key = tuple[object, ...]  # attempts with equal keys may share a process that imported their libraries

_PER_ATTEMPT = frozenset(("FLYTE_ATTEMPT_NUMBER", "FLYTE_EXECUTION_URL", "FLYTE_K8S_ARRAY_INDEX", "TMPDIR"))
_PER_ATTEMPT_PREFIXES = ("FLYTE_INTERNAL_", "BATCH_JOB_ARRAY_INDEX_")
# Start threads or touch devices when they are imported or first used, or were never tried in a forked child.
_NOT_AHEAD_NAMES = "torch tensorflow jax jaxlib cupy cudf numba polars ray pyspark dask distributed mpi4py"
_NOT_AHEAD = frozenset(_NOT_AHEAD_NAMES.split())
# Start threads of their own at import and restart them after a fork (OpenBLAS, Arrow).
_REPAIRS_ITSELF = ("numpy", "pyarrow")


def key_of(argv: Sequence[str], env: Mapping[str, str]) -> Key | None:
    """Return what decides which libraries the attempt imports and how; None if it is better off without."""
    try:
        asked = command.parse(argv)
        if asked.bundle is None or not asked.is_flytekit:
            return None
        state = os.stat(asked.bundle)
    except (command.CommandError, OSError):  # reported by the attempt itself
        return None
    return (asked.bundle, state.st_mtime_ns, state.st_size, frozenset(shared_environment(env).items()))


def shared_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that all attempts of one key have in common."""
    return {
        name: text
        for name, text in env.items()
        if name not in _PER_ATTEMPT and not name.startswith(_PER_ATTEMPT_PREFIXES)
    }


def date_libraries() -> Dates:
    """Return when something was last installed or removed in each folder of installed libraries."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return tuple(os.stat(folder).st_mtime_ns for folder in sorted(folders) if os.path.isdir(folder))


def list_libraries(already: Iterable[str]) -> list[str]:
    """Return the modules of installed libraries that this process imported beyond ``already``, in import order."""
    known = set(already)
    folders = tuple(
        os.path.join(os.path.realpath(sysconfig.get_path(name)), "") for name in ("purelib", "platlib", "stdlib")
    )
    found: list[str] = []
    for name, module in list(sys.modules.items()):
        if name not in known:
            origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
            if module.__name__ == name and os.path.realpath(origin).startswith(folders):
                found.append(name)
    return found


def may_be_imported_ahead(names: Iterable[str]) -> bool:
    """Whether none of these modules belongs to a library that must not be forked."""
    return _NOT_AHEAD.isdisjoint(name.partition(".")[0] for name in names)


def import_ahead(names: Iterable[str], env: Mapping[str, str]) -> str | None:
    """Import the modules with ``env`` as environment; return why this process may not fork now, or None."""
    os.environ.clear()
    os.environ.update(env)
    sockets = _count_sockets()
    for name in names:
        with contextlib.suppress(Exception):  # the attempt imports it again and meets the same error
            importlib.import_module(name)
    if threading.active_count() > 1:
        return "a library started a thread"
    if _count_threads() > 1 and not any(name in sys.modules for name in _REPAIRS_ITSELF):
        return "a library started a native thread"
    if _count_sockets() > sockets:
        return "a library opened a connection"
    return None


def renew_libraries() -> None:
    """Give a forked child what a library would have drawn anew in a process of its own."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _count_threads() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return 1


def _count_sockets() -> int:
    count = 0
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count
