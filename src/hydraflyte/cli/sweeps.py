"""``sweeps list | show | attach | cancel | results | retry``: sweeps on the backend, found by their labels.

Needs neither the folder nor the machine that a sweep was started in. Starts no backend.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hydraflyte.cli.clients import add_endpoint, client_of
from hydraflyte.cli.options import Verbs, add_home, add_json, print_json, print_table
from hydraflyte.errors import SweepError

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from hydraflyte.launcher.records.found import FoundExecution, FoundSweep
    from hydraflyte.launcher.records.results import ResultRow
    from hydraflyte.launcher.remote import GrpcFlyteClient

_MOST_CALLS_AT_ONCE = 16
_FORMATS = ("csv", "json", "parquet")


def add_verbs(verbs: Verbs) -> None:
    """Add the noun ``sweeps`` and its verbs."""
    noun = verbs.add_parser("sweeps", help="sweeps on the backend")
    actions = noun.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="the newest sweeps")
    listing.add_argument("--limit", type=int, default=20, help="most to show (default: %(default)s)")
    listing.set_defaults(run=run_list)

    show = actions.add_parser("show", help="one sweep: its jobs, their phases and errors")
    show.set_defaults(run=run_show)

    attach = actions.add_parser("attach", help="follow it to its end; status 0 if every job succeeded")
    attach.set_defaults(run=run_attach)

    cancel = actions.add_parser("cancel", help="terminate what has not ended")
    cancel.add_argument("--cause", default="cancelled from the command line", help="reason to record")
    cancel.set_defaults(run=run_cancel)

    results = actions.add_parser("results", help="overrides, outputs and phase of every job")
    results.add_argument("--format", choices=_FORMATS, help="default: csv; json with --json; by the name of --output")
    results.add_argument("--output", "-o", metavar="FILE", help="write it there (default: standard output)")
    results.set_defaults(run=run_results)

    retry = actions.add_parser("retry", help="submit the failed jobs anew, as they were")
    retry.set_defaults(run=run_retry)

    for action in (listing, show, attach, cancel, results, retry):
        if action is not listing:
            action.add_argument("sweep", metavar="SWEEP", help="id of the sweep, or last")
        add_endpoint(action)
        add_home(action)
        add_json(action)


def run_list(options: argparse.Namespace) -> int:
    """Print the newest sweeps, the one with the newest execution first."""
    from hydraflyte.launcher.records.found import find_sweep, newest_sweeps

    with client_of(options) as client:
        place = _place_of(options)
        newest = list(islice(newest_sweeps(client, place), max(0, options.limit)))
        sweeps = [_sweep_facts(find_sweep(client, place, sweep_id)) for sweep_id in newest]
    if options.json:
        print_json(sweeps)
    else:
        print_table(
            ("sweep", "workflow", "jobs", "phases", "started_at"),
            [{**facts, "phases": _phases_text(facts["phases"])} for facts in sweeps],
        )
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print one sweep with its jobs."""
    from hydraflyte.launcher.sweeps.resume import manifest_of

    with client_of(options) as client:
        sweep = _find(client, options)
        facts = _sweep_facts(sweep)
        manifest = manifest_of(sweep)
        facts["folder"] = sweep.first.folder
        facts["not_submitted"] = _not_submitted(sweep, [job.number for job in manifest.jobs] if manifest else [])
        facts["jobs_list"] = _at_once(
            lambda number: _job_facts(client, number, sweep.current(number), len(sweep.jobs[number])),
            sorted(sweep.jobs),
        )
    if options.json:
        print_json(facts)
        return 0
    for key in ("sweep", "workflow", "version", "started_at", "folder"):
        print(f"{key:<12} {facts[key]}")
    print(f"{'phases':<12} {_phases_text(facts['phases'])}")
    if facts["not_submitted"]:
        print(f"{'missing':<12} {len(facts['not_submitted'])} job(s) of the manifest were never submitted")
    print_table(("job", "overrides", "phase", "duration_s", "executions", "execution"), facts["jobs_list"])
    for job in facts["jobs_list"]:
        if job["error"]:
            print(f"job {job['job']}: {job['error']}")
    return 0


def run_attach(options: argparse.Namespace) -> int:
    """Follow a sweep until none of its jobs is under way; print each as it ends, and at last a launch's table."""
    from hydraflyte.launcher.records.found import find_sweep

    with client_of(options) as client:
        sweep = _find(client, options)
        if not all(each.has_ended for each in sweep.currents().values()):
            _follow(client, sweep, sys.stderr if options.json else sys.stdout)
        sweep = find_sweep(client, sweep.place, sweep.sweep_id)
        if options.json:
            print_json(_sweep_facts(sweep))
        else:
            _print_end(client, sweep)
    return 0 if all(execution.has_succeeded for execution in sweep.currents().values()) else 1


def run_cancel(options: argparse.Namespace) -> int:
    """Terminate the executions of a sweep that have not ended."""
    with client_of(options) as client:
        sweep = _find(client, options)
        running = [each for executions in sweep.jobs.values() for each in executions if not each.has_ended]
        _at_once(lambda execution: client.terminate(execution.id, options.cause), running)
    names = [execution.id.name for execution in running]
    if options.json:
        print_json({"sweep": sweep.sweep_id, "cancelled": names})
    else:
        print(f"{len(names)} execution(s) of {sweep.sweep_id} are being terminated")
    return 0


