"""A package and a backend -> a registration there: code bundle uploaded, holes filled, entities created.

One rule: the main launch plan comes last and vouches for the rest, so whatever interrupts a delivery, the next one
completes it. Needs neither the code nor its dependencies; of the entities it knows only their protobufs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flyteidl.admin import launch_plan_pb2

from hydraflyte.errors import ArtifactError, VersionError, VersionTakenError
from hydraflyte.launcher.artifacts.contents import PROVENANCE, Artifact
from hydraflyte.launcher.artifacts.scheduling import DeliveredSchedule, deliver_schedules, without_added
from hydraflyte.launcher.artifacts.templates import Place, fill, needs_code
from hydraflyte.launcher.places import misplaced
from hydraflyte.launcher.provenance import DOCUMENT, DOCUMENT_NAME, Call
from hydraflyte.launcher.register import (
    REGISTRATION_KEY,
    RegisteredEntity,
    SerializedEntity,
    find_launch_plan,
    key_of,
    launch_plan_id,
    register,
)
from hydraflyte.launcher.remote import Creation, FlyteClient, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Under which names a package is registered.

    Attributes:
        alternative: the version to take where ``version`` has other content, since a launch of the same commit has
            registered it with its own settings; None if the version was given.
    """

    project: str
    domain: str
    version: str
    alternative: str | None = None

    def facts(self) -> dict[str, str]:
        """Return the names."""
        return {"project": self.project, "domain": self.domain, "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a delivery did.

    Attributes:
        target: where it is registered.
        entities: every entity and what became of it.
        code_uri: where the code bundle is; None if there is none, or nothing had to be sent.
        schedules: those of the package.
        stopped: names of schedules that were active, and are not in the package.
    """

    target: Target
    entities: tuple[RegisteredEntity, ...]
    code_uri: str | None
    schedules: tuple[DeliveredSchedule, ...] = ()
    stopped: tuple[str, ...] = ()

    def count(self, creation: Creation) -> int:
        """Return how many entities were created, or were there already."""
        return sum(1 for entity in self.entities if entity.creation is creation)


def target_of(artifact: Artifact, *, project: str | None, domain: str | None, version: str | None) -> Target:
    """Return where a package goes: as told, else as it says itself, else Flyte's first project and domain.

    Raises:
        VersionError: nobody names a version, or the domain takes only committed code and this is none.
    """
    manifest, own = artifact.manifest, artifact.entities[0].identifier
    alternative = manifest.qualified if manifest is not None and not version else None
    version = version or (manifest.version if manifest is not None else own.version)
    if not version:
        raise VersionError(
            "The package names no version: `pyflyte package` leaves it to whoever registers.",
            hint="give one with --version.",
        )
    target = Target(
        project=project or (manifest.project if manifest is not None else own.project) or "flytesnacks",
        domain=domain or (manifest.domain if manifest is not None else own.domain) or "development",
        version=version,
        alternative=None if alternative == version else alternative,
    )
    if manifest is not None and target.domain in manifest.require_clean:
        _refuse_uncommitted(target.domain, committed=manifest.committed, uncommitted=manifest.uncommitted)
    return target


def preview(artifact: Artifact, target: Target) -> tuple[SerializedEntity, ...]:
    """Return the entities as they would be registered, but for the code bundle's URI, which is not known before.

    Raises:
        ArtifactError: the package cannot be delivered so.
    """
    if artifact.code is None and needs_code(artifact.entities):
        raise ArtifactError(
            "Tasks of the package load a code bundle, and there is none in it.",
            hint="have it written again: `pyflyte package` puts it in with --copy all.",
        )
    return _filled(artifact, target, None)


def deliver(
    client: FlyteClient, artifact: Artifact, target: Target, call: Call, *, activates: bool = False
) -> Delivery:
    """Register what is not there yet.

    Args:
        activates: whether the schedules of the package are started, and others of its workflow stopped; without it,
            nothing that runs is changed.

    Raises:
        ArtifactError: the package cannot be delivered so.
        VersionTakenError: an entity is registered under this version with other content.
        RegistrationError: the backend refuses an entity.
        ConfigError: the backend has no such project or domain.
    """
    preview(artifact, target)
    try:
        delivery = _deliver_entities(client, artifact, target, call)
    except VersionTakenError:
        if target.alternative is None:
            raise
        target = replace(target, version=target.alternative, alternative=None)
        delivery = _deliver_entities(client, artifact, target, call)
    delivered = deliver_schedules(client, preview(artifact, target), call, activates=activates)
    return replace(delivery, schedules=delivered.schedules, stopped=delivered.stopped)


def _deliver_entities(client: FlyteClient, artifact: Artifact, target: Target, call: Call) -> Delivery:
    entities = without_added(_filled(artifact, target, None))
    if _is_delivered(client, entities[-1]):
        unchanged = [
            RegisteredEntity(kind=each.kind, name=each.identifier.name, creation=Creation.UNCHANGED)
            for each in entities
        ]
        return Delivery(target=target, entities=tuple(unchanged), code_uri=None)
    problem = misplaced(client, target.project, target.domain, setting="--{} ")
    if problem is not None:
        raise problem
    code_uri = None if artifact.code is None else _upload(client, target, artifact.code)
    entities = without_added(_filled(artifact, target, code_uri))
    main = entities[-1].spec
    if PROVENANCE in artifact.documents and isinstance(main, launch_plan_pb2.LaunchPlanSpec):
        uri = _upload_document(client, target, _document(artifact, target, call))
        main.annotations.values.update({**call.annotations(), DOCUMENT: uri})
    try:
        registration = register(client, entities)
    except VersionTakenError as error:
        raise VersionTakenError(
            error.message, hint="deliver it as another version with --version, or have the package made anew."
        ) from error
    return Delivery(target=target, entities=registration.entities, code_uri=code_uri)


def _filled(artifact: Artifact, target: Target, code_uri: str | None) -> tuple[SerializedEntity, ...]:
    place = Place(project=target.project, domain=target.domain, version=target.version, code_uri=code_uri)
    return tuple(fill(entity, place) for entity in artifact.entities)


def _is_delivered(client: FlyteClient, main: SerializedEntity) -> bool:
    """Tell whether the main launch plan is there and vouches for this very content."""
    if not isinstance(main.spec, launch_plan_pb2.LaunchPlanSpec):
        return False
    key = main.spec.annotations.values.get(REGISTRATION_KEY)
    own = main.identifier
    found = find_launch_plan(
        client, launch_plan_id(own.name, project=own.project, domain=own.domain, version=own.version)
    )
    return bool(key) and found is not None and key_of(found) == key


def _upload(client: FlyteClient, target: Target, path: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            hasher.update(chunk)
    return client.upload(target.project, target.domain, Upload(path=path, digest_md5=hasher.digest()))


def _upload_document(client: FlyteClient, target: Target, content: bytes) -> str:
    with tempfile.TemporaryDirectory(prefix="hydraflyte-provenance-") as scratch:
        path = Path(scratch) / DOCUMENT_NAME
        path.write_bytes(content)
        return _upload(client, target, path)


def _document(artifact: Artifact, target: Target, call: Call) -> bytes:
    """Return the provenance as the launcher stores it: that of the package, and who delivered it."""
    try:
        content = json.loads(artifact.documents[PROVENANCE])
        content["version"] = target.version
        content["call"] = {
            "command_line": call.command_line,
            "user": call.user,
            "host": call.host,
            "versions": dict(call.versions),
        }
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"{PROVENANCE} in the package cannot be read: {error}", hint="have the package written again."
        ) from error
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def call_of(call: Call, made_with: Mapping[str, str] | None) -> Call:
    """Return the call of a delivery: who delivers, with the versions that the package was made with."""
    return call if made_with is None else replace(call, versions=made_with)


def _refuse_uncommitted(domain: str, *, committed: bool, uncommitted: tuple[str, ...]) -> None:
    if committed and not uncommitted:
        return
    files = ", ".join(uncommitted[:5]) or "all of it: it was packaged outside git"
    raise VersionError(
        f"The domain {domain} takes only committed code (hydra.launcher.workflow.require_clean), and this package "
        f"has other code: {files}.",
        hint="commit it, and package it again.",
    )
