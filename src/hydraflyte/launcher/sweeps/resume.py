"""Going on with a sweep: what has succeeded is kept, what runs is followed, the rest is submitted under a new name.

A job is never taken for another: overrides, inputs and version are compared with those of the executions that the
backend has, and of the manifest if this machine has it. Everything is read before anything is started.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import SweepError
from hydraflyte.launcher.records.found import FoundExecution, FoundSweep, Place, find_sweep, newest_sweeps
from hydraflyte.launcher.records.manifest import FILE_NAME, Manifest, read_manifest
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.transport.readable import readable_map

LAST = "last"
_MOST_DIFFERENCES = 10
_NOTHING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedJob:
    """A job as this launch would run it.

    Attributes:
        overrides: without the secrets in them, as they are recorded; another secret shows in the inputs.
    """

    number: int
    overrides: tuple[str, ...]
    inputs_digest: str
    inputs: Mapping[str, object]
    version: str


def sweep_to_resume(client: FlyteClient, place: Place, wanted: str, workflow: str) -> FoundSweep:
    """Return the sweep that ``hydra.launcher.resume`` means.

    Args:
        wanted: a sweep's id, or ``last``: the newest of the workflow.

    Raises:
        SweepError: there is none.
    """
    if wanted != LAST:
        return find_sweep(client, place, wanted)
    newest = next(newest_sweeps(client, place, workflow=workflow), None)
    if newest is None:
        raise SweepError(
            f"There is no sweep of {workflow} in {place.project}/{place.domain} to go on with.",
            hint="leave out hydra.launcher.resume=last to begin one.",
        )
    return find_sweep(client, place, newest)


def refuse_differences(client: FlyteClient, found: FoundSweep, wanted: Sequence[WantedJob]) -> None:
    """Compare the jobs of this launch with what the sweep ran before.

    Raises:
        SweepError: they differ; says where.
    """
    differences = list(_differences(client, found, wanted))
    if not differences:
        return
    shown = differences[:_MOST_DIFFERENCES]
    more = [f"… and {len(differences) - len(shown)} more"] if len(differences) > len(shown) else []
    lines = "\n".join(f"  - {line}" for line in [*shown, *more])
    raise SweepError(
        f"Sweep {found.sweep_id} was not launched like this:\n{lines}",
        hint="repeat the command line and the code of the sweep, or set hydra.launcher.resume_changed=true "
        "to keep what has succeeded with the same overrides and inputs, and run the rest as it is now.",
    )


def folder_note(folder: Path) -> str:
    """Return what an execution notes of the folder where its sweep's manifest is."""
    return f"{socket.gethostname()}:{folder.resolve()}"


def manifest_of(found: FoundSweep) -> Manifest | None:
    """Return the manifest of the sweep if it lies on this machine, else None."""
    folder = folder_of(found)
    return None if folder is None else _manifest_in(folder, found.sweep_id)


def folder_of(found: FoundSweep) -> Path | None:
    """Return the folder of the sweep's newest execution if it has the sweep's manifest and is on this machine."""
    host, _, folder = max(found.currents().values(), key=lambda each: each.created_at).folder.partition(":")
    if host != socket.gethostname() or not folder:
        return None
    return None if _manifest_in(Path(folder), found.sweep_id) is None else Path(folder)


def _manifest_in(folder: Path, sweep_id: str) -> Manifest | None:
    try:
        manifest = read_manifest(folder / FILE_NAME)
    except SweepError:
        return None
    return manifest if manifest.sweep_id == sweep_id else None


def _differences(client: FlyteClient, found: FoundSweep, wanted: Sequence[WantedJob]) -> Iterator[str]:
    manifest = manifest_of(found)
    planned = {} if manifest is None else {job.number: job for job in manifest.jobs}
    versions = sorted({(found.current(job.number).version, job.version) for job in wanted if job.number in found.jobs})
    yield from (f"version: it ran {old}, this is {new}" for old, new in versions if old != new)
    is_explained = False
    for job in wanted:
        before = found.current(job.number) if job.number in found.jobs else planned.get(job.number)
        if before is None:
            continue
        recorded = shown_overrides(before.overrides)
        if recorded != job.overrides:
            yield f"job {job.number}: it had {_text(recorded)}, now it has {_text(job.overrides)}"
        elif before.inputs_digest and before.inputs_digest != job.inputs_digest:
            details = ""
            if isinstance(before, FoundExecution) and not is_explained:  # one question, not one a job
                details, is_explained = _changed_inputs(client, before, job), True
            yield f"job {job.number}: its config is another one{details}"


def _changed_inputs(client: FlyteClient, before: FoundExecution, job: WantedJob) -> str:
    old = dict(_flat("", readable_map(client.get_inputs(before.id))))
    new = dict(_flat("", job.inputs))
    changed = [
        f"{key} was {old.get(key, 'absent')!r}, is {new.get(key, 'absent')!r}"
        for key in sorted(old | new)
        if old.get(key, _NOTHING) != new.get(key, _NOTHING)
    ]
    return f": {', '.join(changed[:_MOST_DIFFERENCES])}" if changed else ""


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value


def _text(overrides: Sequence[str]) -> str:
    return f"[{' '.join(overrides)}]" if overrides else "no overrides"
