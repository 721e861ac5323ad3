"""Launch plans: create, get, list, and the one state that can change (sections 1.5 and 1.6 of Flyte's semantics)."""

from __future__ import annotations

from datetime import datetime

from flyteidl.admin.common_pb2 import (
    NamedEntityIdentifierList,
    NamedEntityIdentifierListRequest,
    ObjectGetRequest,
    ResourceListRequest,
)
from flyteidl.admin.launch_plan_pb2 import (
    ACTIVE,
    INACTIVE,
    ActiveLaunchPlanListRequest,
    ActiveLaunchPlanRequest,
    LaunchPlan,
    LaunchPlanClosure,
    LaunchPlanCreateRequest,
    LaunchPlanCreateResponse,
    LaunchPlanList,
    LaunchPlanSpec,
    LaunchPlanUpdateRequest,
    LaunchPlanUpdateResponse,
)
from flyteidl.core.interface_pb2 import TypedInterface

from hydraflyte.backend.admin import checks, convert, entities
from hydraflyte.backend.admin.columns import Entity
from hydraflyte.backend.admin.digests import digest
from hydraflyte.backend.admin.filters import list_selection
from hydraflyte.backend.admin.notifications import check_notifications
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.plan_inputs import expected_inputs
from hydraflyte.backend.admin.refusals import InvalidRequest, Missing
from hydraflyte.backend.admin.schedules import check_activation, check_schedule, schedule_type
from hydraflyte.backend.store import registry
from hydraflyte.backend.store.registry import EntityId, EntityKind, LaunchPlanRow, WorkflowRow


class LaunchPlanService:
    """Handlers of the launch plan RPCs."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._schedules_changed = parts.schedules_changed

    async def create(self, request: LaunchPlanCreateRequest) -> LaunchPlanCreateResponse:
        """CreateLaunchPlan: always INACTIVE."""
        entity = checks.entity_id(request.id, EntityKind.LAUNCH_PLAN)
        workflow_id = checks.entity_id(request.spec.workflow_id, EntityKind.WORKFLOW)
        workflow = await self._database.read(lambda connection: registry.find_workflow(connection, workflow_id))
        if workflow is None:
            raise Missing(f"missing entity of type WORKFLOW with identifier {workflow_id}")
        row = launch_plan_row(entity, request.spec, workflow, now=self._clock.now())
        stored = await self._database.read(lambda connection: registry.find_launch_plan(connection, entity))
        if stored is None:
            stored = await self._database.write(
                lambda connection: entities.store(
                    connection, entity, lambda inner: registry.insert_launch_plan(inner, row)
                )
            )
        if stored is not None:
            kept, offered = LaunchPlanSpec.FromString(stored.spec), LaunchPlanSpec.FromString(row.spec)
            raise entities.exists(entity, stored.digest == row.digest, kept, offered)
        return LaunchPlanCreateResponse()

    async def get(self, request: ObjectGetRequest) -> LaunchPlan:
        """GetLaunchPlan."""
        entity = checks.implied_entity_id(request.id, EntityKind.LAUNCH_PLAN)
        return convert.launch_plan(await self._find(entity))

    async def get_active(self, request: ActiveLaunchPlanRequest) -> LaunchPlan:
        """GetActiveLaunchPlan: the active version of a name."""
        project, domain, name = checks.place(request.id, with_name=True)
        row = await self._database.read(
            lambda connection: registry.find_active_launch_plan(connection, project, domain, name)
        )
        if row is None:
            raise Missing(f"no active launch plan could be found: {project}:{domain}:{name}")
        return convert.launch_plan(row)

    async def list(self, request: ResourceListRequest) -> LaunchPlanList:
        """ListLaunchPlans."""
        selection = entities.list_versions(EntityKind.LAUNCH_PLAN, request)
        rows = await self._database.read(lambda connection: registry.list_launch_plans(connection, selection))
        return LaunchPlanList(
            launch_plans=[convert.launch_plan(row) for row in rows], token=entities.token(selection, len(rows))
        )

    async def list_active(self, request: ActiveLaunchPlanListRequest) -> LaunchPlanList:
        """ListActiveLaunchPlans: the active versions in a project and domain."""
        project, domain = checks.required(request.project, "project"), checks.required(request.domain, "domain")
        paged = ResourceListRequest(limit=request.limit, token=request.token, sort_by=request.sort_by)
        selection = list_selection(Entity.LAUNCH_PLAN, paged)
        selection = selection.having("launch_plans.project = ? AND launch_plans.domain = ?", project, domain)
        selection = selection.having("launch_plans.state = 1")
        rows = await self._database.read(lambda connection: registry.list_launch_plans(connection, selection))
        return LaunchPlanList(
            launch_plans=[convert.launch_plan(row) for row in rows], token=entities.token(selection, len(rows))
        )

    async def list_ids(self, request: NamedEntityIdentifierListRequest) -> NamedEntityIdentifierList:
        """ListLaunchPlanIds."""
        return await entities.list_ids(self._database, EntityKind.LAUNCH_PLAN, request)

    async def update(self, request: LaunchPlanUpdateRequest) -> LaunchPlanUpdateResponse:
        """UpdateLaunchPlan: activate (and so deactivate the active version of that name) or deactivate."""
        if request.state not in (ACTIVE, INACTIVE):
            raise InvalidRequest(f"state {request.state} is unknown")
        if request.state == ACTIVE:  # flyteadmin only logs another resource type then (launch_plan_manager.go)
            entity = checks.entity_id(request.id, EntityKind.LAUNCH_PLAN, strict=False)
        else:
            entity = checks.implied_entity_id(request.id, EntityKind.LAUNCH_PLAN)
        row = await self._find(entity)
        if request.state == ACTIVE:
            check_activation(LaunchPlanSpec.FromString(row.spec))
        now = self._clock.now()
        await self._database.write(
            lambda connection: registry.set_launch_plan_state(connection, row, request.state, now)
        )
        self._schedules_changed()
        return LaunchPlanUpdateResponse()

    async def _find(self, entity: EntityId) -> LaunchPlanRow:
        row = await self._database.read(lambda connection: registry.find_launch_plan(connection, entity))
        if row is None:
            raise Missing(f"missing entity of type LAUNCH_PLAN with identifier {entity}")
        return row


def launch_plan_row(entity: EntityId, spec: LaunchPlanSpec, workflow: WorkflowRow, *, now: datetime) -> LaunchPlanRow:
    """Return the row of a new launch plan, its spec normalised as flyteadmin does.

    Raises:
        InvalidRequest: inputs or schedule do not fit the workflow.
    """
    interface = TypedInterface.FromString(workflow.interface)
    expected = expected_inputs(interface.inputs, spec.default_inputs, spec.fixed_inputs)
    check_schedule(spec, expected)
    check_notifications(spec.entity_metadata.notifications)
    normalised = LaunchPlanSpec()
    normalised.CopyFrom(spec)
    normalised.default_inputs.CopyFrom(expected)
    closure = LaunchPlanClosure(expected_inputs=expected, expected_outputs=interface.outputs)
    return LaunchPlanRow(
        row_id=0,
        id=entity,
        workflow_row_id=workflow.row_id,
        state=INACTIVE,
        digest=digest(entity.to_message(), normalised, closure),
        schedule_type=schedule_type(spec),
        launch_condition_type=spec.entity_metadata.launch_conditions.type_url,
        spec=normalised.SerializeToString(deterministic=True),
        expected_inputs=expected.SerializeToString(deterministic=True),
        expected_outputs=interface.outputs.SerializeToString(deterministic=True),
        created_at=now,
        updated_at=now,
    )
