"""One message for a whole sweep, sent by the launcher's own process when it ends.

A sweeper may call the launcher many times and tells nobody which call is the last, so the message waits for the end of
the program (docs/decisions/0123). Each end of a sweep is told once: the manifest notes it, for whoever goes on with the
sweep. A program that is killed, or leaves its jobs to the backend, tells nothing.
"""

from __future__ import annotations

import atexit
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hydraflyte.launcher.notifications import tell_of_sweep
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.records.manifest import write_manifest
from hydraflyte.launcher.records.results import ResultRow
from hydraflyte.launcher.records.session import SweepSession
from hydraflyte.launcher.sweeps.resume import folder_of
from hydraflyte.launcher.wait import ENDS

_MOST_NAMED = 20
_SUCCEEDED = "SUCCEEDED"


def tell_when_sweep_ends(session: SweepSession, prepared: Prepared, folder: Path) -> None:
    """Have the sweep's notifications sent at the end of this program; call it before the first job starts.

    Args:
        folder: where the manifest is.
    """
    if session.rows or not any(config.once_per_sweep for config in prepared.settings.notifications):
        return  # a later batch of a sweep that is told of already

    def tell() -> None:
        for line in tell_once(session, prepared, folder):
            prepared.report.line(line)

    atexit.register(tell)


def tell_once(session: SweepSession, prepared: Prepared, folder: Path) -> list[str]:
    """Tell of the end of a sweep, unless it has not ended or this end has been told; returns what to say about it."""
    manifest = session.manifest
    if manifest is None:
        return []
    ended = {number for number, row in session.rows.items() if row.phase in ENDS}
    if {job.number for job in manifest.jobs} - ended:
        return ["the sweep has not ended, so nobody is notified; whoever goes on with it does so (resume=last)"]
    told = _end_of(session)
    if told == manifest.told:
        return []
    failures = tell_of_sweep(prepared.settings.notifications, summary_of(session, prepared.source.workflow.name))
    if not failures:
        session.manifest = replace(manifest, told=told)
        earlier = None if session.found is None else folder_of(session.found)
        for place in {folder, earlier or folder}:
            write_manifest(place, session.manifest)
    return failures


def _end_of(session: SweepSession) -> str:
    """Return what tells one end of a sweep from another: a job that is run again makes a new one."""
    facts = [(number, row.execution, row.phase) for number, row in sorted(session.rows.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def summary_of(session: SweepSession, workflow: str) -> Mapping[str, object]:
    """Return what is told of a sweep. Its phase is FAILED if a job failed, else ABORTED if one was ended."""
    rows = [session.rows[number] for number in sorted(session.rows)]
    others = [row for row in rows if row.phase != _SUCCEEDED]
    phase = _phase_of(rows)
    text = f"sweep {session.sweep_id} of {workflow} {phase}: {len(rows) - len(others)} of {len(rows)} jobs succeeded"
    return {
        "text": text,
        "sweep": session.sweep_id,
        "workflow": workflow,
        "phase": phase,
        "jobs": len(rows),
        "succeeded": len(rows) - len(others),
        "others": [
            {
                "job": row.number,
                "overrides": list(row.overrides),
                "phase": row.phase,
                "error": row.error,
                "link": row.link,
            }
            for row in others[:_MOST_NAMED]
        ],
    }


def _phase_of(rows: list[ResultRow]) -> str:
    phases = {row.phase for row in rows}
    if phases <= {_SUCCEEDED} and rows:
        return _SUCCEEDED
    return next((phase for phase in ("FAILED", "TIMED_OUT") if phase in phases), "ABORTED")
