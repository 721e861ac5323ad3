"""One message for a whole sweep, sent by the launcher's own process when it ends.

A sweeper may call the launcher many times and tells nobody which call is the last, so the message waits for the end of
the program (docs/decisions/0123). A program that is killed sends none.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping

from hydraflyte.launcher.notifications import tell_of_sweep
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.records.results import ResultRow
from hydraflyte.launcher.records.session import SweepSession
from hydraflyte.launcher.redaction import shown_overrides

_MOST_NAMED = 20
_SUCCEEDED = "SUCCEEDED"


def tell_when_sweep_ends(session: SweepSession, prepared: Prepared) -> None:
    """Have the sweep's notifications sent at the end of this program; call it before the first job starts."""
    configs = prepared.settings.notifications
    if session.rows or not any(config.once_per_sweep for config in configs):
        return  # a later batch of a sweep that is told of already

    def tell() -> None:
        for failure in tell_of_sweep(configs, summary_of(session, prepared.source.workflow.name)):
            prepared.report.line(failure)

    atexit.register(tell)


def summary_of(session: SweepSession, workflow: str) -> Mapping[str, object]:
    """Return what is told of a sweep. Its phase is FAILED if a job failed, else ABORTED if one has not ended."""
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
                "overrides": list(shown_overrides(row.overrides)),
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
