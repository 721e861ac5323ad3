"""Requests and limits of a registration: whether they parse, and how they compare. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from flyteidl.core.tasks_pb2 import Resources

from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.backend.quantities import read_quantity


def check_resources(resources: Resources) -> None:
    """Check requests and limits as flyteadmin does, apart from the platform's own limits.

    A laptop has none: a task that asks for more than Flyte's default 1 Gi must not be refused here.

    Raises:
        InvalidRequest: a quantity does not parse, a request exceeds its limit, or a GPU is not a whole number.
    """
    requests, limits = _read_all(resources.requests, "request"), _read_all(resources.limits, "limit")
    for name, request in requests.items():
        if name in limits and request > limits[name]:
            kind = Resources.ResourceName.Name(name)
            raise InvalidRequest(f"the request for {kind} ({request}) is greater than its limit ({limits[name]})")


def _read_all(entries: Iterable[Resources.ResourceEntry], what: str) -> dict[Resources.ResourceName, Decimal]:
    read = {}
    for entry in entries:
        if entry.name not in Resources.ResourceName.values():
            raise InvalidRequest(f"resource {entry.name} of a {what} is unknown")
        kind = Resources.ResourceName.Name(entry.name)
        try:
            read[entry.name] = quantity = read_quantity(entry.value)
        except ValueError:
            raise InvalidRequest(f"{entry.value!r} is not a valid {what} for {kind}") from None
        if entry.name == Resources.GPU and quantity != quantity.to_integral_value():
            raise InvalidRequest(f"the {what} for GPU must be a whole number, not {entry.value!r}")
    return read
