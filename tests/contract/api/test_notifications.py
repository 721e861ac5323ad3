"""Notifications of executions: promised, kept, delivered, tried again and given up, against a real control plane."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
import pytest
from flyteidl.admin.execution_pb2 import ExecutionTerminateRequest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar

from hydraflyte.backend.notify.courier import DeliveryError
from hydraflyte.backend.notify.notifier import PAUSES, Notifier
from hydraflyte.backend.store.outbox import NotificationStatus, list_notifications, try_again
from hydraflyte.clock import ManualClock
from hydraflyte.identifiers import ExecutionId

FAILED, SUCCEEDED, ABORTED = WorkflowExecution.FAILED, WorkflowExecution.SUCCEEDED, WorkflowExecution.ABORTED
RUNNING = WorkflowExecution.RUNNING
SIX = Literal(scalar=Scalar(primitive=Primitive(integer=6)))
TO_ADA = {"phases": [FAILED, SUCCEEDED, ABORTED], "email": {"recipients_email": ["ada@example.org"]}}


@dataclass
class ScriptedCourier:
    """Keeps what it delivers; fails as often as it is told to, for good or not; may never come back."""

    failures: int = 0
    may_pass: bool = True
    hangs: bool = False
    tried: list = field(default_factory=list)

    async def deliver(self, notification):
        self.tried.append(notification)
        if self.hangs:
            await asyncio.Event().wait()
        if len(self.tried) <= self.failures:
            raise DeliveryError("nobody answers", may_pass=self.may_pass)


class Office:
    """A notifier on the control plane, with a clock that the test moves."""

    def __init__(self, plane, courier):
        self._plane = plane
        self.clock = ManualClock(plane.parts.clock.now())
        self.courier = courier

    def work(self, until):
        """Open the notifier, wait until ``until(rows)`` holds, and close it; returns the rows."""

        async def run():
            notifier = Notifier(
                database=self._plane.parts.database,
                clock=self.clock,
                courier=self.courier,
                console_url=lambda: "http://127.0.0.1:30081/console",
            )
            notifier.open()
            try:
                for _ in range(1000):
                    rows = await self._plane.parts.database.read(lambda connection: list_notifications(connection, 100))
                    if until(rows):
                        return rows
                    await asyncio.sleep(0.005)
                raise AssertionError(f"that did not happen: {rows}")
            finally:
                await notifier.close()

        return asyncio.run_coroutine_threadsafe(run(), self._plane.loop).result(20)

    def status(self, *expected):
        """Work until the notifications have these statuses, newest first."""
        return self.work(lambda rows: [row.status.value for row in rows] == list(expected))


@pytest.fixture
def office(plane):
    return lambda **courier: Office(plane, ScriptedCourier(**courier))


@pytest.fixture
def fail(plane, register):
    """Let an execution fail; returns its id."""

    def run(launch_plan=None, **spec):
        plane.executor.failing.add("double")
        identifier = register.execution(launch_plan or register.everything(), **spec)
        plane.wait_until_ended(ExecutionId(project=identifier.project, domain=identifier.domain, name=identifier.name))
        return identifier

    return run


def test_the_recipients_of_an_execution_are_told_how_it_ended(office, fail):
    desk = office()
    execution = fail(notifications={"notifications": [TO_ADA]})

    [row] = desk.status("DELIVERED")

    assert (row.kind, row.target, row.tries) == ("email", "ada@example.org", 1)
    message = json.loads(row.message)
    assert message["subject"] == f"main FAILED (flytesnacks/development/{execution.name})"
    url = f"http://127.0.0.1:30081/console/projects/flytesnacks/domains/development/executions/{execution.name}"
    assert message["text"].startswith(
        f"Execution {execution.name} of main ended as FAILED.\n\nproject      flytesnacks\n"
    )
    assert message["text"].endswith(url)
    assert "USER:ValueError it went wrong" in message["text"]
    assert message["execution"]["launch_plan"] == "main"
    assert message["execution"]["error_code"] == "USER:ValueError"


def test_the_launch_plans_recipients_are_told_unless_the_execution_says_otherwise(office, fail, register):
    register.task()
    register.workflow()
    plan = register.launch_plan(entity_metadata={"notifications": [TO_ADA]})
    to_bea = {"phases": [FAILED], "slack": {"recipients_email": ["bea@example.org"]}}
    fail(plan)
    fail(plan, disable_all=True)
    fail(plan, notifications={"notifications": [to_bea]})

    rows = office().status("DELIVERED", "DELIVERED")

    assert [(row.kind, row.target) for row in rows] == [("slack", "bea@example.org"), ("email", "ada@example.org")]


def test_only_the_phases_asked_for_are_told_and_a_recipient_is_told_once(office, fail):
    twice = {"phases": [FAILED], "email": {"recipients_email": ["ada@example.org", "ada@example.org"]}}
    other = {"phases": [SUCCEEDED], "email": {"recipients_email": ["bea@example.org"]}}
    fail(notifications={"notifications": [other, twice, TO_ADA]})

    rows = office().status("DELIVERED")

    assert [row.target for row in rows] == ["ada@example.org"]


def test_an_aborted_execution_is_told_with_the_cause(office, plane, register, admin):
    plane.executor.stuck.add("double")
    execution = register.execution(register.everything(), notifications={"notifications": [TO_ADA]})
    admin.TerminateExecution(ExecutionTerminateRequest(id=execution, cause="enough"))
    plane.wait_until_ended(ExecutionId(project="flytesnacks", domain="development", name=execution.name))

    [row] = office().status("DELIVERED")

    assert json.loads(row.message)["execution"]["phase"] == "ABORTED"
    assert "\nenough\n" in json.loads(row.message)["text"]


def test_nothing_is_told_before_the_end(office, plane, register):
    plane.executor.stuck.add("double")
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": SIX})
    execution = register.execution(register.everything(), notifications={"notifications": [TO_ADA]})
    desk = office()

    assert desk.work(lambda rows: plane.executor.running) == []
    plane.do(plane.executor.finish)
    plane.wait_until_ended(ExecutionId(project="flytesnacks", domain="development", name=execution.name))
    [row] = desk.status("DELIVERED")

    assert json.loads(row.message)["execution"]["phase"] == "SUCCEEDED"


def test_an_unreachable_recipient_is_tried_again_and_told_once(office, fail, caplog):
    desk = office(failures=2)
    fail(notifications={"notifications": [TO_ADA]})

    [first] = desk.work(lambda rows: rows and rows[0].trouble)
    desk.work(lambda rows: len(desk.courier.tried) == 1)
    desk.clock.advance(timedelta(seconds=5))
    desk.work(lambda rows: rows[0].tries == 2 and len(desk.courier.tried) == 2)
    desk.clock.advance(timedelta(seconds=30))
    [last] = desk.status("DELIVERED")

    assert (first.status, first.tries, first.trouble) == (NotificationStatus.PENDING, 1, "nobody answers")
    assert (last.tries, last.trouble) == (3, "")
    assert len(desk.courier.tried) == 3
    assert len([record for record in caplog.records if "nobody answers" in record.getMessage()]) == 1


def test_after_six_tries_a_notification_is_given_up_until_somebody_asks_again(office, fail, plane, caplog):
    desk = office(failures=1000)  # the notifier may be closed in the middle of a try, which is then made again
    fail(notifications={"notifications": [TO_ADA]})

    for number, pause in enumerate(PAUSES, start=1):
        desk.work(lambda rows, number=number: rows and rows[0].tries == number and rows[0].trouble)
        desk.clock.advance(pause)
    [row] = desk.status("FAILED")
    now = desk.clock.now()
    desk.courier.failures = 0
    plane.parts.database.submit(lambda connection: try_again(connection, row.row_id, now)).result(10)
    [again] = desk.status("DELIVERED")

    assert (row.tries, row.trouble) == (6, "nobody answers")
    assert again.tries == 1
    assert "is given up: nobody answers; `hydraflyte notifications retry 1` tries again" in caplog.text


def test_what_never_passes_is_given_up_at_once(office, fail):
    [row] = run_failing(office, fail)

    assert row.tries == 1


def run_failing(office, fail):
    fail(notifications={"notifications": [TO_ADA]})
    return office(failures=1, may_pass=False).status("FAILED")


def test_a_try_that_a_crash_cut_off_is_made_again(office, fail):
    desk = office(hangs=True)
    fail(notifications={"notifications": [TO_ADA]})
    desk.work(lambda rows: len(desk.courier.tried) == 1)  # the notifier is closed in the middle of it

    desk.courier.hangs = False
    desk.clock.advance(timedelta(seconds=5))
    [row] = desk.status("DELIVERED")

    assert row.tries == 2


def test_a_recipient_that_always_takes_the_backend_down_is_given_up(office, fail):
    desk = office(hangs=True)
    fail(notifications={"notifications": [TO_ADA]})

    for number in range(1, 7):
        desk.work(lambda rows, number=number: len(desk.courier.tried) == number)
        desk.clock.advance(timedelta(hours=1))
    [row] = desk.status("FAILED")

    assert row.trouble == "the backend stopped during the last try"
    assert len(desk.courier.tried) == 6


def test_a_clock_that_was_wrong_does_not_hold_a_notification_back(office, fail):
    desk = office(failures=1)
    desk.clock.advance(timedelta(days=365))
    fail(notifications={"notifications": [TO_ADA]})
    desk.work(lambda rows: rows and rows[0].trouble)

    desk.clock.advance(timedelta(days=-365))
    [row] = desk.status("DELIVERED")

    assert row.tries == 2


def test_a_slow_recipient_does_not_hold_up_the_others(office, fail, plane):
    desk = office()
    slow = desk.courier.deliver

    async def deliver(notification):
        if notification.target == "slow@example.org":
            await asyncio.Event().wait()
        await slow(notification)

    desk.courier.deliver = deliver
    names = ["slow@example.org", *(f"ada{number}@example.org" for number in range(20))]
    fail(notifications={"notifications": [{"phases": [FAILED], "email": {"recipients_email": names}}]})

    rows = desk.work(lambda rows: [row.status.value for row in rows].count("DELIVERED") == 20)

    assert [row.target for row in rows if row.status is NotificationStatus.PENDING] == ["slow@example.org"]


@pytest.mark.parametrize(
    ("notification", "reason"),
    [
        ({"phases": [FAILED]}, "is of no type"),
        ({"phases": [RUNNING], "email": {"recipients_email": ["a@b.c"]}}, "phase RUNNING, which ends no execution"),
        ({"phases": [77], "email": {"recipients_email": ["a@b.c"]}}, "phase 77"),
        ({"phases": [FAILED], "email": {}}, "no recipients"),
        ({"phases": [FAILED], "email": {"recipients_email": [""]}}, "cannot be the recipient"),
        ({"phases": [FAILED], "slack": {"recipients_email": ["a@b.c\r\nBcc: e@f.g"]}}, "control characters"),
        ({"phases": [FAILED], "email": {"recipients_email": ["webhook:file:///etc/passwd"]}}, "no http or https"),
        ({"phases": [FAILED], "email": {"recipients_email": ["file:relative"]}}, "no absolute path"),
        ({"phases": [FAILED], "email": {"recipients_email": ["command: "]}}, "names no program"),
    ],
)
def test_a_notification_that_could_not_be_delivered_is_refused_at_once(register, admin, refused, notification, reason):
    plan = register.everything()
    of_plan = register.launch_plan_request("other", entity_metadata={"notifications": [notification]})
    of_execution = register.execution_request(plan, notifications={"notifications": [notification]})

    for code, message in (refused(admin.CreateLaunchPlan, of_plan), refused(admin.CreateExecution, of_execution)):
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert reason in message
