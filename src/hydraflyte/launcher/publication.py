"""From a workflow's source to its registration: version, code bundle, entities; nothing is sent twice.

One rule: whether anything has to be sent is decided by one question to the backend (docs/decisions/0053). Knows
nothing of jobs and their configs.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import flytekit
from flyteidl.core import identifier_pb2, literals_pb2

from hydraflyte.config import LauncherConfig, WorkflowConfig, nearest
from hydraflyte.errors import ConfigError, VersionTakenError
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.package import FileSet, build_bundle, collect_files, prove_importable
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
    find_launch_plan,
    key_of,
    launch_plan_id,
    register,
    serialize,
)
from hydraflyte.launcher.remote import Creation, FlyteClient, Upload
from hydraflyte.launcher.version import Version, check_is_clean, resolve_version

__all__ = ["container_environment", "content_key_of", "ensure_registered", "registration_key"]

_SHOWN = 3
"""How many of the biggest files of a code bundle are shown."""


def ensure_registered(client: FlyteClient, prepared: Prepared, sweep_dir: Path) -> Registration:
    """Return the registration; sends nothing if exactly this has been registered before.

    Raises:
        VersionError: the domain takes only committed code, and this is none.
        RegistrationError: an entity is refused; a ``VersionTakenError`` if its version has other content.
    """
    workflow = prepared.settings.workflow
    files = collect_files(prepared.source, (workflow.ignore,))
    version = _version(client, prepared, files)
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
    plan = _plan(client, prepared, files, replace(version, text=text))
    try:
        return _register(client, prepared, plan, version.reason)
    except VersionTakenError:  # half registered, with other settings
        if text == wanted[-1]:
            raise
        return _register(client, prepared, replace(plan, version=wanted[-1]), version.reason)


def _version(client: FlyteClient, prepared: Prepared, files: FileSet) -> Version:
    workflow = prepared.settings.workflow
    environment = container_environment(client.endpoint.is_embedded)
    version = resolve_version(
        given=workflow.given_version(),
        source_root=prepared.source.source_root,
        files=files,
        content_key=content_key_of(prepared.settings, environment, prepared.defaults),
    )
    _check_require_clean(client, workflow)
    if workflow.domain in workflow.require_clean:
        check_is_clean(version, workflow.domain)
    return version


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


def _plan(client: FlyteClient, prepared: Prepared, files: FileSet, version: Version) -> RegistrationPlan:
    """Send what is to be sent before any entity; returns what the entities are registered with."""
    workflow = prepared.settings.workflow
    prepared.report.line(f"version {version.text} ({version.reason})")
    lock_file = find_lock_file(prepared.source.source_root)
    return RegistrationPlan(
        project=workflow.project,
        domain=workflow.domain,
        version=version.text,
        image=workflow.default_image.reference(),
        environment=container_environment(client.endpoint.is_embedded),
        bundle_uri=_send_code(client, prepared, files),
        key=registration_key(version, prepared.source),
        defaults=prepared.defaults,
        annotations={
            **code_annotations(version, lock_file),
            **prepared.call.annotations(),
            DOCUMENT: _send_document(client, workflow, document(version, files, lock_file, prepared.call)),
        },
    )


def _register(client: FlyteClient, prepared: Prepared, plan: RegistrationPlan, reason: str) -> Registration:
    source, report = prepared.source, prepared.report
    registration = register(client, serialize(source.workflow, source.entities, plan))
    created, unchanged = (registration.count(creation) for creation in (Creation.CREATED, Creation.UNCHANGED))
    report.line(f"registered {source.workflow.name}: {created} entities created, {unchanged} unchanged")
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
        counts = f"{bundle.file_count} files, {bundle.size_bytes / 1024:.0f} kB, {bundle.ignored_count} left out"
        biggest = ", ".join(f"{file.name} ({file.size_bytes / 1024:.0f} kB)" for file in bundle.biggest[:_SHOWN])
        prepared.report.line(f"code bundle: {counts}; the biggest: {biggest}")
        prove_importable(bundle, prepared.source.modules, sys.executable, loads=prepared.source.loads)
        file = Upload(path=bundle.path, digest_md5=bundle.digest_md5)
        return client.upload(workflow.project, workflow.domain, file)


def _launch_plan(prepared: Prepared, version: str) -> identifier_pb2.Identifier:
    workflow = prepared.settings.workflow
    name = prepared.source.workflow.name
    return launch_plan_id(name, project=workflow.project, domain=workflow.domain, version=version)


def container_environment(is_embedded: bool) -> dict[str, str]:
    """Return the variables of every task: on this machine, tasks run in the interpreter that launched them."""
    return {PYTHON_VARIABLE: sys.executable} if is_embedded else {}


def content_key_of(settings: LauncherConfig, environment: Mapping[str, str], defaults: literals_pb2.LiteralMap) -> str:
    """Return, in a canonical form, everything but the code that decides what is registered."""
    parts = {
        "image": settings.workflow.default_image.reference(),
        "environment": dict(environment),
        "flytekit": flytekit.__version__,
        "defaults": hashlib.sha256(defaults.SerializeToString(deterministic=True)).hexdigest()[:32],
    }
    return json.dumps(parts, sort_keys=True)


def registration_key(version: Version, source: WorkflowSource) -> str:
    """Return the digest by which a registration vouches for its content (docs/decisions/0053)."""
    parts = (version.provenance.content_digest, version.provenance.content_key, source.workflow.name)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
