"""Notifications through FlyteRemote: by mail, webhook, command and file, after a crash, and on the command line."""

import email
import email.policy
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest
from flytekit import Email, LaunchPlan, PagerDuty, Slack
from flytekit.clients.raw import RawSynchronousFlyteClient
from flytekit.configuration import Config
from flytekit.models.core.execution import WorkflowExecutionPhase
from flytekit.remote import FlyteRemote
from scheduled_flows import divides
from tests.integration.notify.servers import hook_server, mail_server

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent / "flows"
FAILED, SUCCEEDED = WorkflowExecutionPhase.FAILED, WorkflowExecutionPhase.SUCCEEDED


class Backend:
    """An embedded backend whose notifications a test follows; starts again after it was killed."""

    def __init__(self, home):
        self._home = home
        self.start()

    def start(self):
        self.running = start_backend(self._home, BackendOptions(port=0))
        config = Config.auto(config_file=self.running.config)
        self.remote = FlyteRemote(config, default_project="flytesnacks", default_domain="development")

    def kill(self):
        os.kill(self.running.pid, signal.SIGKILL)
        wait_for(lambda: not self._home.is_locked())

    def hydraflyte(self, *arguments):
        """Run the command line; returns its standard output."""
        command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", str(self._home.root)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def about(self, execution):
        """Return the notifications about an execution, oldest first, as the command line lists them."""
        listed = json.loads(self.hydraflyte("notifications", "list", "--limit", "100", "--json"))
        return [each for each in reversed(listed) if each["execution"].endswith(f"/{execution.id.name}")]

    def page(self, path):
        request = urllib.request.Request(
            self.running.http_url + path, headers={"Authorization": f"Bearer {self._home.token()}"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    home = Home(root=tmp_path_factory.mktemp("home"))
    yield Backend(home)
    stop_backend(home)


@pytest.fixture(scope="module")
def launch_plan(backend):
    backend.remote.register_script(divides, source_path=str(FLOWS), module_name=divides.__module__, version="plain")
    return backend.remote.fetch_launch_plan(name="scheduled_flows.divides", version="plain")


@pytest.fixture
def fail(backend, launch_plan):
    """Let an execution of ``divides`` fail, with these notifications; returns it when it has ended."""

    def run(*notifications):
        # FlyteRemote.execute of flytekit 1.16 sets disable_all beside the list, which empties it: a request of our own.
        request = ExecutionCreateRequest(project="flytesnacks", domain="development")
        request.spec.launch_plan.CopyFrom(launch_plan.id.to_flyte_idl())
        request.spec.notifications.notifications.extend(each.to_flyte_idl() for each in notifications)
        created = RawSynchronousFlyteClient.create_execution(backend.remote.client, request)
        return backend.remote.wait(backend.remote.fetch_execution(name=created.id.name))

    return run


def mails(*recipients, phases=(FAILED,)):
    return Email(phases=list(phases), recipients_email=list(recipients))


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)
    return found


def test_a_launch_plan_tells_its_recipients_by_mail(backend):
    notifications = [
        mails("ada@example.org"),
        Slack(phases=[FAILED], recipients_email=["channel@slack.example.org"]),
        PagerDuty(phases=[SUCCEEDED], recipients_email=["service@pagerduty.example.org"]),
    ]
    plan = LaunchPlan.get_or_create(divides, "divides and tells", notifications=notifications)
    source = backend.remote.register_script(
        plan, source_path=str(FLOWS), module_name=divides.__module__, version="telling"
    )
    with mail_server() as mailbox:
        settings = {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "sender": "backend@example.org"}
        (Path(backend.running.home) / "smtp.yaml").write_text(json.dumps(settings))  # JSON is YAML

        execution = backend.remote.execute(source, inputs={}, wait=True)
        wait_for(lambda: len(mailbox.letters) == 2)

    assert sorted(recipients for _, recipients, _ in mailbox.letters) == [
        ["ada@example.org"],
        ["channel@slack.example.org"],
    ]
    letter = email.message_from_bytes(mailbox.letters[0][2], policy=email.policy.default)
    assert letter["Subject"].strip() == f"scheduled_flows.divides FAILED (flytesnacks/development/{execution.id.name})"
    text = letter.get_content()
    assert "ZeroDivisionError: integer division or modulo by zero" in text
    assert text.strip().endswith(f"/console/projects/flytesnacks/domains/development/executions/{execution.id.name}")
    wait_for(lambda: [each["status"] for each in backend.about(execution)] == ["DELIVERED", "DELIVERED"])


def test_webhook_command_and_file_are_told_too(backend, fail, tmp_path):
    with hook_server() as hook:
        execution = fail(
            mails(f"webhook:{hook.url}/T0", f"command:cat > {tmp_path}/told", f"file:{tmp_path}/ended.jsonl"),
            mails("nobody@example.org", phases=[SUCCEEDED]),
        )
        wait_for(lambda: [each["status"] for each in backend.about(execution)] == ["DELIVERED"] * 3)

    [(path, _, posted)] = hook.posts
    commanded = json.loads((tmp_path / "told").read_text())
    [filed] = [json.loads(line) for line in (tmp_path / "ended.jsonl").read_text().splitlines()]
    assert path == "/T0"
    assert posted["execution"] == commanded["execution"] == filed["execution"]
    assert (posted["execution"]["name"], posted["execution"]["phase"]) == (execution.id.name, "FAILED")


def test_what_a_crash_cut_off_is_delivered_by_the_next_backend(backend, fail):
    with hook_server() as hook:
        hook.held.clear()
        execution = fail(mails(f"webhook:{hook.url}"))
        wait_for(lambda: hook.posts)  # the webhook has it, but has not said so

        backend.kill()
        hook.held.set()
        backend.start()
        wait_for(lambda: backend.about(execution)[0]["status"] == "DELIVERED")

    assert [posted["id"] for _, _, posted in hook.posts] == [hook.posts[0][2]["id"]] * 2  # so it can be told


def test_an_end_that_nobody_was_told_of_is_told_after_the_next_start(backend, fail, tmp_path):
    execution = fail(mails(f"file:{tmp_path}/ended.jsonl"))

    backend.kill()  # perhaps before, perhaps after the delivery: told at least once in either case
    backend.start()
    wait_for(lambda: [each["status"] for each in backend.about(execution)] == ["DELIVERED"])

    told = {json.loads(line)["id"] for line in (tmp_path / "ended.jsonl").read_text().splitlines()}
    assert len(told) == 1


def test_what_cannot_be_delivered_stays_visible_and_can_be_tried_again(backend, fail):
    with hook_server() as hook:
        hook.status = 404
        execution = fail(mails(f"webhook:{hook.url}/<script>alert(1)</script>"))
        wait_for(lambda: backend.about(execution) and backend.about(execution)[0]["status"] == "FAILED")
        [given_up] = backend.about(execution)
        table = backend.hydraflyte("notifications", "list")
        inbox = backend.page("/console/notifications")

        hook.status = 200
        backend.hydraflyte("notifications", "retry", str(given_up["number"]))
        wait_for(lambda: backend.about(execution)[0]["status"] == "DELIVERED")

    assert given_up["trouble"] == "HTTP 404: no such service"
    assert f"{given_up['number']}: HTTP 404: no such service" in table.splitlines()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in inbox
    assert "<script>" not in inbox


def test_the_inbox_is_the_owners_alone(backend):
    for path, method in (("/notifications", "GET"), ("/notifications/1/retry", "POST"), ("/console/schedules", "GET")):
        request = urllib.request.Request(backend.running.http_url + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request, timeout=10):
            pass
        with refused.value:
            assert refused.value.code == 401


@pytest.mark.parametrize("arguments", [("retry", "999999"), ("list", "--limit", "0")])
def test_a_wrong_request_is_answered_with_a_hint(backend, arguments):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        backend.hydraflyte("notifications", *arguments)

    assert failed.value.returncode == 1
    assert "hint: " in failed.value.stderr
