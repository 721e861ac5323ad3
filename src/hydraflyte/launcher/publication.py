"""From a workflow's source to its registration: version, code bundle, entities; nothing is sent twice.

One rule: whether anything has to be sent is decided by one question to the backend (docs/decisions/0053). Knows
nothing of jobs and their configs.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import flytekit
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.core.python_auto_container import PythonAutoContainerTask

from hydraflyte.config import LauncherConfig, WorkflowConfig, nearest
from hydraflyte.errors import ConfigError, RegistrationError, VersionTakenError
from hydraflyte.launcher.code.files import size_text
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.images.choice import (
    Images,
    Surroundings,
    builds_images,
    have_images,
    images_as_they_are,
    wishes,
)
from hydraflyte.launcher.package import FileSet, build_bundle, collect_files, prove_importable
from hydraflyte.launcher.places import misplaced
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.provenance import (
    DOCUMENT,
    DOCUMENT_NAME,
    annotations_of_code,
    code_annotations,
    document,
    find_lock_file,
)
from hydraflyte.launcher.register import (
    PYTHON_VARIABLE,
    Registration,
    RegistrationPlan,
    entities_text,
    find_launch_plan,
    key_of,
    launch_plan_id,
    register,
    serialize,
)
from hydraflyte.launcher.remote import Creation, FlyteClient, Upload
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.version import Version, check_is_clean, resolve_version

__all__ = ["container_environment", "content_key_of", "ensure_registered", "images_of", "registration_key"]

_SHOWN = 3
"""How many of the biggest files of a code bundle are shown."""


def ensure_registered(client: FlyteClient, prepared: Prepared, sweep_dir: Path) -> Registration:
    """Return the registration; sends nothing if exactly this has been registered before.

    Images that are to be made are made first: what is registered names them by digest.

    Raises:
        ConfigError: an image cannot be made as the config says, or there is no such project or domain.
        ImageError: an image cannot be had.
        VersionError: the domain takes only committed code, and this is none.
        RegistrationError: an entity is refused; a ``VersionTakenError`` if its version has other content.
    """
    workflow = prepared.settings.workflow
    files = collect_files(prepared.source, (workflow.ignore,))
    _refuse_unclean(client, prepared, files)  # before anything is pushed
    release = _Release(files=files, images=images_of(prepared, files, is_embedded=client.endpoint.is_embedded))
    version = _version(client, prepared, release)
    if version.provenance.diff:
        (sweep_dir / "uncommitted.diff").write_text(version.provenance.diff, encoding="utf-8", errors="surrogateescape")
    key = registration_key(version, prepared.source)
    wanted = tuple(dict.fromkeys((version.text, version.qualified)))
    for text in wanted:
        found = find_launch_plan(client, _launch_plan(prepared, text))
        if found is not None and key_of(found) == key:
            prepared.report.line(f"version {text} ({version.reason}) is registered already")
            return Registration(
                launch_plan=found.id, entities=(), annotations=annotations_of_code(found.spec.annotations.values)
            )
        if found is None:
            break
    plan = _plan(client, prepared, release, replace(version, text=text))
    try:
        return _register(client, prepared, plan, version.reason)
    except VersionTakenError:  # half registered, with other settings
        if text == wanted[-1]:
            raise
        return _register(client, prepared, replace(plan, version=wanted[-1]), version.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """What is to be registered, besides the entities: the code and the images."""

    files: FileSet
    images: Images


class _Imaged(Protocol):
    """What has images; ``Launch`` and ``Prepared`` are two."""

    @property
    def settings(self) -> LauncherConfig: ...
    @property
    def source(self) -> WorkflowSource: ...
    @property
    def report(self) -> SweepReport: ...


def images_of(launch: _Imaged, files: FileSet, *, is_embedded: bool) -> Images:
    """Return the images that tasks are registered with, made first where the config asks for that.

    Raises:
        ConfigError: an image cannot be made as the config says.
        ImageError: an image cannot be had.
    """
    settings = launch.settings
    if not builds_images(settings, is_embedded=is_embedded):
        return images_as_they_are(settings)
    from hydraflyte.launcher.images.builders import builders_for  # late: 40 ms of registries that few launches need

    around = Surroundings(root=launch.source.source_root, files=files, environment=os.environ)
    wanted = wishes(settings, around)
    return have_images(settings, wanted, builders_for(wanted, os.environ), launch.report.line)


def _version(client: FlyteClient, prepared: Prepared, release: _Release) -> Version:
    workflow = prepared.settings.workflow
    environment = container_environment(client.endpoint.is_embedded)
    return resolve_version(
        given=workflow.given_version(),
        source_root=prepared.source.source_root,
        files=release.files,
        content_key=content_key_of(release.images, environment, prepared.defaults),
    )


def _refuse_unclean(client: FlyteClient, prepared: Prepared, files: FileSet) -> None:
    """Check that the code is committed where the domain takes no other.

    Raises:
        ConfigError: ``require_clean`` names no domain.
        VersionError: the code is not committed.
    """
    workflow = prepared.settings.workflow
    _check_require_clean(client, workflow)
    if workflow.domain in workflow.require_clean:
        source_root = prepared.source.source_root
        check_is_clean(
            resolve_version(given=workflow.given_version(), source_root=source_root, files=files), workflow.domain
        )


def _check_require_clean(client: FlyteClient, workflow: WorkflowConfig) -> None:
    """Check that ``require_clean`` names domains that there are: a typo must not take the guard away.

    Raises:
        ConfigError: it does not.
    """
    if not workflow.require_clean:
        return
    domains = client.domains()
    unknown = [domain for domain in workflow.require_clean if domains and domain not in domains]
    if unknown:
        meant = nearest(unknown[0], domains)
        raise ConfigError(
            f"hydra.launcher.workflow.require_clean names {unknown[0]!r}, which is no domain of this backend.",
            hint=f"did you mean {meant}?" if meant else f"its domains are {', '.join(domains)}.",
        )


def _plan(client: FlyteClient, prepared: Prepared, release: _Release, version: Version) -> RegistrationPlan:
    """Send what is to be sent before any entity; returns what the entities are registered with."""
    workflow = prepared.settings.workflow
    prepared.report.line(f"version {version.text} ({version.reason})")
    lock_file = find_lock_file(prepared.source.source_root)
    return RegistrationPlan(
        project=workflow.project,
        domain=workflow.domain,
        version=version.text,
        image=release.images.default,
        named_images=release.images.named,
        environment=container_environment(client.endpoint.is_embedded),
        bundle_uri=_send_code(client, prepared, release.files) if _needs_a_bundle(client, prepared, release) else None,
        key=registration_key(version, prepared.source),
        defaults=prepared.defaults,
        builds_image_specs=_builds_image_specs(prepared, client),
        annotations={
            **code_annotations(version, lock_file),
            **prepared.call.annotations(),
            DOCUMENT: _send_document(client, workflow, document(version, release.files, lock_file, prepared.call)),
        },
    )


def _builds_image_specs(prepared: Prepared, client: FlyteClient) -> bool:
    """Tell whether images that tasks describe are built; tasks of the embedded backend seldom run in them."""
    wanted = prepared.settings.build_images
    return wanted is True or (wanted == "auto" and not client.endpoint.is_embedded)


def _needs_a_bundle(client: FlyteClient, prepared: Prepared, release: _Release) -> bool:
    """Tell whether a task would start without the code: as a process of this machine, or in an image of its own."""
    if not (client.endpoint.runs_images and release.images.hold_the_code):
        return True
    tasks = [entity for entity in prepared.source.entities if isinstance(entity, PythonAutoContainerTask)]
    return any(task.container_image and "{{" not in str(task.container_image) for task in tasks)


def _register(client: FlyteClient, prepared: Prepared, plan: RegistrationPlan, reason: str) -> Registration:
    source, report = prepared.source, prepared.report
    entities = serialize(source.workflow, source.entities, plan)
    try:
        registration = register(client, entities)
    except RegistrationError as error:
        problem = misplaced(client, plan.project, plan.domain, setting="hydra.launcher.workflow.{}=")
        if problem is None:
            raise
        raise problem from error
    created, unchanged = (registration.count(creation) for creation in (Creation.CREATED, Creation.UNCHANGED))
    report.line(f"registered {source.workflow.name}: {entities_text(created)} created, {unchanged} unchanged")
    return replace(registration, annotations=annotations_of_code(plan.annotations))


def _send_document(client: FlyteClient, workflow: WorkflowConfig, text: str) -> str:
    with tempfile.TemporaryDirectory(prefix="hydraflyte-provenance-") as scratch:
        path = Path(scratch) / DOCUMENT_NAME
        content = text.encode()
        path.write_bytes(content)
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        return client.upload(workflow.project, workflow.domain, Upload(path=path, digest_md5=digest))


def _send_code(client: FlyteClient, prepared: Prepared, files: FileSet) -> str:
    """Upload the code bundle, after a clean process has imported everything from it; returns its URI."""
    workflow = prepared.settings.workflow
    with tempfile.TemporaryDirectory(prefix="hydraflyte-bundle-") as scratch:
        bundle = build_bundle(files, Path(scratch))
        biggest = ", ".join(f"{file.name} ({size_text(file.size_bytes)})" for file in bundle.biggest[:_SHOWN])
        prepared.report.line(f"code bundle: {bundle.text}; the biggest: {biggest}")
        prove_importable(bundle, prepared.source.modules, sys.executable, loads=prepared.source.loads)
        file = Upload(path=bundle.path, digest_md5=bundle.digest_md5)
        return client.upload(workflow.project, workflow.domain, file)


def _launch_plan(prepared: Prepared, version: str) -> identifier_pb2.Identifier:
    workflow = prepared.settings.workflow
    name = prepared.source.workflow.name
    return launch_plan_id(name, project=workflow.project, domain=workflow.domain, version=version)


def container_environment(is_embedded: bool) -> dict[str, str]:
    """Return the variables of every task: on this machine, tasks run in the interpreter that launched them."""
    return {PYTHON_VARIABLE: _one_name_of(Path(sys.executable))} if is_embedded else {}


def _one_name_of(interpreter: Path) -> str:
    """Return one of an interpreter's names beside each other (python, python3 …), always the same: it is registered."""
    names = (interpreter.with_name(name) for name in ("python", "python3"))
    return str(next((name for name in names if name.exists() and name.samefile(interpreter)), interpreter))


def content_key_of(
    images: Images,
    environment: Mapping[str, str],
    defaults: literals_pb2.LiteralMap,
    extras: Mapping[str, str] | None = None,
) -> str:
    """Return, in a canonical form, everything but the code that decides what is registered.

    Args:
        extras: what only a package has: settings of tasks, and notifications.
    """
    parts = {
        "images": images.key(),
        "environment": dict(environment),
        "flytekit": flytekit.__version__,
        "defaults": hashlib.sha256(defaults.SerializeToString(deterministic=True)).hexdigest()[:32],
        **(extras or {}),
    }
    return json.dumps(parts, sort_keys=True)


def registration_key(version: Version, source: WorkflowSource) -> str:
    """Return the digest by which a registration vouches for its content (docs/decisions/0053)."""
    parts = (version.provenance.content_digest, version.provenance.content_key, source.workflow.name)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
