"""From the jobs' configs to what is launched: inputs fitted to the workflow's interface, settings of tasks checked.

One rule: everything that can be wrong in a config is found here, before anything is sent. The interface is that of the
code, or of what is registered if the launch names a registered version.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import literals_pb2
from flytekit.core.base_task import PythonTask

from hydraflyte.config import LauncherConfig
from hydraflyte.errors import InputsError
from hydraflyte.launcher.defaults import default_inputs
from hydraflyte.launcher.derived import task_names_of
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.execute import parameters_of, to_literals
from hydraflyte.launcher.inputs import JobInputs, Parameter, fit_inputs
from hydraflyte.launcher.jobs import Job, LaunchRequest, hydra_config_of
from hydraflyte.launcher.orders import task_settings_of
from hydraflyte.launcher.package import collect_files
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.provenance import CODE_DIGEST, this_call
from hydraflyte.launcher.registered import (
    LATEST,
    find_version,
    fits_the_code,
    interface_of,
    parameters_of_registered,
    require_version,
    text_of,
)
from hydraflyte.launcher.remote import FlyteClient, LaunchPlanPlace
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.schedules import KICKOFF_INPUT

_KICKOFF_HINT = (
    f"{KICKOFF_INPUT} is what a schedule gives: to run now, add +{KICKOFF_INPUT}=2026-01-31T02:30:00; "
    "to take schedules back, `hydraflyte schedules deactivate --workflow NAME`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is to be launched, before anything has been looked at."""

    request: LaunchRequest
    settings: LauncherConfig
    jobs: tuple[Job, ...]
    source: WorkflowSource
    report: SweepReport

    @property
    def names_a_version(self) -> bool:
        """Whether what is registered may count, and not the code."""
        return self.settings.workflow.given_version() is not None

    def has_schedule(self) -> bool:
        """Tell whether the jobs are to be run by a schedule."""
        workflow = self.settings.workflow
        return workflow.cron_schedule is not None or workflow.fixed_rate is not None


def find_given(client: FlyteClient, launch: Launch) -> launch_plan_pb2.LaunchPlan | None:
    """Return the registered launch plan that the launch names by its version; None if the code is to be registered.

    With ``run=false`` the code counts: whoever only registers wants to hear that a version is taken.

    Raises:
        NotRegisteredError: the latest version is wanted, and there is none.
    """
    workflow = launch.settings.workflow
    version = workflow.given_version()
    place = LaunchPlanPlace(workflow.project, workflow.domain, launch.source.workflow.name)
    if version == LATEST:
        return require_version(client, place, LATEST)
    if version is None or not launch.settings.run:
        return None
    return find_version(client, place, version)


def prepare(
    launch: Launch, client: FlyteClient | None = None, found: launch_plan_pb2.LaunchPlan | None = None
) -> Prepared:
    """Return what each job hands to the workflow.

    Args:
        client: where ``found`` is registered.
        found: the registered launch plan to run; None if the code is registered.

    Raises:
        InputsError: a config does not fit the workflow's parameters.
        ConfigError: the settings of a task do not fit.
    """
    source, interface = launch.source, launch.source.workflow.python_interface
    task_names: Sequence[str] = [entity.name for entity in source.entities if isinstance(entity, PythonTask)]
    parameters = parameters_of(interface)
    if found is not None and client is not None:
        if not fits_the_code(found, interface):
            interface = interface_of(found)
            parameters = parameters_of_registered(found.closure.expected_inputs)
        if any(job.config.get("flyte") is not None for job in launch.jobs):
            task_names = task_names_of(client, found)
    if launch.has_schedule():
        parameters = without_kickoff_time(parameters)
    return Prepared(
        settings=launch.settings,
        jobs=launch.jobs,
        source=source,
        inputs=tuple(
            literals_of(job, fitted)
            for job, fitted in zip(launch.jobs, fit_all(launch.jobs, parameters, found), strict=True)
        ),
        task_settings=task_settings_of(launch.jobs, task_names),
        interface=interface,
        defaults=default_inputs(launch.request, parameters) if found is None else literals_pb2.LiteralMap(),
        call=this_call(),
        report=launch.report,
    )


def fit_all(
    jobs: Sequence[Job], parameters: Sequence[Parameter], found: launch_plan_pb2.LaunchPlan | None = None
) -> list[JobInputs]:
    """Return every job's inputs.

    Raises:
        InputsError: a config does not fit.
    """
    try:
        return [_without_defaults_of(found, fit_inputs(job.config_without_hydra(), parameters)) for job in jobs]
    except InputsError as error:
        hint = f"{error.hint} {_KICKOFF_HINT}" if _lack_kickoff_time(jobs, parameters) else error.hint
        of_whom = "" if found is None else f"{text_of(found.id)} is registered, and this config does not fit it. "
        raise InputsError(f"{of_whom}{error.message}", hint=hint) from error


def _lack_kickoff_time(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> bool:
    """Tell whether the workflow wants the time that a schedule means, and these jobs have no schedule."""
    required = [each for each in parameters if each.is_required]
    return len(without_kickoff_time(required)) < len(required) and any(KICKOFF_INPUT not in job.config for job in jobs)


def is_other_code(prepared: Prepared, found: launch_plan_pb2.LaunchPlan) -> bool:
    """Tell whether the code at hand is not the code that is registered, as far as that is known."""
    registered = found.spec.annotations.values.get(CODE_DIGEST)
    if registered is None:
        return False
    files = collect_files(prepared.source, (prepared.settings.workflow.ignore,))
    return not files.digest.startswith(registered)


def _without_defaults_of(found: launch_plan_pb2.LaunchPlan | None, inputs: JobInputs) -> JobInputs:
    """Leave out what the config says nothing of and the launch plan knows: None is never a default of a config."""
    if found is None:
        return inputs
    kept = {
        name: value
        for name, value in inputs.values.items()
        if value is not None or found.closure.expected_inputs.parameters[name].WhichOneof("behavior") != "default"
    }
    return JobInputs(values=kept, types=inputs.types)


def literals_of(job: Job, inputs: JobInputs) -> literals_pb2.LiteralMap:
    """Return the inputs of a job as flytekit's literals.

    Raises:
        InputsError: flytekit cannot turn a value into a literal.
    """
    with hydra_config_of(job):  # an interpolation may ask for hydra:job.num
        return to_literals(inputs)


def without_kickoff_time(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters that a schedule's inputs give: all but the time that it means."""
    return tuple(each for each in parameters if (each.name, each.type) != (KICKOFF_INPUT, datetime.datetime))
