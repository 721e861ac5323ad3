"""What a notification may be (section 5.3 of Flyte's semantics). Pure; nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable

from flyteidl.admin.common_pb2 import Notification
from flyteidl.core.execution_pb2 import WorkflowExecution

from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.errors import NotificationError
from hydraflyte.recipients import RecipientKind, read_recipient

_TERMINAL = frozenset(phase.value for phase in TERMINAL_EXECUTION_PHASES)


def check_notifications(notifications: Iterable[Notification]) -> None:
    """Check kinds, phases and recipients.

    Raises:
        InvalidRequest: a notification has no kind, a phase that does not end an execution, or an unusable recipient.
    """
    for notification in notifications:
        kind = notification.WhichOneof("type")
        if kind is None:
            raise InvalidRequest("a notification is of no type; it may be email, pager_duty or slack")
        for phase in notification.phases:
            if phase not in _TERMINAL:
                raise InvalidRequest(f"a notification is about phase {_phase_name(phase)}, which ends no execution")
        recipients = getattr(notification, kind).recipients_email
        if not recipients:
            raise InvalidRequest(f"a notification of type {kind} has no recipients")
        for recipient in recipients:
            _check_recipient(recipient, RecipientKind(kind))


def _check_recipient(text: str, kind: RecipientKind) -> None:
    try:
        read_recipient(text, kind)
    except NotificationError as error:
        raise InvalidRequest(f"{error.message} {error.hint}") from error


def _phase_name(phase: int) -> str:
    known = WorkflowExecution.Phase.values()
    return WorkflowExecution.Phase.Name(phase) if phase in known else str(phase)
