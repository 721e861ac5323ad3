"""``schedules list | activate | deactivate | prune``: launch plans that a schedule runs, and when they fire next.

Sees the schedules of every tool; ``prune`` touches only those that a launch has made. Starts no backend.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hydraflyte.cli.clients import add_endpoint, client_of
from hydraflyte.cli.options import Verbs, add_home, add_json, print_json, print_table
from hydraflyte.errors import ConfigError, NotRegisteredError

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from collections.abc import Iterator

    from flyteidl.admin.launch_plan_pb2 import LaunchPlan

    from hydraflyte.launcher.remote import GrpcFlyteClient


def add_verbs(verbs: Verbs) -> None:
    """Add the noun ``schedules`` and its verbs."""
    noun = verbs.add_parser("schedules", help="schedules on the backend")
    actions = noun.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="active schedules and their next three fire times")
    listing.add_argument("--all", action="store_true", help="those that are not active, too: the newest of each name")
    listing.set_defaults(run=run_list)

    activate = actions.add_parser("activate", help="let them fire; the active version of a name gives way")
    activate.add_argument("--version", help="of the one schedule that is named (default: the newest)")
    activate.set_defaults(run=run_activate)

    deactivate = actions.add_parser("deactivate", help="let them fire no more")
    deactivate.set_defaults(run=run_deactivate)

    prune = actions.add_parser("prune", help="deactivate those whose workflow has been registered anew without them")
    prune.add_argument("--dry-run", action="store_true", help="only show them")
    prune.set_defaults(run=run_prune)

    for action in (listing, activate, deactivate, prune):
        if action in (activate, deactivate):
            action.add_argument("names", metavar="SCHEDULE", nargs="*", help="name of its launch plan")
            action.add_argument("--workflow", metavar="NAME", help="all schedules of this workflow")
        add_endpoint(action)
        add_home(action)
        add_json(action)


def run_list(options: argparse.Namespace) -> int:
    """Print the schedules, by name."""
    with client_of(options) as client:
        schedules = [_facts(plan) for plan in _scheduled(client, options, only_active=not options.all)]
    place = f"{options.project}/{options.domain}"
    empty = f"no schedule in {place}" if options.all else f"no active schedule in {place}; --all shows the others"
    _print(schedules, options, empty=empty)
    return 0


def run_activate(options: argparse.Namespace) -> int:
    """Activate schedules; all of them are found before the first is."""
    with client_of(options) as client:
        chosen = [_chosen(_versions(client, options, name), options) for name in _names(client, options)]
        for plan in chosen:
            client.set_active(plan.id, active=True)
        facts = [_facts(client.fetch(plan.id)) for plan in chosen]
    _print(facts, options)
    return 0


def run_deactivate(options: argparse.Namespace) -> int:
    """Deactivate the active versions of schedules; one that is not active stays so."""
    with client_of(options) as client:
        found = [_versions(client, options, name) for name in _names(client, options)]
        plans = [next((plan for plan in versions if _is_active(plan)), versions[0]) for versions in found]
        for plan in plans:
            if _is_active(plan):
                client.set_active(plan.id, active=False)
        facts = [_facts(client.fetch(plan.id)) for plan in plans]
    _print(facts, options)
    return 0


def run_prune(options: argparse.Namespace) -> int:
    """Deactivate schedules of older versions of their workflow than the newest."""
    with client_of(options) as client:
        stale = list(_stale(client, options))
        if not options.dry_run:
            for plan in stale:
                client.set_active(plan.id, active=False)
        facts = [_facts(plan if options.dry_run else client.fetch(plan.id)) for plan in stale]
    _print(facts, options, empty="nothing to prune: every schedule that a launch has made is of its newest version")
    return 0


def _scheduled(client: GrpcFlyteClient, options: argparse.Namespace, *, only_active: bool) -> list[LaunchPlan]:
    """Return the launch plans with a schedule, one a name: the active version, or else the newest."""
    from hydraflyte.launcher.registered import has_schedule
    from hydraflyte.launcher.remote import LaunchPlanPlace

    found: dict[str, LaunchPlan] = {}
    for plan in client.launch_plans(LaunchPlanPlace(options.project, options.domain), only_active=only_active):
        if has_schedule(plan) and (plan.id.name not in found or _is_active(plan)):
            found[plan.id.name] = plan
    return [found[name] for name in sorted(found)]


def _names(client: GrpcFlyteClient, options: argparse.Namespace) -> list[str]:
    """Return the names of the schedules that are meant.

    Raises:
        ConfigError: none is, or they are named twice over.
        NotRegisteredError: the workflow has no schedule.
    """
    from hydraflyte.config import nearest

    if bool(options.names) == bool(options.workflow):
        raise ConfigError("No schedule is named, or two ways at once.", hint="give their names, or --workflow NAME.")
    if options.names:
        return list(dict.fromkeys(options.names))
    plans = _scheduled(client, options, only_active=False)
    names = [plan.id.name for plan in plans if plan.spec.workflow_id.name == options.workflow]
    if not names:
        meant = nearest(options.workflow, tuple({plan.spec.workflow_id.name for plan in plans}))
        raise _not_there(options, f"of the workflow {options.workflow}", meant)
    return names


def _chosen(versions: list[LaunchPlan], options: argparse.Namespace) -> LaunchPlan:
    """Return the version that is wanted."""
    if options.version is None:
        return versions[0]
    if options.workflow or len(options.names) > 1:
        raise ConfigError("--version is that of one schedule.", hint="name one schedule, or leave out --version.")
    for plan in versions:
        if plan.id.version == options.version:
            return plan
    raise NotRegisteredError(
        f"The schedule {versions[0].id.name} has no version {options.version}.",
        hint=f"its newest is {versions[0].id.version}.",
    )


def _versions(client: GrpcFlyteClient, options: argparse.Namespace, name: str) -> list[LaunchPlan]:
    """Return the versions of one schedule, the newest first."""
    from hydraflyte.config import nearest
    from hydraflyte.launcher.registered import has_schedule
    from hydraflyte.launcher.remote import LaunchPlanPlace

    place = LaunchPlanPlace(options.project, options.domain, name)
    versions = [plan for plan in client.launch_plans(place) if has_schedule(plan)]
    if versions:
        return versions
    meant = nearest(name, tuple(plan.id.name for plan in _scheduled(client, options, only_active=False)))
    raise _not_there(options, name, meant)


def _not_there(options: argparse.Namespace, what: str, meant: str | None) -> NotRegisteredError:
    return NotRegisteredError(
        f"There is no schedule {what} in {options.project}/{options.domain}.",
        hint=f"did you mean {meant}?" if meant else "`hydraflyte schedules list --all` shows what there is.",
    )


def _stale(client: GrpcFlyteClient, options: argparse.Namespace) -> Iterator[LaunchPlan]:
    from hydraflyte.launcher.registered import find_version
    from hydraflyte.launcher.remote import LaunchPlanPlace
    from hydraflyte.launcher.schedules import SCHEDULE_OF, active_schedules

    newest: dict[str, LaunchPlan | None] = {}
    for plan in active_schedules(client, LaunchPlanPlace(options.project, options.domain)):
        workflow = plan.spec.annotations.values[SCHEDULE_OF]
        if workflow not in newest:
            newest[workflow] = find_version(client, LaunchPlanPlace(options.project, options.domain, workflow), None)
        current = newest[workflow]
        if current is not None and not plan.id.version.startswith(current.id.version):
            yield plan


def _is_active(plan: LaunchPlan) -> bool:
    from flyteidl.admin.launch_plan_pb2 import ACTIVE

    return bool(plan.closure.state == ACTIVE)


def _facts(plan: Any) -> dict[str, Any]:  # Any: fetch() gives every kind of entity
    from hydraflyte.launcher.schedules import fire_times, schedule_text

    schedule = plan.spec.entity_metadata.schedule
    active = _is_active(plan)
    since = plan.closure.updated_at.ToDatetime(timezone.utc)
    times = fire_times(schedule, after=datetime.now(timezone.utc), since=since) if active else ()
    return {
        "name": plan.id.name,
        "version": plan.id.version,
        "workflow": plan.spec.workflow_id.name,
        "schedule": schedule_text(schedule),
        "state": "active" if active else "inactive",
        "kickoff_input": schedule.kickoff_time_input_arg,
        "next": [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in times],
    }


def _print(schedules: list[dict[str, Any]], options: argparse.Namespace, *, empty: str = "") -> None:
    if options.json:
        print_json(schedules)
        return
    if not schedules:
        print(empty)
        return
    rows = [{**facts, "next": ", ".join(facts["next"])} for facts in schedules]
    print_table(("name", "schedule", "state", "version", "next"), rows)
