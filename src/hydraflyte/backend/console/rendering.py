"""What the console's pages have in common: templates, headers, and how executions, instants and durations are shown.

Plain HTML without scripts; every value is escaped by the templates. Reads no database.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import jinja2
from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.core.identifier_pb2 import Identifier
from starlette.responses import HTMLResponse, Response

from hydraflyte.backend.engine.phases import TERMINAL_EXECUTION_PHASES
from hydraflyte.backend.store.listing import ExecutionRow
from hydraflyte.identifiers import ExecutionId
from hydraflyte.labels import JOB, NOTES, OVERRIDES, SWEEP, notes_of, split_overrides

TERMINAL = frozenset(phase.name for phase in TERMINAL_EXECUTION_PHASES)
"""Names of the phases in which a page needs no refresh."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send forms with `Origin: null`, which is refused
    "Cache-Control": "no-store",
}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("hydraflyte.backend.console"), autoescape=True, trim_blocks=True
)

Context = dict[str, Any]  # what a template is given


def page(template: str, context: Context) -> Response:
    """Return the page."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(context), headers=_HEADERS)


def execution_address(execution: ExecutionId) -> str:
    """Return the path of the execution's page."""
    project, domain, name = (quote(part, safe="") for part in (execution.project, execution.domain, execution.name))
    return f"/console/projects/{project}/domains/{domain}/executions/{name}"


def execution_facts(row: ExecutionRow) -> Context:
    """Return what pages show of an execution."""
    workflow, spec = Identifier.FromString(row.workflow), ExecutionSpec.FromString(row.spec)
    annotations = spec.annotations.values
    return {
        "address": execution_address(row.id),
        "project": row.id.project,
        "domain": row.id.domain,
        "name": row.id.name,
        "workflow": workflow.name,
        "version": workflow.version,
        "phase": row.phase,
        "created": instant_text(row.times.created_at),
        "duration": duration_text(row.times.duration_ns),
        "error": row.error.message if row.error else "",
        "sweep": spec.labels.values.get(SWEEP, ""),
        "job": spec.labels.values.get(JOB, ""),
        "overrides": split_overrides(annotations.get(OVERRIDES, "")),
        "provenance": {key: text for key, text in notes_of(annotations).items() if f"{NOTES}{key}" != OVERRIDES},
    }


def instant_text(instant: datetime) -> str:
    """Return the instant for people."""
    return instant.strftime("%Y-%m-%d %H:%M:%S UTC")


def duration_text(nanoseconds: int) -> str:
    """Return the duration for people; nothing for one that has not ended."""
    if nanoseconds == 0:
        return ""
    seconds = nanoseconds / 1e9
    return f"{seconds:.2f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
