"""A launch that could start: what preparation hands to the running of the jobs.

Only values. Everything in here is complete and has been checked; nothing of it has been sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyteidl.core import literals_pb2

from hydraflyte.config import LauncherConfig
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.jobs import Job
from hydraflyte.launcher.report import SweepReport

__all__ = ["Prepared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The workflow, and what each job hands to it.

    Attributes:
        inputs: one literal map per job, in their order.
    """

    settings: LauncherConfig
    jobs: tuple[Job, ...]
    source: WorkflowSource
    inputs: tuple[literals_pb2.LiteralMap, ...]
    report: SweepReport
