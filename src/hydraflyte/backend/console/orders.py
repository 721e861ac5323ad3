"""What the buttons on an execution's page do: relaunch, recover, terminate.

One rule: the owner's cookie is not enough; the form must carry the token of its own page (decision 0165).
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from hydraflyte.backend.console.forms import FormTokens, InputFieldError, changed_inputs, read_form
from hydraflyte.backend.console.guard import OwnerCheck
from hydraflyte.backend.console.rendering import execution_address
from hydraflyte.backend.ports import ExecutionOrders, OrderRefusedError
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.listing import find_execution
from hydraflyte.identifiers import ExecutionId


class Orders:
    """Handler of ``POST …/executions/{name}/{verb}``."""

    def __init__(
        self, *, orders: ExecutionOrders, database: Database, blobs: Blobs, owner: OwnerCheck, tokens: FormTokens
    ) -> None:
        self._orders = orders
        self._database = database
        self._blobs = blobs
        self._owner = owner
        self._tokens = tokens

    async def order(self, request: Request) -> Response:
        """Do what the form asks for, and send the browser to the execution that came of it."""
        refusal = self._owner.refusal(request)
        if refusal is not None:
            return refusal
        path = request.path_params
        execution = ExecutionId(project=path["project"], domain=path["domain"], name=path["name"])
        form = await read_form(request)
        if not self._tokens.holds(execution_address(execution), form):
            return PlainTextResponse("This form is too old, or not the console's: load its page again.\n", 403)
        try:
            shown = await self._carry_out(path["verb"], execution, form)
        except (OrderRefusedError, InputFieldError) as error:
            return PlainTextResponse(f"{error}\n", status_code=409)
        return RedirectResponse(execution_address(shown), status_code=303)

    async def _carry_out(self, verb: str, execution: ExecutionId, form: dict[str, str]) -> ExecutionId:
        match verb:
            case "relaunch":
                return await self._relaunch(execution, form)
            case "recover":
                return await self._orders.recover(execution)
            case "terminate":
                await self._orders.terminate(execution)
                return execution
            case _:
                raise OrderRefusedError(f"nothing is known of {verb!r}")

    async def _relaunch(self, execution: ExecutionId, form: dict[str, str]) -> ExecutionId:
        row = await self._database.read(lambda connection: find_execution(connection, execution))
        if row is None:
            raise OrderRefusedError(f"there is no execution {execution}")
        try:
            inputs = self._blobs.read_literals(row.inputs_uri)
        except (OSError, DecodeError) as error:
            raise OrderRefusedError(f"the inputs of {execution} cannot be read: {error}") from error
        return await self._orders.relaunch(execution, changed_inputs(inputs, form))
