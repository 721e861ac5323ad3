"""Schedules of launch plans through the API: what the scheduler makes of them, against a real control plane."""

import asyncio
import doctest
import time
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from flyteidl.admin.common_pb2 import ResourceListRequest, Sort
from flyteidl.admin.execution_pb2 import ExecutionMetadata, WorkflowExecutionGetDataRequest, WorkflowExecutionGetRequest
from flyteidl.admin.launch_plan_pb2 import ACTIVE, INACTIVE, LaunchPlanUpdateRequest
from flyteidl.admin.project_pb2 import Project
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.core.types_pb2 import SimpleType

from hydraflyte.backend.admin import scheduled as scheduled_module
from hydraflyte.backend.admin.scheduled import ScheduledExecutions
from hydraflyte.backend.scheduler.scheduler import Scheduler
from hydraflyte.catch_up import CatchUp
from hydraflyte.clock import ManualClock
from hydraflyte.identifiers import ExecutionId

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)  # when the control plane's clock stands, and plans activate
HOURLY = {"cron_schedule": {"schedule": "@hourly"}}
THREE = {"literals": {"x": Literal(scalar=Scalar(primitive=Primitive(integer=3)))}}


class ScheduledPlane:
    """A scheduler on the control plane, whose clock the test moves and which looks when the test says so."""

    def __init__(self, plane, catch_up=CatchUp.LAST):
        self._plane = plane
        self._clock = ManualClock(NOON)
        self._scheduler = Scheduler(database=plane.parts.database, clock=self._clock, catch_up=catch_up)
        self._launcher = ScheduledExecutions(plane.parts)

    def look_at(self, text):
        """Set the clock to a time of that day and look; returns when the scheduler would look again."""
        now = datetime.fromisoformat(f"2026-03-{text}+00:00")
        self._clock.advance(now - self._clock.now())
        return asyncio.run_coroutine_threadsafe(self._scheduler.look(self._launcher), self._plane.loop).result(10)


@pytest.fixture
def scheduled(plane):
    return ScheduledPlane(plane)


@pytest.fixture
def plan(register, admin):
    """Register and activate a launch plan with a schedule; returns its id."""

    def make(version="v1", *, schedule=None, activate=True, **spec):
        register.task(version=version)
        register.workflow(version=version)
        metadata = {"schedule": schedule or HOURLY}
        made = register.launch_plan(version=version, fixed_inputs=THREE, entity_metadata=metadata, **spec)
        if activate:
            admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=made, state=ACTIVE))
        return made

    return make


@pytest.fixture
def begun(admin):
    """Return the fire times of the scheduled executions there are, oldest first."""

    def fire_times():
        request = ResourceListRequest(
            id={"project": "flytesnacks", "domain": "development"},
            limit=100,
            sort_by=Sort(key="id", direction=Sort.ASCENDING),
        )
        found = [execution.spec.metadata for execution in admin.ListExecutions(request).executions]
        return [f"{each.scheduled_at.ToDatetime():%d %H:%M:%S}" for each in found]

    return fire_times


def test_an_active_launch_plan_begins_an_execution_at_its_fire_time(scheduled, plan, begun, admin):
    launch_plan = plan()

    scheduled.look_at("01 12:59:59")
    assert begun() == []
    look_again_at = scheduled.look_at("01 13:00:00")

    assert begun() == ["01 13:00:00"]
    assert look_again_at == NOON + timedelta(hours=2)
    execution = admin.ListExecutions(
        ResourceListRequest(id={"project": "flytesnacks", "domain": "development"}, limit=1)
    ).executions[0]
    assert execution.spec.launch_plan == launch_plan
    assert execution.spec.metadata.mode == ExecutionMetadata.SCHEDULED


def test_the_name_of_a_scheduled_execution_is_the_one_that_flyte_gives(scheduled, plan, admin):
    plan()

    scheduled.look_at("01 13:00:00")

    identifier = WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name_at_one())
    assert admin.GetExecution(WorkflowExecutionGetRequest(id=identifier)).id == identifier


def name_at_one():
    """The FNV-1 hash of ``flytesnacks:development:main:v1:1772370000``, low byte first, and three zeros."""
    value = 0xCBF29CE484222325
    for byte in b"flytesnacks:development:main:v1:1772370000":
        value = (value * 0x100000001B3) % 2**64 ^ byte
    return "f" + b"".join((value >> 8 * place & 255).to_bytes(1, "big") for place in range(8)).hex() + "000"


