"""One message to one recipient, through the child process that the backend uses, to real servers."""

import asyncio
import email
import email.policy
import json
import os
import stat
import sys
from datetime import datetime, timezone

import pytest

from hydraflyte.backend.notify.courier import Courier, DeliveryError
from hydraflyte.backend.notify.mail import MailSecurity, MailSettings
from hydraflyte.backend.notify.messages import Message
from hydraflyte.backend.store.outbox import NotificationRow, NotificationStatus
from hydraflyte.errors import NotificationError
from hydraflyte.identifiers import ExecutionId

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
MESSAGE = Message(
    id="0123abcd",
    subject="train.main FAILED (flytesnacks/development/f1)",
    text="Execution f1 of train.main ended as FAILED.\n\nValueError: <!channel> & näin ei käy",
    execution={
        "project": "flytesnacks",
        "domain": "development",
        "name": "f1",
        "phase": "FAILED",
        "error": "<!channel>",
    },
)


def to(kind, target):
    return NotificationRow(
        row_id=1,
        execution=ExecutionId(project="flytesnacks", domain="development", name="f1"),
        kind=kind,
        target=target,
        message=MESSAGE.to_json(),
        status=NotificationStatus.PENDING,
        tries=1,
        next_try_at=NOW,
        trouble="",
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.fixture
def deliver(tmp_path):
    """Deliver to a recipient; returns None, or the DeliveryError."""
    (tmp_path / "home").mkdir()

    def run(kind, target, *, mail=None, timeout_s=30.0, environ=None):
        def settings():
            if mail is None:
                raise NotificationError("No mail server is set.", hint="set one.")
            return mail

        courier = Courier(
            folder=tmp_path / "home", environ=environ or os.environ, mail_settings=settings, timeout_s=timeout_s
        )
        try:
            asyncio.run(courier.deliver(to(kind, target)))
        except DeliveryError as error:
            return error
        return None

    return run


def at(mailbox, **changes):
    settings = {
        "host": "127.0.0.1",
        "port": mailbox.port,
        "security": MailSecurity.NONE,
        "username": "",
        "password": "",
        "sender": "backend@example.org",
    }
    return MailSettings(**{**settings, **changes})


@pytest.mark.parametrize("kind", ["email", "slack", "pager_duty"])
def test_a_mail_reaches_the_address(deliver, mailbox, kind):
    assert deliver(kind, "ada@example.org", mail=at(mailbox)) is None

    [(sender, recipients, content)] = mailbox.letters
    letter = email.message_from_bytes(content, policy=email.policy.default)
    assert (sender, recipients) == ("backend@example.org", ["ada@example.org"])
    assert letter["Subject"] == "train.main FAILED (flytesnacks/development/f1)"
    assert letter["To"] == "ada@example.org"
    assert letter["Message-ID"] == "<0123abcd@hydraflyte>"
    assert letter.get_content().splitlines() == MESSAGE.text.splitlines()


@pytest.mark.parametrize(
    "target",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\n\nanother body",
        "ada@example.org, eve@example.org",
        "ada@example.org> RCPT TO:<eve@example.org",
        "ada",
        "file:/etc/passwd",
        "",
    ],
)
def test_a_recipient_that_is_no_single_address_gets_nothing_and_adds_no_header(deliver, mailbox, target):
    error = deliver("slack", target, mail=at(mailbox))

    assert "is no mail address" in str(error)
    assert not error.may_pass
    assert mailbox.letters == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_user_name_and_password_are_told_to_the_server(deliver, guarded_mailbox):
    known = at(guarded_mailbox, username="ada", password="secret")

    assert deliver("email", "ada@example.org", mail=known) is None
    assert "535" in str(deliver("email", "ada@example.org", mail=at(guarded_mailbox, username="ada", password="x")))
    assert len(guarded_mailbox.letters) == 1


def test_a_server_that_cannot_encrypt_is_told_nothing_when_encryption_is_asked_for(deliver, mailbox):
    error = deliver("email", "ada@example.org", mail=at(mailbox, security=MailSecurity.STARTTLS))

    assert "STARTTLS" in str(error)
    assert mailbox.letters == []


@pytest.mark.parametrize(("refusal", "may_pass"), [("550 no such user", False), ("451 try again later", True)])
def test_what_the_mail_server_refuses_for_good_is_not_tried_again(deliver, mailbox, refusal, may_pass):
    mailbox.refusal = refusal

    error = deliver("email", "ada@example.org", mail=at(mailbox))

    assert refusal.partition(" ")[2] in str(error)
    assert error.may_pass is may_pass


