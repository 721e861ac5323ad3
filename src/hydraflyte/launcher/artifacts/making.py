"""A launch that goes into a file: workflow, version, code bundle and config -> Artifact, without any backend.

One rule: the same tree and the same versions of Python, flytekit, Hydra and hydraflyte give the same bytes; who
packaged it, where and when are left out (docs/decisions/0130).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import literals_pb2
from flytekit.core.base_task import PythonTask
from omegaconf import DictConfig, OmegaConf

from hydraflyte.config import LOCAL_KINDS, WorkflowConfig
from hydraflyte.errors import ConfigError, InputsError
from hydraflyte.launcher.artifacts.contents import (
    CONFIG,
    OVERRIDES,
    PROVENANCE,
    SCHEMA,
    Artifact,
    Manifest,
    is_standard_name,
    sha256_of,
    write_artifact,
    write_standard,
)
from hydraflyte.launcher.artifacts.schema import inputs_schema, schema_of
from hydraflyte.launcher.artifacts.settled import with_task_settings
from hydraflyte.launcher.artifacts.templates import CODE_MARK
from hydraflyte.launcher.code.files import size_text
from hydraflyte.launcher.defaults import default_inputs, fitting_inputs
from hydraflyte.launcher.execute import parameters_of, to_literals
from hydraflyte.launcher.inputs import WHOLE_CONFIG_NAMES, Parameter, fit_inputs
from hydraflyte.launcher.jobs import Job, hydra_config_of, sweeper_of
from hydraflyte.launcher.literal_uris import is_local
from hydraflyte.launcher.notifications import mail_notifications
from hydraflyte.launcher.orders import task_settings_of
from hydraflyte.launcher.package import FileSet, build_bundle, collect_files, prove_importable
from hydraflyte.launcher.preparation import Launch, fit_all, literals_of, without_kickoff_time
from hydraflyte.launcher.provenance import code_annotations, document, find_lock_file, this_call
from hydraflyte.launcher.publication import content_key_of, images_of, registration_key
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.register import RegistrationPlan, SerializedEntity, entities_text, launch_plan_id, serialize
from hydraflyte.launcher.schedules import PlannedSchedule, schedule_name, schedule_of, schedule_text, scheduled_spec
from hydraflyte.launcher.task_settings import TaskSettings, settings_text
from hydraflyte.launcher.version import Version, check_is_clean, resolve_version

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def make_package(launch: Launch, path: Path) -> None:
    """Write the package of a launch to ``path``: the standard one by its ending, else hydraflyte's artifact.

    Raises:
        ConfigError: the launch is a sweep.
        VersionError: the domain takes only committed code, and this is none.
        InputsError: an override does not fit the workflow.
        PackagingError: the code cannot be imported from its bundle.
        ArtifactError: the file cannot be written.
    """
    job = _only_job(launch)
    with tempfile.TemporaryDirectory(prefix="hydraflyte-package-") as scratch:
        artifact = _artifact(launch, job, path, Path(scratch))
        is_standard = is_standard_name(path)
        (write_standard if is_standard else write_artifact)(path, artifact)
    with path.open("rb") as file:
        digest = sha256_of(file)
    assert artifact.manifest is not None
    report, manifest = launch.report, artifact.manifest
    if is_standard:
        report.line("the standard package names no version: whoever registers it gives one")
    else:
        report.line(f"version {manifest.version} ({manifest.reason})")
    report.line(f"packaged {manifest.workflow}: {entities_text(len(artifact.entities))}")
    _say_what_is_special(launch)
    report.line(f"{path} ({size_text(path.stat().st_size)}, sha256 {digest})")


def _only_job(launch: Launch) -> Job:
    sweeper = sweeper_of(launch.request)
    if len(launch.jobs) != 1 or sweeper != _BASIC_SWEEPER:
        what = f"{len(launch.jobs)} jobs" if sweeper == _BASIC_SWEEPER else f"the sweeper {sweeper}"
        raise ConfigError(
            f"A package has one set of defaults, and this launch has {what}.",
            hint="give one value for each key; where the config chooses a sweeper, add hydra/sweeper=basic.",
        )
    return launch.jobs[0]


def _artifact(launch: Launch, job: Job, path: Path, scratch: Path) -> Artifact:
    source, settings = launch.source, launch.settings
    files = _without(collect_files(source, (settings.workflow.ignore,)), path)
    with hydra_config_of(job):
        config = job.config_without_hydra()
        defaults = _defaults(launch, job, config)
    additions = _additions(launch, job)
    images = images_of(launch, files, is_embedded=True)  # whoever delivers it has no say in them
    content_key = content_key_of(images, {}, defaults, additions.key())
    version = _version(launch, files, content_key, is_changed=bool(job.overrides or additions.key()))
    bundle = build_bundle(files, scratch)
    launch.report.line(f"code bundle: {bundle.text}")
    prove_importable(bundle, source.modules, sys.executable, loads=source.loads)
    lock_file = find_lock_file(source.source_root)
    plan = RegistrationPlan(
        project="",  # these are filled in by whoever delivers
        domain="",
        version="",
        image=images.default,
        named_images=images.named,
        environment={},
        bundle_uri=CODE_MARK,
        key=registration_key(version, source),
        defaults=defaults,
        annotations=code_annotations(version, lock_file),
    )
    entities = _with_additions(serialize(source.workflow, source.entities, plan), additions)
    call = this_call()
    origin = json.loads(document(version, files, lock_file, call))
    del origin["call"]  # who delivers is the one who registers
    del origin["packages"]  # of this machine; the tasks run in images
    return Artifact(
        entities=entities,
        code=bundle.path,
        manifest=_manifest(source.workflow.name, settings.workflow, version, dict(call.versions)),
        documents={PROVENANCE: _json(origin), **_config_documents(config, job, entities)},
    )


def _without(files: FileSet, path: Path) -> FileSet:
    """Return the files without an earlier package at the same path: it is made of them."""
    return replace(files, files=tuple(file for file in files.files if file.path != path.absolute()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Additions:
    """What the config asks for beside the code.

    Attributes:
        tasks: settings by the full names of the tasks.
        schedules: one, or none; of the launch plan without its base.
    """

    tasks: Mapping[str, TaskSettings]
    notifications: tuple[common_pb2.Notification, ...]
    schedules: tuple[PlannedSchedule, ...]

    def key(self) -> dict[str, str]:
        """Return what decides about the main launch plan and its workflow; empty if all is as in the code."""
        parts = {"tasks": settings_text(self.tasks), "notifications": " ".join(map(str, self.notifications))}
        return {name: text for name, text in parts.items() if text}


def _additions(launch: Launch, job: Job) -> _Additions:
    """Return what the config asks for, checked.

    Raises:
        ConfigError: the settings of a task do not fit.
        ScheduleError: the schedule cannot be read, or never fires.
        InputsError: the config does not give all that an execution of the schedule needs.
    """
    names = [entity.name for entity in launch.source.entities if isinstance(entity, PythonTask)]
    notifications = mail_notifications(launch.settings.notifications)
    return _Additions(
        tasks=task_settings_of([job], names)[job.number],
        notifications=notifications,
        schedules=_schedules(launch, job, notifications),
    )


def _schedules(
    launch: Launch, job: Job, notifications: tuple[common_pb2.Notification, ...]
) -> tuple[PlannedSchedule, ...]:
    workflow = launch.settings.workflow
    schedule = schedule_of(workflow)
    if schedule is None:
        return ()
    parameters = without_kickoff_time(parameters_of(launch.source.workflow.python_interface))
    (fitted,) = fit_all([job], parameters)
    inputs = literals_of(job, fitted)
    local = [name for name, literal in inputs.literals.items() if is_local(literal)]
    if local:
        raise InputsError(
            f"The packaged schedule has files of this machine among its inputs: {', '.join(sorted(local))}.",
            hint="copy them to a store that the tasks can read, and give their addresses (s3://…, gs://…).",
        )
    name = launch.source.workflow.name
    overrides = shown_overrides(job.overrides) if workflow.schedule_each_job else None
    planned = PlannedSchedule(
        base=launch_plan_id(name, project="", domain="", version=""),
        name=schedule_name(name, overrides),
        inputs=inputs,
        schedule=schedule,
        annotations={},
        notifications=notifications,
    )
    return (planned,)


def _with_additions(entities: Sequence[SerializedEntity], additions: _Additions) -> tuple[SerializedEntity, ...]:
    """Return the entities with what the config asks for; the main launch plan is still the last."""
    *others, main = with_task_settings(entities, additions.tasks)
    assert isinstance(main.spec, launch_plan_pb2.LaunchPlanSpec), "serialize() puts the main launch plan last"
    if additions.notifications:
        main.spec.entity_metadata.notifications.extend(additions.notifications)
    base = launch_plan_pb2.LaunchPlan(id=main.identifier, spec=main.spec)
    base.closure.expected_inputs.CopyFrom(main.spec.default_inputs)
    for planned in additions.schedules:
        identifier = launch_plan_id(planned.name, project="", domain="", version="")
        others.append(SerializedEntity(identifier=identifier, spec=scheduled_spec(base, planned)))
    return (*others, main)


def _defaults(launch: Launch, job: Job, config: DictConfig) -> literals_pb2.LiteralMap:
    """Return what an execution gets that names nothing: the program's own config, with this call's overrides."""
    parameters = parameters_of(launch.source.workflow.python_interface)
    if launch.has_schedule():
        parameters = without_kickoff_time(parameters)
    if not job.overrides:
        return default_inputs(launch.request, parameters)
    for name, literal in sorted(_given(config, parameters).literals.items()):
        if is_local(literal):
            launch.report.line(f"attention: {name} is a file of this machine, so the package has no default for it")
    return fitting_inputs(config, parameters)


def _given(config: DictConfig, parameters: Sequence[Parameter]) -> literals_pb2.LiteralMap:
    """Return what the config has a value for; what it has none for is given by executions.

    Raises:
        InputsError: a value does not fit, or is none that a launch plan can have as a default.
    """
    names = [str(key) for key in config if not OmegaConf.is_missing(config, key)]
    wanted = {*names, *WHOLE_CONFIG_NAMES}
    present = OmegaConf.masked_copy(config, names)
    fitted = fit_inputs(present, [each for each in parameters if each.name in wanted or not each.is_required])
    return to_literals(fitted)


def _version(launch: Launch, files: FileSet, content_key: str, *, is_changed: bool) -> Version:
    workflow = launch.settings.workflow
    version = resolve_version(
        given=workflow.given_version(),
        source_root=launch.source.source_root,
        files=files,
        content_key=content_key,
    )
    if workflow.domain in workflow.require_clean:
        check_is_clean(version, workflow.domain)
    if not is_changed or version.qualified == version.text:
        return version
    return Version(
        text=version.qualified,
        reason=f"{version.reason}; with other defaults or settings",
        provenance=version.provenance,
        qualified=version.qualified,
    )


def _manifest(name: str, workflow: WorkflowConfig, version: Version, made_with: dict[str, str]) -> Manifest:
    return Manifest(
        workflow=name,
        version=version.text,
        qualified=version.qualified,
        reason=version.reason,
        project=workflow.project,
        domain=workflow.domain,
        committed=version.provenance.commit is not None,
        uncommitted=version.provenance.uncommitted,
        require_clean=tuple(workflow.require_clean),
        made_with=made_with,
    )


def _config_documents(config: DictConfig, job: Job, entities: Sequence[SerializedEntity]) -> dict[str, bytes]:
    main = entities[-1].spec
    assert isinstance(main, launch_plan_pb2.LaunchPlanSpec), "serialize() puts the main launch plan last"
    schema = {"config": schema_of(config), "inputs": inputs_schema(main.default_inputs)}
    return {
        CONFIG: OmegaConf.to_yaml(config, resolve=False).encode(),
        OVERRIDES: OmegaConf.to_yaml(list(shown_overrides(job.overrides))).encode(),
        SCHEMA: _json(schema),
    }


def _say_what_is_special(launch: Launch) -> None:
    schedule = schedule_of(launch.settings.workflow)
    if schedule is not None:
        launch.report.line(f"schedule: {schedule_text(schedule)}; `hydraflyte deliver --activate` starts it")
    left_out = sorted({each.type for each in launch.settings.notifications if each.type in LOCAL_KINDS})
    if left_out:
        launch.report.line(
            f"attention: notifications of type {', '.join(left_out)} are not packaged: only the embedded backend "
            "of a launch delivers them"
        )


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
