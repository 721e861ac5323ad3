"""What a job returns when its result was not waited for: where to find it, and a clear no to sums with it."""

from __future__ import annotations

from dataclasses import dataclass

from hydraflyte.errors import ExecutionError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionHandle:
    """Stands for the result of a job that was not waited for, or not run.

    Attributes:
        id: ``project/domain/name`` of the execution; None if none was started.
        url: its page; None if none was started.
        reason: the setting that made it so, such as ``wait=false``.
    """

    id: str | None
    url: str | None
    reason: str

    def __float__(self) -> float:
        """Never return: there is no number yet, and a sweeper that wants one must not go on with a wrong one.

        Raises:
            ExecutionError: always.
        """
        raise ExecutionError(
            f"The job has no result to compute with, because of {self.reason}.",
            hint=f"a sweeper that optimises needs results: leave out hydra.launcher.{self.reason}.",
        )
