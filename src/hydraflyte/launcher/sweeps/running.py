"""Jobs -> results: starts the jobs of a launch, follows them, and closes their ``JobReturn``s.

Begins where registration has ended. Whatever happens, each job that was started is in the manifest, and what is
known of it is in the results. Knows neither packaging nor versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydra.core.utils import JobReturn

from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.execute import JobOrder, Submission, from_literals, submit
from hydraflyte.launcher.handles import ExecutionHandle
from hydraflyte.launcher.job_logs import keep_job_log
from hydraflyte.launcher.jobs import (
    Job,
    LaunchRequest,
    as_hydra_prints_it,
    begin_job,
    end_job,
    end_sweep_early,
    make_sweep_dir,
)
from hydraflyte.launcher.prepared import Prepared
from hydraflyte.launcher.records.results import ResultRow, has_parquet, write_results
from hydraflyte.launcher.records.session import SweepSession
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.report import one_output
from hydraflyte.launcher.sweeps.interrupts import INTERRUPTED_STATUS, Choice, Interrupts
from hydraflyte.launcher.sweeps.objectives import objective_of
from hydraflyte.launcher.sweeps.planning import PlannedJob, plan_jobs
from hydraflyte.launcher.wait import ENDS, NOT_STARTED, Interruption, Outcome, Sweep, Watcher
from hydraflyte.tracebacks import last_line
from hydraflyte.transport.readable import readable_map

__all__ = ["run_jobs"]


def run_jobs(
    client: FlyteClient, request: LaunchRequest, prepared: Prepared, orders: Mapping[int, JobOrder]
) -> list[JobReturn]:
    """Start all jobs and, if they are waited for, follow them to their ends.

    Args:
        orders: by the job's number.

    Raises:
        SweepError: the sweep to resume is not there, or is another one.
        SystemExit: the user left the jobs to themselves.
    """
    folder = make_sweep_dir(request)
    planned = plan_jobs(client, request.session, prepared, orders, folder)
    run = _Run(client=client, request=request, prepared=prepared, planned=planned, folder=folder)
    return run.to_the_end()


@dataclass(slots=True, kw_only=True)
class _Run:
    """One launch under way.

    Attributes:
        folder: where the manifest and the results are.
    """

    client: FlyteClient
    request: LaunchRequest
    prepared: Prepared
    planned: Mapping[int, PlannedJob]
    folder: Path
    _returns: dict[int, JobReturn] = field(default_factory=dict)
    _jobs: dict[int, Job] = field(default_factory=dict)

    @property
    def _session(self) -> SweepSession:
        return self.request.session

    def to_the_end(self) -> list[JobReturn]:
        settings, report = self.prepared.settings, self.prepared.report
        self._jobs = {job.number: job for job in self.prepared.jobs}
        sweep = Sweep(
            client=self.client,
            start=self._start,
            watcher=Watcher(submitted=report.submitted, phase_changed=report.phase_changed, line=report.line),
            window=settings.max_concurrency,
            source_root=self.prepared.source.source_root,
            stop_cause=self._session.stop_cause,
        )
        numbers = self._begun()
        steps = sweep.run_all(numbers, len(self._jobs)) if settings.wait else sweep.submit_all(numbers)
        try:
            with Interrupts(sweep.interrupt) as interrupts, report:
                for step in steps:
                    if isinstance(step, Interruption):
                        self._obey(interrupts, sweep)
                    else:
                        self._end(step, sweep)
        except KeyboardInterrupt:
            self._leave(sweep)
        report.summary(self.client.endpoint, self._session.sweep_id)
        self._write_results()
        farewell = sweep.absence.farewell(self._session.sweep_id)
        if farewell is not None:
            report.line(farewell)
        return [self._returns[job.number] for job in self.prepared.jobs]

    def _begun(self) -> Iterator[int]:
        """Yield the numbers of the jobs, each with its folder made and the callbacks told."""
        for job in self.prepared.jobs:
            self._returns[job.number] = begin_job(self.request, job)
            yield job.number
        if self.prepared.settings.wait:
            has_parquet()  # imports pyarrow while jobs run; not in a thread: flytekit takes half a pyarrow for a whole

    def _start(self, number: int) -> Submission:
        planned = self.planned[number]
        return planned.found or submit(self.client, number, planned.request)

    def _obey(self, interrupts: Interrupts, sweep: Sweep) -> None:
        with self.prepared.report.paused():
            choice = interrupts.answer(sweep.is_over)
        match choice:
            case Choice.DETACH:
                raise KeyboardInterrupt
            case Choice.CANCEL:
                self._session.stop_cause = "the sweep was cancelled at the terminal"
                sweep.cancel_rest(self._session.stop_cause)
            case Choice.GO_ON:
                pass

    def _leave(self, sweep: Sweep) -> None:
        """End the program, and leave the jobs under way to the backend."""
        in_flight = sweep.in_flight()
        for submission in in_flight:
            self._put_row(Outcome(number=submission.number, phase="RUNNING", link=submission.link), "")
        self._write_results()
        missing = sum(planned.number not in self._session.rows for planned in self.planned.values())
        self.prepared.report.interrupted(in_flight, self._session.sweep_id, missing)
        end_sweep_early(self.request)
        raise SystemExit(INTERRUPTED_STATUS) from None

    def _end(self, step: Submission | Outcome, sweep: Sweep) -> None:
        result = self._result(step)
        if isinstance(step, Outcome) and step.phase in ENDS - {NOT_STARTED}:  # else there is no log, or no backend
            self._keep_log(step.number)
        end_job(self.request, self._jobs[step.number], self._returns[step.number], result)
        if not isinstance(result, HydraFlyteError) or self._session.stop_cause:
            return
        self._session.failures += 1
        most = self.prepared.settings.failures_allowed()
        if most is not None and self._session.failures >= most:
            cause = "another job" if most == 1 else f"{self._session.failures} jobs"
            self._session.stop_cause = f"{cause} of the sweep failed ({self.prepared.settings.failure_setting()})"
            sweep.cancel_rest(self._session.stop_cause)

    def _keep_log(self, number: int) -> None:
        """Put what the job's tasks wrote where a local run would have written its log."""
        hydra = self._jobs[number].config.hydra
        into = Path(hydra.runtime.output_dir) / f"{hydra.job.name}.log"
        problem = keep_job_log(self.client.endpoint, self.planned[number].execution, into)
        if problem:
            self.prepared.report.line(problem)

    def _result(self, step: Submission | Outcome) -> object:
        """Return what the job's ``JobReturn`` carries: the workflow's outputs, a handle, or an exception."""
        if isinstance(step, Submission):
            name = f"{step.execution.project}/{step.execution.domain}/{step.execution.name}"
            return ExecutionHandle(id=name, url=step.link, reason="wait=false", sweep=self._session.sweep_id)
        report, interface = self.prepared.report, self.prepared.interface
        if step.error is None and step.outputs is not None:
            shown = one_output(readable_map(step.outputs))
            try:
                value = from_literals(step.outputs, interface)
                result = objective_of(self.prepared.settings.objectives(), value, interface.outputs)
            except HydraFlyteError as error:
                step = replace(step, error=error)
            else:
                self._note(step)
                report.ended(step, shown)
                return result
        self._note(step)
        report.ended(step, None)
        assert step.error is not None
        return as_hydra_prints_it(step.error, brief=report.brief(step))

    def _note(self, outcome: Outcome) -> None:
        error = "" if outcome.error is None else last_line(outcome.error.message)
        self._put_row(outcome, error)

    def _put_row(self, outcome: Outcome, error: str) -> None:
        planned = self.planned[outcome.number]
        self._session.rows[planned.number] = ResultRow(
            number=planned.number,
            overrides=shown_overrides(self._jobs[outcome.number].overrides),
            phase=outcome.phase,
            duration=outcome.duration,
            outputs={} if outcome.outputs is None else readable_map(outcome.outputs),
            execution="" if outcome.phase == NOT_STARTED else planned.execution.name,
            link=outcome.link,
            error=error,
        )

    def _write_results(self) -> None:
        report, session = self.prepared.report, self._session
        if not self.prepared.settings.wait:
            report.left_running(session.sweep_id)
            return
        try:
            paths = write_results(self.folder, list(session.rows.values()))
        except OSError as error:  # a full disk, at the end of hours of work
            report.line(
                f"results could not be written to {self.folder}: {error.strerror}; "
                f"`hydraflyte sweeps results {session.sweep_id}` has them"
            )
        else:
            report.recorded(session.sweep_id, paths[0])
