"""Who is told of executions and sweeps: what a backend is asked for, and what the launcher delivers itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2

from hydraflyte.config import NotificationConfig
from hydraflyte.errors import ConfigError
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.notifications import job_notifications, tell_of_sweep

Phase = execution_pb2.WorkflowExecution
SUMMARY = {"text": "sweep k1 of train.fit FAILED: 1 of 2 jobs succeeded", "phase": "FAILED", "jobs": 2}


def endpoint(*, is_embedded: bool) -> Endpoint:
    return Endpoint(
        target="flyte.example.org",
        insecure=False,
        console_url="https://flyte.example.org",
        front_page="https://flyte.example.org/console",
        origin="a test",
        is_embedded=is_embedded,
    )


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The address of a web server, and what is posted to it."""
    posted: list[dict[str, object]] = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Inbox)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("kind", "field"), [("email", "email"), ("slack", "slack"), ("pagerduty", "pager_duty")])
def test_every_flyte_backend_is_asked_for_mail_in_its_own_three_kinds(kind: str, field: str) -> None:
    config = NotificationConfig(type=kind, phases=["failed", "TIMED_OUT"], recipients=["ada@example.org"])

    (message,) = job_notifications([config], endpoint(is_embedded=False))

    assert list(message.phases) == [Phase.FAILED, Phase.TIMED_OUT]
    assert message.WhichOneof("type") == field
    assert list(getattr(message, field).recipients_email) == ["ada@example.org"]


def test_without_phases_every_end_is_told() -> None:
    (message,) = job_notifications([NotificationConfig(recipients=["a@b.org"])], endpoint(is_embedded=False))

    assert list(message.phases) == [Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT]


def test_the_embedded_backend_gets_further_kinds_as_mail_with_the_kind_in_front(tmp_path: Path) -> None:
    configs = [
        NotificationConfig(type="webhook", recipients=["https://example.org/x"]),
        NotificationConfig(type="file", recipients=[f"{tmp_path}/a.jsonl"]),
        NotificationConfig(type="command", recipients=["notify-send done"]),
    ]

    messages = job_notifications(configs, endpoint(is_embedded=True))

    assert [list(message.email.recipients_email) for message in messages] == [
        ["webhook:https://example.org/x"],
        [f"file:{tmp_path}/a.jsonl"],
        ["command:notify-send done"],
    ]


def test_another_backend_is_never_asked_for_a_kind_that_it_lacks() -> None:
    config = NotificationConfig(type="webhook", recipients=["https://example.org/x"])

    with pytest.raises(ConfigError, match="type=webhook is delivered by the embedded backend only"):
        job_notifications([config], endpoint(is_embedded=False))


def test_those_of_the_sweep_are_not_the_jobs(tmp_path: Path) -> None:
    config = NotificationConfig(type="file", recipients=[f"{tmp_path}/a"], once_per_sweep=True)

    assert job_notifications([config], endpoint(is_embedded=False)) == ()


def test_the_launcher_tells_of_a_sweep_by_web_command_and_file(
    tmp_path: Path, received: tuple[str, list[dict[str, object]]]
) -> None:
    address, posted = received
    configs = [
        NotificationConfig(type="webhook", recipients=[address], once_per_sweep=True),
        NotificationConfig(type="command", recipients=[f"cat > {tmp_path}/piped"], once_per_sweep=True),
        NotificationConfig(type="file", recipients=[f"{tmp_path}/new/lines"], once_per_sweep=True),
        NotificationConfig(type="file", recipients=[f"{tmp_path}/never"], phases=["SUCCEEDED"], once_per_sweep=True),
    ]

    failures = tell_of_sweep(configs, SUMMARY)

    assert failures == []
    assert posted == [SUMMARY]
    assert json.loads((tmp_path / "piped").read_text()) == SUMMARY
    assert json.loads((tmp_path / "new" / "lines").read_text()) == SUMMARY
    assert not (tmp_path / "never").exists()


def test_what_cannot_be_delivered_is_said_and_keeps_no_other_from_being_told(
    tmp_path: Path, received: tuple[str, list[dict[str, object]]]
) -> None:
    address, _ = received
    configs = [
        NotificationConfig(type="webhook", recipients=[f"{address}/broken"], once_per_sweep=True),
        NotificationConfig(type="command", recipients=["exit 3"], once_per_sweep=True),
        NotificationConfig(type="file", recipients=[f"{tmp_path}/told"], once_per_sweep=True),
    ]

    failures = tell_of_sweep(configs, SUMMARY)

    assert [failure.partition(":")[0] for failure in failures] == [
        "the webhook notification to http",
        "the command notification to exit 3 failed",
    ]
    assert "HTTP Error 500" in failures[0]
    assert (tmp_path / "told").exists()
