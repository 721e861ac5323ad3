"""``sweep.json`` in the sweep's folder: which jobs a sweep has, and the names of their executions.

Written before a job is submitted, in one piece, and never with what the backend alone knows: phases are asked for.
Names follow from the sweep's id, so a manifest of 10,000 jobs is written once and not once a job.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydraflyte.errors import SweepError

FORMAT = 1
FILE_NAME = "sweep.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestJob:
    """One job as it was planned.

    Attributes:
        overrides: without the secrets in them.
        inputs_digest: digest of its inputs.
        executions: names of its executions in order; the last one counts.
    """

    number: int
    overrides: tuple[str, ...]
    inputs_digest: str
    executions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A sweep as it was planned.

    Attributes:
        endpoint: target of the backend.
        version: version of the launch plan.
        command: the command line, without the secrets in it.
        told: which end of the sweep its notifications have told of; empty before.
    """

    sweep_id: str
    created_at: datetime
    endpoint: str
    project: str
    domain: str
    workflow: str
    version: str
    command: tuple[str, ...]
    jobs: tuple[ManifestJob, ...]
    told: str = ""

    def with_jobs(self, jobs: Mapping[int, ManifestJob]) -> Manifest:
        """Return the manifest with these jobs added, or put in the place of those of the same number."""
        merged = {job.number: job for job in self.jobs} | dict(jobs)
        return replace(self, jobs=tuple(merged[number] for number in sorted(merged)))


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest; whoever reads it, and whatever crashes, finds the old one or the new one, whole.

    A manifest of another sweep in the same folder is kept beside it, under that sweep's id.
    """
    path = folder / FILE_NAME
    _keep_another_sweeps(path, manifest.sweep_id)
    document = {"format": FORMAT, **asdict(manifest), "created_at": manifest.created_at.isoformat()}
    _replace_whole(path, json.dumps(document, indent=1) + "\n")
    return path


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a file.

    Raises:
        SweepError: it is not there, damaged, or of a later format.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))  # Any: checked below
        if document.pop("format") != FORMAT:
            raise SweepError(
                f"{path} was written by another version of hydraflyte.",
                hint="use the version that wrote it; the executions themselves are found by their labels.",
            )
        jobs = tuple(_job(item) for item in document.pop("jobs"))
        created_at = datetime.fromisoformat(document.pop("created_at"))
        command = tuple(document.pop("command"))
        return Manifest(jobs=jobs, created_at=created_at, command=command, **document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepError(
            f"{path} is no manifest of a sweep: {error}", hint="`hydraflyte sweeps list` finds sweeps without it."
        ) from error


def _job(item: Mapping[str, Any]) -> ManifestJob:  # Any: a wrong one raises TypeError or KeyError
    return ManifestJob(
        number=int(item["number"]),
        overrides=tuple(item["overrides"]),
        inputs_digest=str(item["inputs_digest"]),
        executions=tuple(item["executions"]),
    )


def _keep_another_sweeps(path: Path, sweep_id: str) -> None:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["sweep_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if before != sweep_id:
        path.rename(path.with_name(f"sweep-{before}.json"))


def _replace_whole(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut can undo the renaming
    finally:
        os.close(folder)