def test_a_fire_time_is_never_begun_twice(scheduled, plan, begun, plane):
    plan()

    scheduled.look_at("01 13:00:00")
    scheduled.look_at("01 13:00:00")
    scheduled.look_at("01 12:00:30")  # the clock is set back, and the hour comes again
    scheduled.look_at("01 13:00:00")
    ScheduledPlane(plane).look_at("01 13:00:00")  # as after a restart

    assert begun() == ["01 13:00:00"]


def test_a_crash_before_the_anchor_was_stored_begins_nothing_twice(scheduled, plan, begun, plane):
    plan()
    scheduled.look_at("01 13:00:00")
    forget_progress = plane.parts.database.submit(lambda connection: connection.execute("DELETE FROM schedules"))
    forget_progress.result(10)

    scheduled.look_at("01 13:00:10")

    assert begun() == ["01 13:00:00"]


def test_an_inactive_launch_plan_begins_nothing(scheduled, plan, begun):
    plan(activate=False)

    assert scheduled.look_at("01 13:00:00") is None
    assert begun() == []


def test_deactivation_ends_a_schedule_and_activation_starts_it_afresh(scheduled, plan, begun, admin, plane):
    launch_plan = plan()
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=launch_plan, state=INACTIVE))
    scheduled.look_at("01 15:00:00")
    assert begun() == []

    plane.parts.clock.advance(timedelta(hours=3, minutes=30))
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=launch_plan, state=ACTIVE))
    scheduled.look_at("01 15:30:01")
    scheduled.look_at("01 16:00:00")

    assert begun() == ["01 16:00:00"]


def test_a_newer_version_takes_the_schedule_over(scheduled, plan, begun, admin):
    plan("v1", schedule={"rate": {"value": 10}})
    plan("v2", schedule=HOURLY)

    scheduled.look_at("01 12:30:00")
    scheduled.look_at("01 13:00:00")

    assert begun() == ["01 13:00:00"]


def test_a_fixed_rate_counts_from_its_activation_and_activating_again_changes_nothing(
    scheduled, plan, begun, admin, plane
):
    plane.parts.clock.advance(timedelta(minutes=3, seconds=20))
    launch_plan = plan(schedule={"rate": {"value": 10}})
    plane.parts.clock.advance(timedelta(minutes=5))
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=launch_plan, state=ACTIVE))

    scheduled.look_at("01 12:13:19")
    scheduled.look_at("01 12:13:20")
    scheduled.look_at("01 12:23:20")

    assert begun() == ["01 12:13:20", "01 12:23:20"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.NONE, ["02 13:00:00"]),
        (CatchUp.LAST, ["02 12:00:00", "02 13:00:00"]),
        (
            CatchUp.ALL,
            [*[f"01 {hour}:00:00" for hour in range(20, 24)], *[f"02 {hour:02}:00:00" for hour in range(14)]],
        ),
    ],
)
def test_missed_fire_times_are_dealt_with_as_the_backend_was_told(
    plane, plan, begun, wait_until_all_ended, catch_up, expected
):
    plan()
    scheduled = ScheduledPlane(plane, catch_up)
    scheduled.look_at("01 12:00:00")
    plane.parts.database.submit(move_anchors_to_seven).result(10)

    for second in range(5):
        scheduled.look_at(f"02 12:10:0{second}")
        wait_until_all_ended()
    scheduled.look_at("02 13:00:00")

    assert begun() == expected


def move_anchors_to_seven(connection):
    rows = connection.execute("SELECT id, updated_at FROM launch_plans").fetchall()
    connection.executemany(
        "INSERT OR REPLACE INTO schedules (launch_plan_id, activated_at, anchor) VALUES (?, ?, ?)",
        [(row["id"], row["updated_at"], "2026-03-01T19:00:00.000000Z") for row in rows],
    )


@pytest.fixture
def wait_until_stuck(plane):
    def wait():
        deadline = time.monotonic() + 10
        while not plane.executor.running:
            assert time.monotonic() < deadline, "no attempt was begun"
            time.sleep(0.01)

    return wait


@pytest.fixture
def wait_until_all_ended(plane, admin):
    def wait():
        everything = ResourceListRequest(id={"project": "flytesnacks", "domain": "development"}, limit=100)
        for execution in admin.ListExecutions(everything).executions:
            found = execution.id
            plane.wait_until_ended(ExecutionId(project=found.project, domain=found.domain, name=found.name))

    return wait


def test_a_launch_plan_chooses_for_itself_what_becomes_of_missed_fire_times(scheduled, plan, begun):
    plan(annotations={"values": {"hydraflyte.org/catch-up": "none"}})

    scheduled.look_at("02 12:10:00")
    scheduled.look_at("02 13:00:00")

    assert begun() == ["02 13:00:00"]


