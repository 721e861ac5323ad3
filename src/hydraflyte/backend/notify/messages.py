"""What recipients are told about an ended execution: subject, text, and the facts for programs. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import Identifier

from hydraflyte.backend.store.listing import ExecutionRow
from hydraflyte.backend.store.outbox import NewNotification
from hydraflyte.recipients import Recipient, RecipientKind, read_recipient

_LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one recipient is told.

    Attributes:
        id: the same for every try, so that a recipient can tell a repetition.
        subject: one line.
        text: for people, plain.
        execution: for programs: project, domain, name, launch_plan, workflow, version, phase, error_code, error,
            started_at, ended_at (ISO 8601 or ``""``) and url.
    """

    id: str
    subject: str
    text: str
    execution: dict[str, str]

    def to_json(self) -> str:
        """Return the message as one line of JSON."""
        facts = {"id": self.id, "subject": self.subject, "text": self.text, "execution": self.execution}
        return json.dumps(facts, ensure_ascii=False)


def notifications_about(row: ExecutionRow, *, console_url: str) -> list[NewNotification]:
    """Return a notification for each recipient that wants to be told of the phase in which the execution ended.

    Args:
        row: an execution that has ended.
        console_url: address of the console, without a slash at the end.
    """
    spec = ExecutionSpec.FromString(row.spec)
    phase = WorkflowExecution.Phase.Value(row.phase)
    recipients = dict.fromkeys(  # a recipient that two notifications name is told once
        recipient
        for notification in spec.notifications.notifications
        if phase in notification.phases
        for recipient in _recipients(notification.WhichOneof("type"), notification)
    )
    facts = _facts(row, spec, console_url)
    return [
        NewNotification(
            kind=recipient.kind.value, target=recipient.target, message=_message(facts, recipient).to_json()
        )
        for recipient in recipients
    ]


def _recipients(kind: str, notification: object) -> list[Recipient]:
    texts = getattr(notification, kind).recipients_email
    return [read_recipient(text, RecipientKind(kind)) for text in texts]


def _message(facts: dict[str, str], recipient: Recipient) -> Message:
    story = "/".join((facts["project"], facts["domain"], facts["name"], facts["ended_at"]))
    digest = hashlib.sha256(f"{story} {recipient.kind.value}:{recipient.target}".encode()).hexdigest()
    subject = f"{facts['workflow']} {facts['phase']} ({facts['project']}/{facts['domain']}/{facts['name']})"
    return Message(id=digest[:32], subject=subject, text=_text(facts), execution=facts)


def _facts(row: ExecutionRow, spec: ExecutionSpec, console_url: str) -> dict[str, str]:
    workflow = Identifier.FromString(row.workflow)
    page = f"/projects/{row.id.project}/domains/{row.id.domain}/executions/{row.id.name}"
    error = row.error.message if row.error else row.abort_cause
    return {
        "project": row.id.project,
        "domain": row.id.domain,
        "name": row.id.name,
        "launch_plan": spec.launch_plan.name,
        "workflow": workflow.name,
        "version": workflow.version,
        "phase": row.phase,
        "error_code": row.error.code if row.error else "",
        "error": error[:_LONGEST_ERROR],
        "started_at": row.times.started_at.isoformat() if row.times.started_at else "",
        "ended_at": row.times.ended_at.isoformat() if row.times.ended_at else "",
        "url": console_url + page,
    }


def _text(facts: dict[str, str]) -> str:
    lines = [
        f"Execution {facts['name']} of {facts['workflow']} ended as {facts['phase']}.",
        "",
        f"project      {facts['project']}",
        f"domain       {facts['domain']}",
        f"launch plan  {facts['launch_plan']}",
        f"version      {facts['version']}",
        f"started      {facts['started_at'] or '-'}",
        f"ended        {facts['ended_at']}",
        "",
    ]
    if facts["error"]:
        lines += [f"{facts['error_code']} {facts['error']}".strip(), ""]
    return "\n".join([*lines, facts["url"]])
