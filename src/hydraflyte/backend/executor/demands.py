"""What an attempt takes of the machine: read from its task, with Flyte's rules for what is left out.

Follows flyteplugins' container_helper.go (AdjustOrDefaultResource): a request without a limit is the limit too, and
a limit without a request is the request. Pure; whether a demand can be met is the budget's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from flyteidl.core.tasks_pb2 import Resources, TaskTemplate
from google.protobuf.struct_pb2 import Struct

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.pods import primary_container, struct_of
from hydraflyte.backend.quantities import bytes_text, read_quantity

DEFAULT_CPU_MILLIS = 1000  # of a task that asks for none: as many of those run as there are processors
LEAST_CPU_MILLIS = 100  # what the smallest request counts: thousands of tasks with "1m" must not start at once
_CPU, _MEMORY, _GPU = "cpu", "memory", "gpu"
_NAMES: Mapping[int, str] = {Resources.CPU: _CPU, Resources.MEMORY: _MEMORY, Resources.GPU: _GPU}
_GPU_SUFFIX = "/gpu"  # nvidia.com/gpu, amd.com/gpu: a pod's names


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """An amount of each thing that is shared out: what an attempt takes, or what the machine has."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            cpu_millis=self.cpu_millis + other.cpu_millis,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpus=self.gpus + other.gpus,
        )

    def __sub__(self, other: Demand) -> Demand:
        return Demand(
            cpu_millis=self.cpu_millis - other.cpu_millis,
            memory_bytes=self.memory_bytes - other.memory_bytes,
            gpus=self.gpus - other.gpus,
        )

    def fits(self, room: Demand) -> bool:
        """Tell whether there is room for it."""
        return self.cpu_millis <= room.cpu_millis and self.memory_bytes <= room.memory_bytes and self.gpus <= room.gpus

    def capped(self, room: Demand) -> Demand:
        """Return the part of it that there is room for."""
        return Demand(
            cpu_millis=min(self.cpu_millis, room.cpu_millis),
            memory_bytes=min(self.memory_bytes, room.memory_bytes),
            gpus=min(self.gpus, room.gpus),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an attempt takes while it runs, and the most that its processes may use (None: no limit)."""

    demand: Demand
    memory_limit_bytes: int | None = None
    cpu_limit_millis: int | None = None


def needs_of(spec: AttemptSpec) -> Needs:
    """Return the needs of an attempt.

    Eager tasks wait for executions that need room themselves, so they take none but GPUs; else they could fill the
    machine with waiters and nothing would ever move again.
    """
    requests, limits = _declared(spec.task)
    defaults, most = spec.resource_defaults, spec.resource_limits
    request = {name: _amount(name, requests, limits, defaults, most) for name in (_CPU, _MEMORY, _GPU)}
    memory_limit = _amount(_MEMORY, limits, requests, defaults, most)
    cpu_limit = _amount(_CPU, limits, requests, defaults, most)
    cpu = request[_CPU]
    demand = Demand(
        cpu_millis=DEFAULT_CPU_MILLIS if not cpu else max(LEAST_CPU_MILLIS, _ceiling(cpu * 1000)),
        memory_bytes=_ceiling(request[_MEMORY]),
        gpus=_ceiling(request[_GPU]),
    )
    if spec.task.metadata.is_eager:
        demand = Demand(gpus=demand.gpus)
    return Needs(
        demand=demand,
        memory_limit_bytes=_ceiling(memory_limit) if memory_limit else None,
        cpu_limit_millis=_ceiling(cpu_limit * 1000) if cpu_limit else None,
    )


def shortfalls(demand: Demand, capacity: Demand) -> tuple[str, ...]:
    """Return what the machine will never have enough of, a text each: what is asked for and what there is."""
    found = []
    if demand.cpu_millis > capacity.cpu_millis:
        found.append(f"{_cpus_text(demand)} of CPU, of {_cpus_text(capacity)}")
    if demand.memory_bytes > capacity.memory_bytes:
        found.append(f"{bytes_text(demand.memory_bytes)} of memory, of {bytes_text(capacity.memory_bytes)}")
    if demand.gpus > capacity.gpus:
        found.append(f"{demand.gpus} GPU(s), of {capacity.gpus}")
    return tuple(found)


def _cpus_text(demand: Demand) -> str:
    return f"{demand.cpu_millis / 1000:g}"


def _amount(
    name: str, first: Mapping[str, str], second: Mapping[str, str], defaults: Mapping[str, str], most: Mapping[str, str]
) -> Decimal:
    """Return the first amount that is stated and not zero, cut down to ``most``; zero if none is."""
    amounts = (_read(texts.get(name, "")) for texts in (first, second, defaults))
    amount = next((amount for amount in amounts if amount), Decimal(0))
    cap = _read(most.get(name, ""))
    return min(amount, cap) if cap else amount


@lru_cache(maxsize=1024)
def _read(text: str) -> Decimal:
    """Return the number; zero for a text that is none: registration has refused those, pods are not looked into."""
    try:
        return max(Decimal(0), read_quantity(text))
    except ValueError:
        return Decimal(0)


def _ceiling(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


def _declared(task: TaskTemplate) -> tuple[dict[str, str], dict[str, str]]:
    """Return requests and limits by name, wherever the task keeps them."""
    if task.WhichOneof("target") == "k8s_pod":
        amounts = struct_of(primary_container(task), "resources")
        return _pod_amounts(struct_of(amounts, "requests")), _pod_amounts(struct_of(amounts, "limits"))
    resources = task.container.resources
    return (
        {_NAMES[entry.name]: entry.value for entry in resources.requests if entry.name in _NAMES},
        {_NAMES[entry.name]: entry.value for entry in resources.limits if entry.name in _NAMES},
    )


def _pod_amounts(amounts: Struct) -> dict[str, str]:
    found = {}
    for key, value in amounts.fields.items():
        name = _GPU if key.endswith(_GPU_SUFFIX) else key
        found[name] = value.string_value or f"{value.number_value:f}"
    return found
