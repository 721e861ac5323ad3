"""Where an execution is found, and what a job returns when its result was not waited for.

A handle is no number and says so. Imports neither flytekit nor Hydra.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyteidl.core import identifier_pb2

from hydraflyte.errors import ExecutionError


def execution_link(console_url: str, execution: identifier_pb2.WorkflowExecutionIdentifier) -> str:
    """Return the address of the execution's page."""
    place = f"projects/{execution.project}/domains/{execution.domain}/executions/{execution.name}"
    return f"{console_url}/console/{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionHandle:
    """Stands for the result of a job that was not waited for, or not run.

    Attributes:
        id: ``project/domain/name`` of the execution; None if none was started.
        url: its page; None if none was started.
        reason: the setting that made it so, such as ``wait=false``.
        sweep: id of its sweep: ``hydraflyte sweeps attach`` follows it; None if none was started.
    """

    id: str | None
    url: str | None
    reason: str
    sweep: str | None = None

    def __float__(self) -> float:
        """Never return: there is no number yet, and a sweeper that wants one must not go on with a wrong one.

        Raises:
            ExecutionError: always.
        """
        raise ExecutionError(
            f"The job has no result to compute with, because of {self.reason}.",
            hint=f"a sweeper that optimises needs results: leave out hydra.launcher.{self.reason}.",
        )
