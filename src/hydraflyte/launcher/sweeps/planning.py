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
from hydraflyte.launcher.sweeps.numbering import numbers_in_sweep
from hydraflyte.launcher.sweeps.resume import WantedJob, folder_note, manifest_of, refuse_differences, sweep_to_resume
from hydraflyte.transport.readable import readable_map

Orders = Mapping[int, JobOrder]
_MOST_MOVED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """What is done about a job.

    Attributes:
        number: its number in the sweep; another than in this launch if the sweep has it under that, or had it taken.
        request: what creates its execution.
        found: its execution of an earlier launch that is followed instead; None if there is none to follow.
    """

    number: int
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
    """Return what is done about each job, by its number in the launch; the manifest in ``folder`` says so, too.

    Raises:
        SweepError: the sweep to resume does not exist, or is not the one that is launched.
    """
    if prepared.settings.resume is not None:
        _join(client, session, prepared, orders)
    numbers = _numbers(session, prepared)
    planned = {}
    for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True):
        number = numbers[job.number]
        executions = () if session.found is None else session.found.jobs.get(number, ())
        followed = _followed(session, number, digest_of(inputs)) if executions else None
        identity = JobIdentity(
            sweep_id=session.sweep_id,
            number=number,
            overrides=job.overrides,
            round=executions[-1].round + 1 if executions else 0,
            folder=folder_note(folder),
        )
        planned[job.number] = PlannedJob(
            number=number,
            request=execution_request(orders[job.number], identity, inputs, job.environment()),
            found=None if followed is None else _submission(client, job.number, followed),
        )
    _record(client, session, prepared, planned, folder)
    return planned


def _numbers(session: SweepSession, prepared: Prepared) -> Mapping[int, int]:
    """Return the number in the sweep of each job, by its number in the launch; says where they differ."""
    if not prepared.settings.resume_changed or session.found is None:
        return {job.number: job.number for job in prepared.jobs}
    before = {} if session.manifest is None else {job.number: job.overrides for job in session.manifest.jobs}
    before |= {number: execution.overrides for number, execution in session.found.currents().items()}
    known = {number: shown_overrides(before[number]) for number in before.keys() - session.claimed}
    wanted = {job.number: shown_overrides(job.overrides) for job in prepared.jobs}
    numbers = numbers_in_sweep(known, wanted, session.found.jobs.keys() | session.claimed)
    session.claimed.update(numbers.values())
    moved = [f"{here} -> {there}" for here, there in sorted(numbers.items()) if here != there]
    if moved:
        more = ", …" if len(moved) > _MOST_MOVED else ""
        prepared.report.line(
            f"job numbers here -> in sweep {session.sweep_id}, and in its results: "
            f"{', '.join(moved[:_MOST_MOVED])}{more}"
        )
    return numbers


def _followed(session: SweepSession, number: int, inputs_digest: str) -> FoundExecution | None:
    """Return the execution of an earlier launch that does what the job is to do; None if there is none."""
    assert session.found is not None
    current = session.found.current(number)
    is_same = current.inputs_digest in ("", inputs_digest)
    return current if is_same and (current.has_succeeded or not current.has_ended) else None


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
    jobs = {}
    for job, inputs in zip(prepared.jobs, prepared.inputs, strict=True):
        number = planned[job.number].number
        jobs[number] = ManifestJob(
            number=number,
            overrides=shown_overrides(job.overrides),
            inputs_digest=digest_of(inputs),
            executions=_names(earlier.get(number, ()), planned[job.number]),
        )
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
