"""A sweep as the backend knows it: found by its labels, from any machine, without the folder it was started in.

Reads only. Imports no flytekit: the command line lists sweeps without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2

from hydraflyte import labels
from hydraflyte.config import nearest
from hydraflyte.errors import SweepError
from hydraflyte.launcher.crowd import TERMINAL, Phase
from hydraflyte.launcher.remote import ExecutionQuery, FlyteClient
from hydraflyte.tracebacks import brief_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where executions are."""

    project: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundExecution:
    """One execution of a job.

    Attributes:
        round: 0 for the job's first execution, one more each time it was submitted anew.
        phase: by flyteidl's name.
        inputs_digest: empty if it was started by something that wrote none.
        folder: host and folder of the manifest; may be elsewhere.
        error: why it did not succeed, as lists say it: cut after 100 bytes.
    """

    id: identifier_pb2.WorkflowExecutionIdentifier
    round: int
    phase: str
    overrides: tuple[str, ...]
    inputs_digest: str
    folder: str
    version: str
    workflow: str
    created_at: datetime
    duration: timedelta | None
    error: str

    @property
    def has_succeeded(self) -> bool:
        return self.phase == "SUCCEEDED"

    def is_of_the_same_job(self, other: FoundExecution) -> bool:
        """Tell whether it has the other's overrides and inputs."""
        return (self.overrides, self.inputs_digest) == (other.overrides, other.inputs_digest)

    @property
    def has_ended(self) -> bool:
        return Phase.Phase.Value(self.phase) in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSweep:
    """All executions of a sweep.

    Attributes:
        jobs: job number -> its executions, by round; at least one.
    """

    sweep_id: str
    place: Place
    jobs: Mapping[int, tuple[FoundExecution, ...]]

    def current(self, number: int) -> FoundExecution:
        """Return the execution that counts for a job: one that succeeded with what was last wanted, else the last."""
        last = self.jobs[number][-1]
        as_wanted = (each for each in self.jobs[number] if each.is_of_the_same_job(last))
        return next((each for each in as_wanted if each.has_succeeded), last)

    def currents(self) -> dict[int, FoundExecution]:
        """Return the execution that counts for each job, by number."""
        return {number: self.current(number) for number in sorted(self.jobs)}

    def phases(self) -> Mapping[str, int]:
        """Return how many jobs are in each phase."""
        return Counter(execution.phase for execution in self.currents().values())

    @property
    def first(self) -> FoundExecution:
        """The execution that was created first."""
        return min((each for executions in self.jobs.values() for each in executions), key=lambda it: it.created_at)


def find_sweep(client: FlyteClient, place: Place, sweep_id: str) -> FoundSweep:
    """Return the sweep.

    Raises:
        SweepError: no execution in this place belongs to it.
    """
    query = ExecutionQuery(place.project, place.domain, _of_sweep(sweep_id))
    found = {each.id.name: each for each in client.list_executions(query)}  # pages may overlap while it grows
    jobs: dict[int, list[FoundExecution]] = {}
    for execution in found.values():
        number = execution.spec.labels.values.get(labels.JOB, "")
        if number.isdigit():
            jobs.setdefault(int(number), []).append(_read(execution))
    if not jobs:
        question = "did you mean last? " if nearest(sweep_id, ("last",)) else ""
        raise SweepError(
            f"There is no sweep {sweep_id!r} in {place.project}/{place.domain} at {client.endpoint.place}.",
            hint=f"{question}`hydraflyte sweeps list` shows those there are; sweeps belong to a project and a domain.",
        )
    in_order = {number: tuple(sorted(jobs[number], key=lambda each: each.round)) for number in sorted(jobs)}
    return FoundSweep(sweep_id=sweep_id, place=place, jobs=in_order)


def error_of(client: FlyteClient, found: FoundExecution) -> str:
    """Return in one line why an execution has not succeeded; empty if it has, or has not ended."""
    if not found.error:
        return ""
    execution = client.get_execution(found.id, patience_s=0.0)
    return brief_failure(_error_of(execution.closure))


def newest_sweeps(client: FlyteClient, place: Place, *, workflow: str | None = None) -> Iterator[str]:
    """Yield the ids of the sweeps, the one with the newest execution first.

    Args:
        workflow: only those of this workflow.
    """
    seen: list[str] = []
    only = f"+eq(workflow.name,{workflow})" if workflow else ""
    while True:
        others = f"+value_not_in(execution_tag.value,{';'.join(seen)})" if seen else ""
        query = ExecutionQuery(
            place.project, place.domain, f"eq(execution_tag.key,{labels.SWEEP}){others}{only}", limit=1
        )
        newest = next(client.list_executions(query), None)
        if newest is None:
            return
        seen.append(newest.spec.labels.values[labels.SWEEP])
        yield seen[-1]


def _of_sweep(sweep_id: str) -> str:
    value = labels.label_value(sweep_id)
    return f"eq(execution_tag.key,{labels.SWEEP})+eq(execution_tag.value,{value})"


def _read(execution: execution_pb2.Execution) -> FoundExecution:
    spec, closure = execution.spec, execution.closure
    notes = spec.annotations.values
    round_text = spec.labels.values.get(labels.ROUND, "0")
    return FoundExecution(
        id=execution.id,
        round=int(round_text) if round_text.isdigit() else 0,
        phase=Phase.Phase.Name(closure.phase),
        overrides=labels.split_overrides(notes.get(labels.OVERRIDES, "")),
        inputs_digest=notes.get(labels.INPUTS, ""),
        folder=notes.get(labels.FOLDER, ""),
        version=spec.launch_plan.version,
        workflow=spec.launch_plan.name,
        created_at=closure.created_at.ToDatetime(timezone.utc),
        duration=closure.duration.ToTimedelta() if closure.phase in TERMINAL else None,
        error=_error_of(closure),
    )


def _error_of(closure: execution_pb2.ExecutionClosure) -> str:
    if closure.HasField("abort_metadata"):
        return closure.abort_metadata.cause
    return closure.error.message if closure.HasField("error") else ""
