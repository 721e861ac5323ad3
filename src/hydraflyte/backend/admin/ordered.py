"""What the owner orders on a page of the console: the same calls that clients make, and their refusals as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flyteidl.admin.execution_pb2 import ExecutionRecoverRequest, ExecutionRelaunchRequest, ExecutionTerminateRequest
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.admin import checks, convert
from hydraflyte.backend.admin.executions import ExecutionService
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import Refusal
from hydraflyte.backend.ports import ExecutionNotFoundError, OrderRefusedError
from hydraflyte.identifiers import ExecutionId

_CAUSE = "terminated in the console"


class OrderedExecutions:
    """Implements ``ExecutionOrders``."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._service = ExecutionService(parts)

    async def relaunch(self, execution: ExecutionId, changed: LiteralMap) -> ExecutionId:
        """See ``ExecutionOrders.relaunch``."""
        request = ExecutionRelaunchRequest(id=convert.execution_identifier(execution))
        with _refusals_as_text():
            return checks.execution_id((await self._service.relaunch(request, changed)).id)

    async def recover(self, execution: ExecutionId) -> ExecutionId:
        """See ``ExecutionOrders.recover``."""
        request = ExecutionRecoverRequest(id=convert.execution_identifier(execution))
        with _refusals_as_text():
            return checks.execution_id((await self._service.recover(request)).id)

    async def terminate(self, execution: ExecutionId) -> None:
        """See ``ExecutionOrders.terminate``."""
        request = ExecutionTerminateRequest(id=convert.execution_identifier(execution), cause=_CAUSE)
        with _refusals_as_text():
            await self._service.terminate(request)


@contextmanager
def _refusals_as_text() -> Iterator[None]:
    try:
        yield
    except Refusal as error:
        raise OrderRefusedError(error.message) from error
    except ExecutionNotFoundError as error:
        raise OrderRefusedError(f"there is no execution {error}") from error
