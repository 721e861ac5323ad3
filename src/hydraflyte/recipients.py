"""Recipients of notifications: what kind each is, and whether it can be one. Pure; nothing is sent.

The one rule: Flyte's API knows email, Slack and PagerDuty addresses only, so what the embedded backend delivers
besides travels as an email recipient whose text begins with its kind: ``webhook:``, ``command:`` or ``file:``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from hydraflyte.errors import NotificationError

_LONGEST = 4096


class RecipientKind(Enum):
    """How a message reaches a recipient."""

    EMAIL = "email"
    """A mail to the address."""
    SLACK = "slack"
    """A mail to the address of a Slack channel, as Flyte does it."""
    PAGER_DUTY = "pager_duty"
    """A mail to the address of a PagerDuty service, as Flyte does it."""
    WEBHOOK = "webhook"
    """A POST with JSON to the URL; Slack's incoming webhooks read it."""
    COMMAND = "command"
    """A command line for the shell, which is given the message as JSON on standard input."""
    FILE = "file"
    """A file that gets a line of JSON."""


_PREFIXED = (RecipientKind.WEBHOOK, RecipientKind.COMMAND, RecipientKind.FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom to tell. ``target`` is an address, URL, command line or absolute path, by the kind."""

    kind: RecipientKind
    target: str


def read_recipient(text: str, kind: RecipientKind = RecipientKind.EMAIL) -> Recipient:
    """Return the recipient that a notification of this kind names.

    Raises:
        NotificationError: it is empty, too long, has control characters, or cannot be a recipient of its kind.

    >>> read_recipient("webhook:https://hooks.slack.com/services/T0/B0/x").kind
    <RecipientKind.WEBHOOK: 'webhook'>
    """
    if not text.strip() or len(text) > _LONGEST:
        raise _unusable(text, f"it has {len(text)} characters", "give one of 1 to 4096 characters.")
    if not text.isprintable():
        raise _unusable(text, "it has control characters", "give it on one line, without tabs.")
    if kind is not RecipientKind.EMAIL:
        return Recipient(kind=kind, target=text.strip())
    for prefixed in _PREFIXED:
        if text.startswith(f"{prefixed.value}:"):
            return _checked(prefixed, text.removeprefix(f"{prefixed.value}:").strip())
    return Recipient(kind=kind, target=text.strip())


def _checked(kind: RecipientKind, target: str) -> Recipient:
    match kind:
        case RecipientKind.WEBHOOK:
            _check_url(target)
        case RecipientKind.COMMAND:
            if not target:
                raise _unusable(target, "it names no program", "write `command:` and a command line.")
        case _:
            target = str(_absolute(target))
    return Recipient(kind=kind, target=target)


def _check_url(url: str) -> None:
    hint = "write `webhook:` and an http or https address."
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError as error:
        raise _unusable(url, str(error), hint) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port or " " in url:
        raise _unusable(url, "it is no http or https address", hint)


def _absolute(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise _unusable(text, str(error), "write the path in full.") from error
    if not path.is_absolute() or path.name == "":
        raise _unusable(
            text, "it is no absolute path", "write `file:` and the path in full, such as file:/tmp/x.jsonl."
        )
    return path


def _unusable(text: str, reason: str, hint: str) -> NotificationError:
    return NotificationError(f"{text[:200]!r} cannot be the recipient of a notification: {reason}.", hint=hint)
