"""A sweep that somebody else has launched: follow it, or submit its failed jobs anew, without the user's code.

What was submitted is on the backend: launch plan, inputs, labels and settings are taken from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flyteidl.admin import execution_pb2

from hydraflyte import labels
from hydraflyte.launcher.execute import Submission
from hydraflyte.launcher.handles import execution_link
from hydraflyte.launcher.records.found import FoundExecution, FoundSweep
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.wait import Outcome, Sweep, Watcher

_PATIENCE_S = 0.0


def follow(client: FlyteClient, sweep: FoundSweep, watcher: Watcher) -> Iterator[Outcome]:
    """Yield the outcome of each job that has not ended yet, as soon as it has."""
    running = {number: execution for number, execution in sweep.currents().items() if not execution.has_ended}
    following = Sweep(
        client=client,
        start=lambda number: _submission(client, number, running[number]),
        watcher=watcher,
        source_root=Path.cwd(),
    )
    for step in following.run_all(running, len(running)) if running else ():
        if isinstance(step, Outcome):
            yield step


def submit_anew(client: FlyteClient, failed: FoundExecution) -> str:
    """Submit the job of an execution once more, under the name of its next round; returns the name.

    Raises:
        BackendRefusedError: the backend does not accept it any more.
    """
    execution = client.get_execution(failed.id, patience_s=_PATIENCE_S)
    stem = failed.id.name.removesuffix(f"-r{failed.round}") if failed.round else failed.id.name
    name = f"{stem}-r{failed.round + 1}"
    request = execution_pb2.ExecutionCreateRequest(
        project=failed.id.project, domain=failed.id.domain, name=name, inputs=client.get_inputs(failed.id)
    )
    request.spec.CopyFrom(execution.spec)
    request.spec.labels.values[labels.ROUND] = str(failed.round + 1)
    request.spec.metadata.mode = execution_pb2.ExecutionMetadata.MANUAL
    request.spec.metadata.ClearField("reference_execution")
    return client.create_execution(request).name


def _submission(client: FlyteClient, number: int, execution: FoundExecution) -> Submission:
    link = execution_link(client.endpoint.console_url, execution.id)
    return Submission(number=number, execution=execution.id, link=link, found_phase=execution.phase)
