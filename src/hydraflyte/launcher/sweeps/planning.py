"""Jobs -> what is done about each: a new execution to create, or one of an earlier launch to follow.

Joins the sweep that is resumed, writes the manifest, and starts nothing: when it returns, every job that will be
submitted is in the manifest under the name that it will have.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2

from hydraflyte.labels import digest_of
from hydraflyte.launcher.execute import JobIdentity, JobOrder, Submission, execution_request
from hydraflyte.launcher.handles import execution_link
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.records.found import FoundExecution, Place
from hydraflyte.launcher.records.manifest import Manifest, ManifestJob, write_manifest
from hydraflyte.launcher.records.session import SweepSession
from hydraflyte.launcher.redaction import shown_arguments, shown_overrides
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.sweeps.resume import WantedJob, folder_note, manifest_of, refuse_differences, sweep_to_resume
from hydraflyte.transport.readable import readable_map

Orders = Mapping[int, JobOrder]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """What is done about a job.

    Attributes:
        request: what creates its execution.
        found: its execution of an earlier launch that is followed instead; None if there is none to follow.
    """

    request: execution_pb2.ExecutionCreateRequest
    found: Submission | None = None

    @property
    def execution(self) -> identifier_pb2.WorkflowExecutionIdentifier:
        """The execution that is, or will be, the job's."""
        if self.found is not None:
            return self.found.execution
        request = self.request
        return identifier_pb2.WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=request.name
        )


def plan_jobs(
    client: FlyteClient, session: SweepSession, prepared: Prepared, orders: Orders, folder: Path
) -> dict[int, PlannedJob]:
    """Return what is done about each job, by number; the manifest in ``folder`` says so, too.

    Raises:
        SweepError: the sweep to resume does not exist, or is not the one that is launched.
    """
    settings = prepared.settings
    if settings.resume is not None:
        _join(client, session, prepared, orders)
    planned = {}
    for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True):
        before = _before(session, job.number)
        is_followed = before is not None and (before.has_succeeded or not before.has_ended)
        identity = JobIdentity(
            sweep_id=session.sweep_id,
            number=job.number,
            overrides=job.overrides,
            round=0 if before is None else before.round + (not is_followed),
            folder=folder_note(folder),
        )
        planned[job.number] = PlannedJob(
            request=execution_request(orders[job.number], identity, inputs, job.environment()),
            found=_submission(client, job.number, before) if before is not None and is_followed else None,
        )
    _record(client, session, prepared, planned, folder)
    return planned


def _before(session: SweepSession, number: int) -> FoundExecution | None:
    if session.found is None or number not in session.found.jobs:
        return None
    return session.found.current(number)


def _submission(client: FlyteClient, number: int, found: FoundExecution) -> Submission:
    link = execution_link(client.endpoint.console_url, found.id)
    return Submission(number=number, execution=found.id, link=link, found_phase=found.phase)


def _join(client: FlyteClient, session: SweepSession, prepared: Prepared, orders: Orders) -> None:
    settings = prepared.settings
    assert settings.resume is not None
    if session.found is None:  # else a later batch of the same sweep
        place = Place(project=settings.workflow.project, domain=settings.workflow.domain)
        session.found = sweep_to_resume(client, place, settings.resume, prepared.source.workflow.name)
        session.sweep_id = session.found.sweep_id
        session.manifest = manifest_of(session.found)
    if settings.resume_changed:
        return
    wanted = [
        WantedJob(
            number=job.number,
            overrides=shown_overrides(job.overrides),
            inputs_digest=digest_of(inputs),
            inputs=readable_map(inputs),
            version=orders[job.number].launch_plan.version,
        )
        for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True)
    ]
    refuse_differences(client, session.found, wanted)


def _record(
    client: FlyteClient,
    session: SweepSession,
    prepared: Prepared,
    planned: Mapping[int, PlannedJob],
    folder: Path,
) -> None:
    settings = prepared.settings
    earlier = {} if session.found is None else session.found.jobs
    jobs = {
        job.number: ManifestJob(
            number=job.number,
            overrides=shown_overrides(job.overrides),
            inputs_digest=digest_of(inputs),
            executions=_names(earlier.get(job.number, ()), planned[job.number]),
        )
        for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True)
    }
    version = next(iter(planned.values())).request.spec.launch_plan.version if planned else ""
    manifest = session.manifest or Manifest(
        sweep_id=session.sweep_id,
        created_at=datetime.now(timezone.utc),
        endpoint=client.endpoint.target,
        project=settings.workflow.project,
        domain=settings.workflow.domain,
        workflow=prepared.source.workflow.name,
        version=version,
        command=shown_arguments(sys.argv),
        jobs=(),
    )
    session.manifest = manifest.with_jobs(jobs)
    write_manifest(folder, session.manifest)


def _names(earlier: tuple[FoundExecution, ...], planned: PlannedJob) -> tuple[str, ...]:
    names = [execution.id.name for execution in earlier]
    return tuple(names if planned.found is not None else dict.fromkeys([*names, planned.request.name]))