def test_a_mail_server_that_cannot_be_reached_may_come_back(deliver, mailbox):
    error = deliver("email", "ada@example.org", mail=at(mailbox, port=1))

    assert "refused" in str(error)
    assert error.may_pass


def test_without_a_mail_server_the_reason_is_told(deliver):
    error = deliver("email", "ada@example.org")

    assert "No mail server is set." in str(error)
    assert not error.may_pass


def test_a_webhook_gets_json_that_slack_reads(deliver, hook):
    assert deliver("webhook", f"{hook.url}/services/T0?x=1") is None

    [(path, content_type, message)] = hook.posts
    assert (path, content_type) == ("/services/T0?x=1", "application/json")
    assert message["text"].startswith(
        "train.main FAILED (flytesnacks/development/f1)\nExecution f1 of train.main ended"
    )
    assert "&lt;!channel&gt; &amp; näin" in message["text"]
    assert message["execution"]["error"] == "<!channel>"
    assert message["id"] == "0123abcd"


@pytest.mark.parametrize(("status", "may_pass"), [(500, True), (503, True), (429, True), (404, False), (410, False)])
def test_what_a_webhook_refuses_for_good_is_not_tried_again(deliver, hook, status, may_pass):
    hook.status = status

    error = deliver("webhook", hook.url)

    assert str(error) == f"HTTP {status}: no such service"
    assert error.may_pass is may_pass


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1:1/"])
def test_a_webhook_that_redirects_is_not_followed(deliver, hook, target):
    hook.status, hook.headers = 302, {"Location": target}

    error = deliver("webhook", hook.url)

    assert str(error) == "HTTP 302: redirects are not followed; give the address that it leads to"
    assert not error.may_pass


def test_a_webhook_that_cannot_be_reached_may_come_back(deliver):
    assert deliver("webhook", "http://127.0.0.1:1/").may_pass


def test_a_file_gets_a_line_for_each_message_and_is_private(deliver, tmp_path):
    file = tmp_path / "ended.jsonl"

    assert deliver("file", str(file)) is None
    assert deliver("file", str(file)) is None

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["execution"]["name"] for line in lines] == ["f1", "f1"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_in_a_folder_that_is_not_there_may_come_back(deliver, tmp_path):
    error = deliver("file", str(tmp_path / "mounted" / "ended.jsonl"))

    assert "No such file or directory" in str(error)
    assert error.may_pass


def test_a_command_gets_the_message_on_standard_input_in_a_process_of_its_own(deliver, tmp_path):
    command = f"cat > {tmp_path}/message; echo $PPID > {tmp_path}/parent; pwd > {tmp_path}/folder"

    assert deliver("command", command) is None

    assert json.loads((tmp_path / "message").read_text())["execution"]["phase"] == "FAILED"
    assert int((tmp_path / "parent").read_text()) == os.getpid()
    assert (tmp_path / "folder").read_text().strip() == str(tmp_path / "home")


def test_a_command_that_fails_is_told_with_the_end_of_its_output(deliver):
    error = deliver("command", "seq 100000; echo out of paper >&2; exit 3")

    assert str(error).endswith("99999\n100000\nout of paper")
    assert len(str(error)) <= 2000
    assert error.may_pass


def test_a_command_that_hangs_is_killed_with_everything_it_started(deliver, tmp_path):
    error = deliver("command", f"sleep 600 & echo $! > {tmp_path}/pid; sleep 600", timeout_s=0.5)

    assert str(error) == "it took longer than 0 s"
    assert error.may_pass
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_what_a_command_leaves_behind_holds_nothing_up(deliver, tmp_path):
    assert deliver("command", f"sleep 600 & echo $! > {tmp_path}/pid", timeout_s=10) is None

    wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split()[2] == "Z":
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        asyncio.run(asyncio.sleep(0.02))
    raise AssertionError(f"process {pid} still runs")


def test_the_sending_process_imports_neither_grpc_nor_flytekit():
    program = (
        "import sys, hydraflyte.backend.notify.sender;"
        "print([name for name in ('grpc', 'flytekit', 'flyteidl', 'hydra') if name in sys.modules])"
    )

    async def run():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    assert asyncio.run(run()) == b"[]\n"