def test_making_up_for_all_keeps_at_most_ten_executions_open(plane, plan, begun):
    plan(schedule={"rate": {"value": 1}})
    plane.executor.stuck.add("double")
    scheduled = ScheduledPlane(plane, CatchUp.ALL)

    for second in range(3):
        scheduled.look_at(f"01 14:00:0{second}")

    assert begun() == [f"01 12:{minute:02}:00" for minute in range(1, 11)]


def test_the_time_argument_is_bound_to_the_fire_time(scheduled, register, admin, begun):
    register.task()
    request = register.workflow_request()
    request.spec.template.interface.inputs.variables["at"].type.simple = SimpleType.DATETIME
    admin.CreateWorkflow(request)
    for name, schedule in {"cron": HOURLY, "rate": {"rate": {"value": 60}}}.items():
        schedule = {**schedule, "kickoff_time_input_arg": "at"}
        made = register.launch_plan(name, fixed_inputs=THREE, entity_metadata={"schedule": schedule})
        admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=made, state=ACTIVE))

    scheduled.look_at("01 13:00:07")

    listed = admin.ListExecutions(ResourceListRequest(id={"project": "flytesnacks", "domain": "development"}, limit=9))
    data = [admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=each.id)) for each in listed.executions]
    times = [each.full_inputs.literals["at"].scalar.primitive.datetime.ToDatetime() for each in data]
    assert times == [datetime(2026, 3, 1, 13), datetime(2026, 3, 1, 13)]
    assert data[0].full_inputs.literals["x"].scalar.primitive.integer == 3


def test_a_fire_time_is_skipped_while_as_many_executions_are_open_as_may(
    scheduled, plan, begun, plane, wait_until_stuck, wait_until_all_ended
):
    plan(concurrency_policy={"max": 1, "behavior": "CONCURRENCY_LIMIT_BEHAVIOR_SKIP"})
    plane.executor.stuck.add("double")
    scheduled.look_at("01 13:00:00")
    scheduled.look_at("01 14:00:00")
    wait_until_stuck()
    plane.do(plane.executor.finish)
    wait_until_all_ended()

    scheduled.look_at("01 15:00:00")

    assert begun() == ["01 13:00:00", "01 15:00:00"]


def test_of_requests_that_come_together_no_more_are_begun_than_may(plane, plan, register, admin):
    launch_plan = plan(concurrency_policy={"max": 2})
    plane.executor.stuck.add("double")

    request = register.execution_request(launch_plan, inputs={})
    calls = [admin.CreateExecution.future(request) for _ in range(12)]
    codes = [call.code() for call in calls]

    assert codes.count(grpc.StatusCode.OK) == 2
    assert codes.count(grpc.StatusCode.ALREADY_EXISTS) == 10


def test_the_schedules_of_an_archived_project_rest(scheduled, plan, begun, admin):
    plan()
    admin.UpdateProject(Project(id="flytesnacks", name="flytesnacks", state=Project.ARCHIVED))

    scheduled.look_at("01 13:00:00")
    admin.UpdateProject(Project(id="flytesnacks", name="flytesnacks", state=Project.ACTIVE))
    scheduled.look_at("01 14:00:00")

    assert begun() == ["01 14:00:00"]


def test_a_schedule_in_the_older_syntax_cannot_be_activated(plan, admin, refused):
    made = plan(schedule={"cron_expression": "0 10 * * ? *"}, activate=False)

    code, message = refused(admin.UpdateLaunchPlan, LaunchPlanUpdateRequest(id=made, state=ACTIVE))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "five fields" in message


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"entity_metadata": {"schedule": {"cron_schedule": {"schedule": "CRON_TZ=Mars/Base @daily"}}}}, "Mars/Base"),
        ({"entity_metadata": {"schedule": {"cron_schedule": {"schedule": "61 * * * *"}}}}, "'61' is not between"),
        ({"entity_metadata": {"schedule": {"rate": {"value": 0}}}}, "fixed rate"),
        ({"annotations": {"values": {"hydraflyte.org/catch-up": "some"}}}, "it may be none, last, all"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused_with_the_reason(register, admin, refused, spec, reason):
    register.task()
    register.workflow()
    request = register.launch_plan_request(fixed_inputs=THREE, **spec)

    code, message = refused(admin.CreateLaunchPlan, request)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in message


def test_the_example_of_a_scheduled_name_is_true():
    assert doctest.testmod(scheduled_module).failed == 0
