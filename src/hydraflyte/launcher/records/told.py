"""What a launch tells a program: one document, in the file that ``HYDRAFLYTE_RECORD`` names.

Written anew at the end of each launch of a sweep, whatever ended it. One rule: it says what the terminal is told, and
nothing else. Read by the commands that run scripts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.handles import ExecutionHandle
from hydraflyte.launcher.records.results import ResultRow, json_safe
from hydraflyte.launcher.records.session import SweepSession

RECORD_VARIABLE = "HYDRAFLYTE_RECORD"
_JUST_SUBMITTED = "QUEUED"


def read_record(path: Path) -> dict[str, Any] | None:  # Any: a JSON-like tree
    """Return what the launches of a program have told; None if there was none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def tell_result(session: SweepSession, environ: Mapping[str, str], returns: Sequence[JobReturn] = ()) -> None:
    """Write what has become of the jobs.

    Args:
        returns: those of this launch; none if the user has left it.
    """
    handles = [each._return_value for each in returns if isinstance(each._return_value, ExecutionHandle)]
    manifest = session.manifest
    rows = {**_submitted(session, handles), **session.rows}
    documents = [rows[each] for each in sorted(rows)]
    _write(
        environ,
        {
            "sweep": None if manifest is None else session.sweep_id,
            "reason": next((handle.reason for handle in handles), None),
            "registered": None if session.registered is None else asdict(session.registered),
            "jobs": [json_safe(each.as_document()) for each in documents],
        },
    )


def _submitted(session: SweepSession, handles: Sequence[ExecutionHandle]) -> dict[int, ResultRow]:
    """Return the jobs that were not waited for, by their numbers."""
    links = {handle.id.rpartition("/")[2]: handle.url for handle in handles if handle.id is not None}
    jobs = () if session.manifest is None else session.manifest.jobs
    return {
        job.number: ResultRow(
            number=job.number,
            overrides=job.overrides,
            phase=_JUST_SUBMITTED,
            execution=job.executions[-1],
            link=links[job.executions[-1]] or "",
        )
        for job in jobs
        if job.executions[-1] in links
    }


def tell_error(error: HydraFlyteError, environ: Mapping[str, str]) -> None:
    """Write why nothing was launched, or no more."""
    _write(environ, {"error": error.message, "hint": error.hint})


def _write(environ: Mapping[str, str], document: Mapping[str, Any]) -> None:  # Any: a JSON-like tree
    path = environ.get(RECORD_VARIABLE)
    if path is None or not os.path.isdir(os.path.dirname(path)):
        return  # an heir of the variable, such as a task of a backend that was started on the way
    Path(path).write_text(json.dumps(document, default=str), encoding="utf-8")
