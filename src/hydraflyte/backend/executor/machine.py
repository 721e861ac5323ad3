"""What this machine has to share out: processors, memory, GPUs; found cheaply, or as its user declares it.

Rule: nothing is loaded to look for a GPU, neither a driver nor a framework: NVIDIA's driver shows its devices as
files. A declared amount is believed, so that a task written for a large cluster can be tried on a small machine.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hydraflyte.backend.executor.demands import LEAST_CPU_MILLIS, Demand
from hydraflyte.backend.quantities import read_quantity
from hydraflyte.errors import BackendStartError

DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
_NVIDIA_DEVICE = re.compile(r"nvidia(\d+)")
_DEVICE_ID = re.compile(r"[A-Za-z0-9:/._-]+")
_MOST_GPUS = 1024
_SMALLEST_MEMORY_BYTES = 16 * 1024 * 1024
_NO_LIMIT_BYTES = 1 << 60  # cgroup v1 writes a number as large as this for "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What attempts share.

    Attributes:
        cpu_millis: thousandths of a processor.
        gpus: ids of the devices, as ``CUDA_VISIBLE_DEVICES`` takes them.
    """

    cpu_millis: int
    memory_bytes: int
    gpus: tuple[str, ...] = ()

    @property
    def capacity(self) -> Demand:
        """The amounts alone."""
        return Demand(cpu_millis=self.cpu_millis, memory_bytes=self.memory_bytes, gpus=len(self.gpus))


def survey(
    environ: Mapping[str, str], *, cpus: str | None = None, memory: str | None = None, gpus: str | None = None
) -> Machine:
    """Return what the machine has, or what is declared.

    Args:
        cpus: a quantity, and so is ``memory``; ``gpus`` is a number or ids.
        environ: the backend's own; its ``CUDA_VISIBLE_DEVICES`` narrows down what is found.

    Raises:
        BackendStartError: a declared amount cannot be read, or is too small to run anything.
    """
    cpu_millis = int(_amount("--cpus", cpus) * 1000) if cpus is not None else 1000 * _count_processors()
    memory_bytes = int(_amount("--memory", memory)) if memory is not None else _find_memory()
    if cpu_millis < LEAST_CPU_MILLIS:
        raise _unusable("--cpus", cpus, "at least 0.1")
    if memory_bytes < _SMALLEST_MEMORY_BYTES:
        raise _unusable("--memory", memory, "at least 16Mi, such as 8Gi")
    devices = read_devices(gpus) if gpus is not None else find_devices(environ)
    return Machine(cpu_millis=cpu_millis, memory_bytes=memory_bytes, gpus=devices)


def read_devices(text: str) -> tuple[str, ...]:
    """Return the ids that ``--gpus`` declares: a number of devices, or ids with commas between (``"1,"`` is one id).

    >>> read_devices("2"), read_devices("1,"), read_devices("")
    (('0', '1'), ('1',), ())

    Raises:
        BackendStartError: it is neither, or an id occurs twice.
    """
    if text.isascii() and text.isdigit() and int(text) <= _MOST_GPUS:
        return tuple(str(index) for index in range(int(text)))
    ids = tuple(part.strip() for part in text.removesuffix(",").split(",")) if text else ()
    if any(not _DEVICE_ID.fullmatch(each) for each in ids) or len(set(ids)) != len(ids) or text.isdigit():
        raise _unusable("--gpus", text, "a number of devices such as 2, or different ids such as 0,3")
    return ids


def find_devices(environ: Mapping[str, str], dev: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the ids of the NVIDIA devices that the backend may use."""
    allowed = environ.get(DEVICES_VARIABLE)
    if allowed is not None:
        with contextlib.suppress(BackendStartError):
            ids = read_devices(f"{allowed},") if allowed.strip(", ") else ()
            return () if ids and ids[0].startswith("-") else ids  # CUDA reads -1 as "none"
        return ()
    with contextlib.suppress(OSError):
        found = (_NVIDIA_DEVICE.fullmatch(name) for name in os.listdir(dev))
        return tuple(str(number) for number in sorted(int(match[1]) for match in found if match))
    return ()


def _amount(option: str, text: str) -> Decimal:
    try:
        return read_quantity(text)
    except ValueError:
        raise _unusable(option, text, "a quantity such as 4, 500m or 8Gi") from None


def _unusable(option: str, text: str | None, wanted: str) -> BackendStartError:
    return BackendStartError(f"{option} {text} cannot be used.", hint=f"give {wanted}.")


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_memory() -> int:
    """Return the machine's memory, or less where a container's limit leaves less of it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_container_limits()])


def _container_limits() -> list[int]:
    """Return the limits of the control groups that this process is in, as a container sees them."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
            limit = int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
            if _SMALLEST_MEMORY_BYTES <= limit < _NO_LIMIT_BYTES:
                limits.append(limit)
    return limits
