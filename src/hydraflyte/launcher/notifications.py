"""Who is told of the end of executions and sweeps: from the config to what the backend, or the launcher, delivers.

One rule: what a backend cannot deliver is refused before anything starts. Flyte's API has mail only, in three
spellings; the embedded backend delivers more kinds, written as mail to ``<kind>:<recipient>``.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from flyteidl.admin import common_pb2

from hydraflyte.config import LOCAL_KINDS, MAIL_KINDS, NOTIFIED_PHASES, NotificationConfig
from hydraflyte.errors import ConfigError
from hydraflyte.launcher.endpoint import Endpoint

_TIMEOUT_S = 10.0


def job_notifications(configs: Sequence[NotificationConfig], endpoint: Endpoint) -> tuple[common_pb2.Notification, ...]:
    """Return what every execution of the launch carries.

    Raises:
        ConfigError: the backend does not know a kind.
    """
    for_jobs = [config for config in configs if not config.once_per_sweep]
    for config in for_jobs:
        if config.type in LOCAL_KINDS and not endpoint.is_embedded:
            raise ConfigError(
                f"hydra.launcher.notifications: type={config.type} is delivered by the embedded backend only, and "
                f"this launch goes to {endpoint.target}.",
                hint=f"take one of {', '.join(MAIL_KINDS)}, or once_per_sweep=true: those the launcher delivers.",
            )
    return tuple(_notification(config) for config in for_jobs)


def mail_notifications(configs: Sequence[NotificationConfig]) -> tuple[common_pb2.Notification, ...]:
    """Return what every backend can deliver of each execution's end: mail, in Flyte's three spellings."""
    return tuple(_notification(config) for config in configs if config.type in MAIL_KINDS and not config.once_per_sweep)


def tell_of_sweep(configs: Sequence[NotificationConfig], summary: Mapping[str, object]) -> list[str]:
    """Deliver the notifications of a whole sweep; returns what went wrong, one line each.

    Args:
        summary: what is told; its ``phase`` decides who is told.
    """
    failures = []
    for config in configs:
        if not config.once_per_sweep or summary["phase"] not in _phases(config):
            continue
        for recipient in config.recipients:
            try:
                _deliver(config.type, recipient, json.dumps(summary) + "\n")
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                failures.append(f"the {config.type} notification to {recipient} failed: {error}")
    return failures


def _notification(config: NotificationConfig) -> common_pb2.Notification:
    kind = config.type if config.type in MAIL_KINDS else "email"
    recipients = config.recipients
    if config.type in LOCAL_KINDS:
        recipients = [f"{config.type}:{_target(config.type, recipient)}" for recipient in config.recipients]
    message = common_pb2.Notification(phases=_phases(config))
    match kind:
        case "slack":
            message.slack.recipients_email.extend(recipients)
        case "pagerduty":
            message.pager_duty.recipients_email.extend(recipients)
        case _:
            message.email.recipients_email.extend(recipients)
    return message


def _phases(config: NotificationConfig) -> tuple[str, ...]:
    return tuple(phase.upper() for phase in config.phases) or NOTIFIED_PHASES


def _target(kind: str, recipient: str) -> str:
    """Return the recipient as another process understands it: that one has another home and current directory."""
    return str(Path(recipient).expanduser().absolute()) if kind == "file" else recipient


def _deliver(kind: str, recipient: str, message: str) -> None:
    if kind == "webhook":
        request = urllib.request.Request(
            recipient, data=message.encode(), headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return
    if kind == "file":
        path = Path(_target(kind, recipient))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(message)
        return
    subprocess.run(
        recipient,
        shell=True,
        input=message,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HYDRAFLYTE_NOTIFICATION": message.strip()},
    )