def run_results(options: argparse.Namespace) -> int:
    """Print, or write, what became of every job."""
    from hydraflyte.launcher.records.results import has_parquet, to_csv, to_json, to_parquet

    form = _format_of(options)
    if form == "parquet" and (not has_parquet() or options.output is None):
        raise SweepError(
            "Parquet is a binary format, and needs pyarrow.",
            hint="`pip install pyarrow`, and name a file with --output results.parquet.",
        )
    with client_of(options) as client:
        sweep = _find(client, options)
        rows = _at_once(lambda item: _row(client, *item), list(sweep.currents().items()))
    text = {"csv": to_csv, "json": to_json}[form](rows) if form != "parquet" else ""
    if options.output is None:
        sys.stdout.write(text)
        return 0
    path = Path(options.output)
    path.write_bytes(to_parquet(rows) if form == "parquet" else text.encode())
    print(f"{len(rows)} jobs of {sweep.sweep_id} in {path}", file=sys.stderr)
    return 0


def run_retry(options: argparse.Namespace) -> int:
    """Submit anew what ended without success, with the same code, inputs and settings."""
    from hydraflyte.launcher.sweeps.attaching import submit_anew

    with client_of(options) as client:
        sweep = _find(client, options)
        failed = [each for each in sweep.currents().values() if each.has_ended and not each.has_succeeded]
        names = _at_once(lambda execution: submit_anew(client, execution), failed)
    if options.json:
        print_json({"sweep": sweep.sweep_id, "submitted": names})
    else:
        for name in names:
            print(name)
        print(f"{len(names)} job(s) of {sweep.sweep_id} submitted anew")
    return 0


def _place_of(options: argparse.Namespace) -> Any:  # Any: a Place, whose module is imported late
    from hydraflyte.launcher.records.found import Place

    return Place(project=options.project, domain=options.domain)


def _find(client: GrpcFlyteClient, options: argparse.Namespace) -> FoundSweep:
    from hydraflyte.launcher.records.found import find_sweep, newest_sweeps

    place = _place_of(options)
    sweep_id = options.sweep
    if sweep_id == "last":
        sweep_id = next(newest_sweeps(client, place), "last")
    return find_sweep(client, place, sweep_id)


def _follow(client: GrpcFlyteClient, sweep: FoundSweep, stream: TextIO) -> None:
    """Follow a sweep to its end, and tell of its jobs what a launch tells."""
    from hydraflyte.launcher.report import SweepReport, one_output
    from hydraflyte.launcher.sweeps.attaching import follow
    from hydraflyte.launcher.wait import Watcher
    from hydraflyte.transport.readable import readable_map

    jobs = [(number, execution.overrides) for number, execution in sweep.currents().items()]
    with SweepReport(jobs, stream=stream) as report:
        report.line(f"sweep {sweep.sweep_id}: {_phases_text(sweep.phases())}")
        watcher = Watcher(submitted=report.submitted, phase_changed=report.phase_changed, line=report.line)
        for outcome in follow(client, sweep, watcher):
            report.ended(outcome, None if outcome.outputs is None else one_output(readable_map(outcome.outputs)))


def _print_end(client: GrpcFlyteClient, sweep: FoundSweep) -> None:
    from hydraflyte.launcher.report import SweepReport

    rows = _at_once(lambda item: _row(client, *item), list(sweep.currents().items()))
    report = SweepReport([(row.number, row.overrides) for row in rows], stream=sys.stdout)
    for row in rows:
        report.found(row)
    print(f"sweep {sweep.sweep_id}: {_phases_text(sweep.phases())}", flush=True)
    report.summary(client.endpoint, sweep.sweep_id)
    for row in rows:
        if row.error:
            print(f"job {row.number}: {row.error}")


def _at_once(work: Any, items: Sequence[Any]) -> list[Any]:  # Any: whatever the work takes and gives
    with ThreadPoolExecutor(max_workers=_MOST_CALLS_AT_ONCE) as pool:
        return list(pool.map(work, items))


def _row(client: GrpcFlyteClient, number: int, execution: FoundExecution) -> ResultRow:
    from hydraflyte.launcher.handles import execution_link
    from hydraflyte.launcher.records.found import error_of
    from hydraflyte.launcher.records.results import ResultRow
    from hydraflyte.transport.readable import readable_map

    return ResultRow(
        number=number,
        overrides=execution.overrides,
        phase=execution.phase,
        duration=execution.duration,
        outputs=readable_map(client.get_outputs(execution.id)) if execution.has_succeeded else {},
        execution=execution.id.name,
        link=execution_link(client.endpoint.console_url, execution.id),
        error=error_of(client, execution),
    )


def _format_of(options: argparse.Namespace) -> str:
    if options.format is not None:
        return str(options.format)
    suffix = Path(options.output).suffix.lstrip(".") if options.output else ""
    if suffix in _FORMATS:
        return suffix
    return "json" if options.json else "csv"


def _sweep_facts(sweep: FoundSweep) -> dict[str, Any]:
    first = sweep.first
    return {
        "sweep": sweep.sweep_id,
        "workflow": first.workflow,
        "version": first.version,
        "jobs": len(sweep.jobs),
        "phases": dict(sweep.phases()),
        "started_at": first.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _job_facts(client: GrpcFlyteClient, number: int, execution: FoundExecution, executions: int) -> dict[str, Any]:
    from hydraflyte.launcher.records.found import error_of

    return {
        "job": number,
        "overrides": " ".join(execution.overrides),
        "phase": execution.phase,
        "duration_s": None if execution.duration is None else round(execution.duration.total_seconds(), 3),
        "executions": executions,
        "execution": execution.id.name,
        "error": error_of(client, execution),
    }


def _not_submitted(sweep: FoundSweep, planned: Sequence[int]) -> list[int]:
    return [number for number in planned if number not in sweep.jobs]


def _phases_text(phases: Any) -> str:  # Any: phase -> how many
    return ", ".join(f"{count} {phase}" for phase, count in phases.items())
