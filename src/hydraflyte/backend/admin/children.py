"""Executions that launch-plan nodes begin: an order like any other, with what the parent hands down (section 3.7).

The one rule: a child goes through the same checks as an execution that a client asks for.
"""

from __future__ import annotations

import sqlite3

from flyteidl.admin.execution_pb2 import ExecutionMetadata, ExecutionSpec
from flyteidl.core.identifier_pb2 import Identifier, NodeExecutionIdentifier, ResourceType

from hydraflyte.backend.admin.convert import execution_identifier
from hydraflyte.backend.admin.executions import again
from hydraflyte.backend.admin.launching import Launcher, Order
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import AlreadyThere, Refusal
from hydraflyte.backend.engine.commands import StartChild
from hydraflyte.backend.ports import ChildRefusedError
from hydraflyte.backend.store import listing
from hydraflyte.backend.store.listing import ExecutionRow
from hydraflyte.identifiers import ExecutionId

_HANDED_DOWN = (
    "labels",
    "annotations",
    "security_context",
    "raw_output_data_config",
    "interruptible",
    "envs",
    "execution_cluster_label",
)


class ChildExecutions:
    """Implements ``ChildLauncher``."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._launcher = Launcher(parts)

    async def launch_child(self, parent: ExecutionId, command: StartChild) -> None:
        """See ``ChildLauncher.launch_child``."""
        node = NodeExecutionIdentifier(execution_id=execution_identifier(parent), node_id=command.node)
        if await self._is_there(command.child, node):
            return
        owner = await self._find(parent)
        assert owner is not None, "only an execution that is stored begins children"
        original = None if command.recovers is None else await self._find(command.recovers)
        order = Order(
            project=command.child.project,
            domain=command.child.domain,
            name=command.child.name,
            spec=_recovering_spec(original, node)
            if original is not None
            else _child_spec(ExecutionSpec.FromString(owner.spec), command.launch_plan, node),
            inputs=command.inputs,
        )
        try:
            await self._launcher.launch(order)
        except AlreadyThere as error:  # begun meanwhile, or as many of the launch plan run as may
            if not await self._is_there(command.child, node):
                raise ChildRefusedError(error.message) from error
        except Refusal as error:
            raise ChildRefusedError(error.message) from error

    async def _is_there(self, child: ExecutionId, node: NodeExecutionIdentifier) -> bool:
        """Tell whether the child exists.

        Raises:
            ChildRefusedError: the name is taken by an execution that this node did not begin.
        """
        row = await self._find(child)
        if row is None:
            return False
        if ExecutionSpec.FromString(row.spec).metadata.parent_node_execution != node:
            raise ChildRefusedError(f"the child's name {child} is taken by another execution")
        return True

    async def _find(self, execution: ExecutionId) -> ExecutionRow | None:
        def read(connection: sqlite3.Connection) -> ExecutionRow | None:
            return listing.find_execution(connection, execution)

        return await self._database.read(read)


def _recovering_spec(original: ExecutionRow, node: NodeExecutionIdentifier) -> ExecutionSpec:
    """Return the spec of a child that recovers another one: what its parent's original had handed down."""
    spec = again(original, ExecutionMetadata.RECOVERED)
    spec.metadata.parent_node_execution.CopyFrom(node)
    return spec


def _child_spec(parent: ExecutionSpec, launch_plan: Identifier, node: NodeExecutionIdentifier) -> ExecutionSpec:
    """Return the child's spec: the parent's settings, as they were resolved, go before the launch plan's own."""
    spec = ExecutionSpec(
        launch_plan=launch_plan,
        metadata=ExecutionMetadata(mode=ExecutionMetadata.CHILD_WORKFLOW, parent_node_execution=node),
        max_parallelism=parent.max_parallelism,
        overwrite_cache=parent.overwrite_cache,
    )
    spec.launch_plan.resource_type = ResourceType.LAUNCH_PLAN
    for name in _HANDED_DOWN:
        if parent.HasField(name):
            getattr(spec, name).CopyFrom(getattr(parent, name))
    return spec
