"""A launch that goes into a file: workflow, version, code bundle and config -> Artifact, without any backend.

One rule: the same tree and the same versions of Python, flytekit, Hydra and hydraflyte give the same bytes; who
packaged it, where and when are left out (docs/decisions/0130).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import literals_pb2
from omegaconf import DictConfig, OmegaConf

from hydraflyte.config import WorkflowConfig
from hydraflyte.errors import ConfigError
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
from hydraflyte.launcher.artifacts.templates import CODE_MARK
from hydraflyte.launcher.defaults import default_inputs, fitting_inputs
from hydraflyte.launcher.execute import parameters_of
from hydraflyte.launcher.files import size_text
from hydraflyte.launcher.inputs import SETTINGS_KEY, WHOLE_CONFIG_NAMES, Parameter, fit_inputs
from hydraflyte.launcher.jobs import Job, hydra_config_of, sweeper_of
from hydraflyte.launcher.package import FileSet, build_bundle, collect_files, prove_importable
from hydraflyte.launcher.preparation import Launch
from hydraflyte.launcher.provenance import code_annotations, document, find_lock_file, this_call
from hydraflyte.launcher.publication import content_key_of, images_of, registration_key
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.register import RegistrationPlan, SerializedEntity, serialize
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
    report.line(f"packaged {manifest.workflow}: {len(artifact.entities)} entities")
    _say_what_is_left_out(launch, job)
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
    images = images_of(launch, files, is_embedded=True)  # whoever delivers it has no say in them
    version = _version(launch, files, content_key_of(images, {}, defaults), is_changed=bool(job.overrides))
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
    entities = serialize(source.workflow, source.entities, plan)
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


def _defaults(launch: Launch, job: Job, config: DictConfig) -> literals_pb2.LiteralMap:
    """Return what an execution gets that names nothing: the program's own config, with this call's overrides."""
    parameters = parameters_of(launch.source.workflow.python_interface)
    if not job.overrides:
        return default_inputs(launch.request, parameters)
    _refuse_misfits(config, parameters)
    return fitting_inputs(config, parameters)


def _refuse_misfits(config: DictConfig, parameters: Sequence[Parameter]) -> None:
    """Check what the config has a value for; what it has none for is given by executions."""
    names = [str(key) for key in config if not OmegaConf.is_missing(config, key)]
    wanted = {*names, *WHOLE_CONFIG_NAMES}
    present = OmegaConf.masked_copy(config, names)
    fit_inputs(present, [each for each in parameters if each.name in wanted or not each.is_required])


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
        reason=f"{version.reason}; with other defaults",
        provenance=version.provenance,
        qualified=version.qualified,
    )


def _manifest(name: str, workflow: WorkflowConfig, version: Version, made_with: dict[str, str]) -> Manifest:
    return Manifest(
        workflow=name,
        version=version.text,
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


def _say_what_is_left_out(launch: Launch, job: Job) -> None:
    workflow = launch.settings.workflow
    if workflow.cron_schedule is not None or workflow.fixed_rate is not None:
        launch.report.line("attention: schedules are not packaged; a launch at the place of delivery sets them")
    if SETTINGS_KEY in job.config and SETTINGS_KEY not in launch.source.workflow.python_interface.inputs:
        launch.report.line("attention: settings under flyte.tasks belong to a launch, and are not packaged")


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
