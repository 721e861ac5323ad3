"""A launch that could start: what preparation hands to the running of the jobs.

Only values. Everything in here is complete and has been checked; nothing of it has been sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl.core import literals_pb2
from flytekit.core.interface import Interface

from hydraflyte.config import LauncherConfig
from hydraflyte.launcher.discover import WorkflowSource
from hydraflyte.launcher.jobs import Job
from hydraflyte.launcher.provenance import Call
from hydraflyte.launcher.report import SweepReport
from hydraflyte.launcher.task_settings import TaskSettings

__all__ = ["Prepared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The workflow, and what each job hands to it.

    Attributes:
        inputs: one literal map per job, in their order.
        task_settings: by the job's number, what its config asks for its tasks.
        interface: the workflow's, as it will be executed.
        defaults: what the program's own config gives to the workflow's inputs.
        call: who launches, and how.
    """

    settings: LauncherConfig
    jobs: tuple[Job, ...]
    source: WorkflowSource
    inputs: tuple[literals_pb2.LiteralMap, ...]
    task_settings: Mapping[int, Mapping[str, TaskSettings]]
    interface: Interface
    defaults: literals_pb2.LiteralMap
    call: Call
    report: SweepReport
