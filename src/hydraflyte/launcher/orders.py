"""What each job's execution is started with beside its inputs: launch plan, annotations, notifications.

One rule: jobs that ask for the same get the same launch plan; one that asks for nothing of its own gets the main one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

from hydraflyte.launcher.derived import TASK_SETTINGS, derive
from hydraflyte.launcher.execute import JobOrder
from hydraflyte.launcher.jobs import Job, hydra_config_of
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.register import Registration
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.task_settings import TaskSettings, read_task_settings, settings_text


def task_settings_of(jobs: Sequence[Job], task_names: Sequence[str]) -> dict[int, dict[str, TaskSettings]]:
    """Return, by the job's number, what its config asks for its tasks.

    Raises:
        ConfigError: a task or a key does not exist, or a value does not fit.
    """
    found = {}
    for job in jobs:
        with hydra_config_of(job):  # an interpolation may ask for hydra:job.num
            found[job.number] = read_task_settings(job.config, task_names)
    return found


def orders_of(
    client: FlyteClient,
    prepared: Prepared,
    registration: Registration,
    notifications: tuple[common_pb2.Notification, ...],
) -> dict[int, JobOrder]:
    """Return the orders by the job's number; registers what jobs with settings of their own need.

    Raises:
        ConfigError: the settings of a task cannot be set from outside.
        RegistrationError: the backend refuses them.
    """
    known: dict[str, identifier_pb2.Identifier] = {"": registration.launch_plan}
    annotations = {**registration.annotations, **prepared.call.annotations()}
    orders = {}
    for number, settings in prepared.task_settings.items():
        text = settings_text(settings)
        if text not in known:
            known[text] = derive(client, registration.launch_plan, settings)
            prepared.report.line(f"version {known[text].version} ({text})")
        orders[number] = JobOrder(
            launch_plan=known[text],
            annotations=_with_settings(annotations, text),
            notifications=notifications,
        )
    return orders


def _with_settings(annotations: Mapping[str, str], text: str) -> Mapping[str, str]:
    return {**annotations, TASK_SETTINGS: text} if text else annotations
