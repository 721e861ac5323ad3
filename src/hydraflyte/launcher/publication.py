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
from pathlib import Path

import flytekit
from flyteidl.core import identifier_pb2

from hydraflyte.config import LauncherConfig
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.package import FileSet, build_bundle, collect_files, prove_importable
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.register import (
    PYTHON_VARIABLE,
    Registration,
    RegistrationPlan,
    launch_plan_id,
    register,
    registered_key,
    serialize,
)
from hydraflyte.launcher.remote import Creation, FlyteClient, Upload
from hydraflyte.launcher.version import Version, resolve_version

__all__ = ["container_environment", "content_key_of", "ensure_registered"]


def ensure_registered(client: FlyteClient, prepared: Prepared, sweep_dir: Path) -> Registration:
    """Return the registration; sends nothing if exactly this has been registered before."""
    workflow, report = prepared.settings.workflow, prepared.report
    given = workflow.given_version()
    if given is not None:
        launch_plan = _launch_plan(prepared, given)
        if registered_key(client, launch_plan) is not None:
            report.line(f"version {given} is registered: it runs as it is, nothing is sent")
            return Registration(launch_plan=launch_plan, entities=())
    files = collect_files(prepared.source, (workflow.ignore,))
    environment = container_environment(client.endpoint.is_embedded)
    content_key = content_key_of(prepared.settings, environment)
    root = prepared.source.source_root
    version = resolve_version(given=given, source_root=root, files=files, content_key=content_key)
    if version.provenance.diff:
        (sweep_dir / "uncommitted.diff").write_text(version.provenance.diff, encoding="utf-8", errors="surrogateescape")
    key = _registration_key(version, prepared.source)
    for text in dict.fromkeys((version.text, version.qualified)):
        launch_plan = _launch_plan(prepared, text)
        found = registered_key(client, launch_plan)
        if found == key:
            report.line(f"version {text} ({version.reason}) is registered already")
            return Registration(launch_plan=launch_plan, entities=())
        if found is None:
            break
    report.line(f"version {text} ({version.reason})")
    plan = RegistrationPlan(
        project=workflow.project,
        domain=workflow.domain,
        version=text,
        image=workflow.default_image.reference(),
        environment=environment,
        bundle_uri=_send_code(client, prepared, files),
        key=key,
    )
    registration = register(client, serialize(prepared.source.workflow, prepared.source.entities, plan))
    created, unchanged = (registration.count(creation) for creation in (Creation.CREATED, Creation.UNCHANGED))
    report.line(f"registered {prepared.source.workflow.name}: {created} entities created, {unchanged} unchanged")
    return registration


def _send_code(client: FlyteClient, prepared: Prepared, files: FileSet) -> str:
    """Upload the code bundle, after a clean process has imported everything from it; returns its URI."""
    workflow = prepared.settings.workflow
    with tempfile.TemporaryDirectory(prefix="hydraflyte-bundle-") as scratch:
        bundle = build_bundle(files, Path(scratch))
        counts = f"{bundle.file_count} files, {bundle.size_bytes / 1024:.0f} kB, {bundle.ignored_count} left out"
        prepared.report.line(f"code bundle: {counts}")
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


def content_key_of(settings: LauncherConfig, environment: Mapping[str, str]) -> str:
    """Return, in a canonical form, everything but the code that decides what is registered."""
    parts = {
        "image": settings.workflow.default_image.reference(),
        "environment": dict(environment),
        "flytekit": flytekit.__version__,
    }
    return json.dumps(parts, sort_keys=True)


def _registration_key(version: Version, source: WorkflowSource) -> str:
    parts = (version.provenance.content_digest, version.provenance.content_key, source.workflow.name)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
