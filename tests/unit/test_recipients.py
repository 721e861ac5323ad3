"""Who can be told: kinds, and texts that cannot be a recipient."""

import doctest

import pytest

from hydraflyte import recipients
from hydraflyte.errors import NotificationError
from hydraflyte.recipients import Recipient, RecipientKind, read_recipient


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("ada@example.org", RecipientKind.EMAIL, "ada@example.org"),
        ("webhook:https://hooks.example.org/T0/x?y=1", RecipientKind.WEBHOOK, "https://hooks.example.org/T0/x?y=1"),
        ("webhook:http://127.0.0.1:8080/", RecipientKind.WEBHOOK, "http://127.0.0.1:8080/"),
        ("command:notify-send 'it is done'", RecipientKind.COMMAND, "notify-send 'it is done'"),
        ("file:/tmp/ended.jsonl", RecipientKind.FILE, "/tmp/ended.jsonl"),
    ],
)
def test_an_email_recipient_may_name_another_kind(text, kind, target):
    assert read_recipient(text) == Recipient(kind=kind, target=target)


def test_addresses_of_slack_and_pager_duty_are_mail_addresses_whatever_they_begin_with():
    assert read_recipient("file:/etc/passwd", RecipientKind.SLACK) == Recipient(
        kind=RecipientKind.SLACK, target="file:/etc/passwd"
    )


def test_a_path_in_the_owners_home_is_written_in_full(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")

    assert read_recipient("file:~/ended.jsonl").target == "/home/ada/ended.jsonl"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 characters"),
        ("   ", "3 characters"),
        ("a" * 5000, "5000 characters"),
        ("ada@example.org\r\nBcc: eve@example.org", "control characters"),
        ("command:echo\n rm -rf /", "control characters"),
        ("webhook:file:///etc/passwd", "no http or https address"),
        ("webhook:ftp://example.org/", "no http or https address"),
        ("webhook:https://", "no http or https address"),
        ("webhook:http://example.org:99999/", "Port out of range"),
        ("webhook:http://[::1", "Invalid IPv6 URL"),
        ("webhook:http://example.org/a b", "no http or https address"),
        ("command:", "names no program"),
        ("file:ended.jsonl", "no absolute path"),
        ("file:/", "no absolute path"),
        ("file:~nobody-of-this-name/x", "home directory"),
    ],
)
def test_what_cannot_be_a_recipient_is_refused_with_the_reason(text, reason):
    with pytest.raises(NotificationError) as refused:
        read_recipient(text)

    assert reason in refused.value.message


def test_the_example_is_true():
    assert doctest.testmod(recipients).failed == 0
