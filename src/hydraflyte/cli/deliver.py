"""``deliver``: registers a package on a backend, in a project and domain; needs no code and none of its packages."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydraflyte.cli.clients import client_of
from hydraflyte.cli.options import Verbs, add_home, add_json, print_json, print_table
from hydraflyte.cli.package import artifact_facts

if TYPE_CHECKING:  # imported late where used: grpc and flytekit cost 1 s that `--help` need not pay
    from hydraflyte.launcher.artifacts.contents import Artifact
    from hydraflyte.launcher.artifacts.delivery import Delivery, Target
    from hydraflyte.launcher.endpoint import Endpoint
    from hydraflyte.launcher.register import SerializedEntity


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module."""
    deliver = verbs.add_parser(
        "deliver",
        help="register a package on a backend",
        description="Register what `hydraflyte package` or `pyflyte package` wrote; what is there already stays.",
    )
    deliver.add_argument("file", metavar="FILE", help="the package")
    deliver.add_argument("--project", help="default: the one it was packaged for, else flytesnacks")
    deliver.add_argument("--domain", help="default: the one it was packaged for, else development")
    deliver.add_argument(
        "--version", metavar="TEXT", help="default: the version it was packaged as; `pyflyte package` names none"
    )
    deliver.add_argument(
        "--endpoint",
        default="auto",
        help="as hydra.launcher.endpoint (default: %(default)s); --home means the embedded backend",
    )
    deliver.add_argument(
        "--activate",
        action="store_true",
        help="start the schedules of the package, and stop earlier ones of the workflow that are not in it",
    )
    deliver.add_argument("--dry-run", action="store_true", help="check the package, and only say what would be done")
    add_home(deliver)
    add_json(deliver)
    deliver.set_defaults(run=run_deliver)


def run_deliver(options: argparse.Namespace) -> int:
    """Check the package whole, then register it."""
    from hydraflyte.launcher.artifacts.contents import read_package
    from hydraflyte.launcher.artifacts.delivery import call_of, deliver, preview, target_of
    from hydraflyte.launcher.provenance import this_call

    with tempfile.TemporaryDirectory(prefix="hydraflyte-package-") as scratch:
        artifact = read_package(Path(options.file), Path(scratch))
        target = target_of(artifact, project=options.project, domain=options.domain, version=options.version)
        if options.dry_run:
            _tell_plan(options, artifact, target, preview(artifact, target))
            return 0
        manifest = artifact.manifest
        call = call_of(this_call(), manifest.made_with if manifest is not None else None)
        with client_of(options) as client:
            delivery = deliver(client, artifact, target, call, activates=options.activate)
            _tell(options, client.endpoint, delivery)
            if delivery.target != target and not options.json:
                print(f"version {target.version} is registered with other settings, as by a launch of this commit")
    return 0


def _tell_plan(
    options: argparse.Namespace, artifact: Artifact, target: Target, entities: tuple[SerializedEntity, ...]
) -> None:
    if options.json:
        print_json({"dry_run": True, **target.facts(), **artifact_facts(artifact)})
        return
    print(f"dry run: {options.file} is complete; nothing is sent")
    print(f"would be registered in {target.project}/{target.domain} as version {target.version}:")
    print_table(("kind", "name"), [{"kind": each.kind, "name": each.identifier.name} for each in entities])
    print(f"code bundle: {artifact.code.name if artifact.code is not None else 'none, the images have the code'}")


def _tell(options: argparse.Namespace, endpoint: Endpoint, delivery: Delivery) -> None:
    from hydraflyte.launcher.register import entities_text
    from hydraflyte.launcher.remote import Creation

    created, unchanged = delivery.count(Creation.CREATED), delivery.count(Creation.UNCHANGED)
    target, schedules = delivery.target, delivery.schedules
    if options.json:
        facts: dict[str, Any] = {"endpoint": endpoint.target, **target.facts(), "code": delivery.code_uri}
        entities = [
            {"kind": each.kind, "name": each.name, "creation": each.creation.value} for each in delivery.entities
        ]
        facts |= {"entities": entities, "created": created, "unchanged": unchanged}
        facts["schedules"] = [
            {"name": each.name, "schedule": each.expression, "state": each.state, "version": each.version}
            for each in schedules
        ]
        print_json({**facts, "deactivated": delivery.stopped})
        return
    where = f"{target.project}/{target.domain} at {endpoint.place}"
    print(f"version {target.version} in {where}: {entities_text(created)} created, {unchanged} unchanged")
    for each in delivery.entities:
        if each.kind == "launch plan":
            print(f"launch plan {each.name}")
    for schedule in schedules:
        print(f"schedule {schedule.name} (version {schedule.version}): {schedule.expression}, {schedule.state}")
    if not all(schedule.is_active for schedule in schedules):
        print("`hydraflyte schedules activate NAME` starts one, `hydraflyte deliver --activate` all of a package")
    for name in delivery.stopped:
        print(f"schedule {name} deactivated: the package does not have it")
