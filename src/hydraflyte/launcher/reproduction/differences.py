"""What of an execution cannot be the same again, or is not known to be: one sentence each.

Pure: what was recorded and what is there now come in as values. One rule: better one sentence too many than a promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hydraflyte.launcher.installed import EDITABLE
from hydraflyte.launcher.reproduction.interpreters import Installed
from hydraflyte.launcher.reproduction.recorded import Recorded
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE

_MOST_PACKAGES = 8
_DISTRIBUTIONS = {"hydra": "hydra-core"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not, or may not be, as it was.

    Attributes:
        kind: packages, image, input, secret, cache, code, clock.
        is_certain: whether it is known to differ.
    """

    kind: str
    text: str
    is_certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is there now.

    Attributes:
        python: the interpreter that will run the tasks; None if containers will.
        installed: what it has; None if it cannot be asked.
        changes: URI of an input -> when it was last changed; None for one that is gone. Those elsewhere are missing.
        elsewhere: URIs of inputs that cannot be looked at from here.
        uses_cache: whether cached results of tasks may be taken.
    """

    python: str | None
    installed: Installed | None
    changes: Mapping[str, datetime | None] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    uses_cache: bool = True


def differences_of(recorded: Recorded, present: Present) -> tuple[Difference, ...]:
    """Return what differs or may differ, what is certain first."""
    found = [
        *_interpreter(recorded, present),
        *_inputs(recorded, present),
        *_images(recorded, present),
        *_secrets(recorded),
        *(_cached(recorded) if present.uses_cache else ()),
        *_code(recorded),
        *_clock(recorded),
    ]
    return tuple(sorted(found, key=lambda difference: not difference.is_certain))


def _interpreter(recorded: Recorded, present: Present) -> Iterator[Difference]:
    if present.python is None:
        return
    if present.installed is None:
        yield Difference(
            kind="packages", text=f"the interpreter {present.python} cannot be started any more", is_certain=True
        )
        return
    python = recorded.versions.get("python")
    if python is not None and python != present.installed.python:
        yield Difference(kind="packages", text=f"Python {python} -> {present.installed.python}", is_certain=True)
    before = recorded.packages or _noted(recorded)
    yield from _package_differences(before, present.installed.packages)
    if not recorded.packages:
        known = f" but {', '.join(before)}" if before else ""
        yield Difference(kind="packages", text=f"installed packages{known} were not recorded", is_certain=False)
    for name, version in recorded.packages.items():
        if version.endswith(EDITABLE):
            text = f"{name} was an editable install: what is not in the code bundle may have changed since"
            yield Difference(kind="packages", text=text, is_certain=False)


def _noted(recorded: Recorded) -> dict[str, str]:
    return {_DISTRIBUTIONS.get(name, name): version for name, version in recorded.versions.items() if name != "python"}


def _package_differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    plain = {name: version.removesuffix(EDITABLE) for name, version in now.items()}
    changed = [
        f"{name} {version.removesuffix(EDITABLE)} -> {plain.get(name, 'not installed')}"
        for name, version in before.items()
        if plain.get(name) != version.removesuffix(EDITABLE)
    ]
    for text in changed[:_MOST_PACKAGES]:
        yield Difference(kind="packages", text=text, is_certain=True)
    if len(changed) > _MOST_PACKAGES:
        yield Difference(
            kind="packages", text=f"{len(changed) - _MOST_PACKAGES} more packages have other versions", is_certain=True
        )


def _inputs(recorded: Recorded, present: Present) -> Iterator[Difference]:
    started_at = recorded.execution.closure.created_at.ToDatetime(timezone.utc)
    for uri, changed_at in present.changes.items():
        if changed_at is None:
            yield Difference(kind="input", text=f"{uri} is gone", is_certain=True)
        elif changed_at > started_at:
            text = f"{uri} was changed at {changed_at:%Y-%m-%d %H:%M:%S} UTC, after the execution had begun"
            yield Difference(kind="input", text=text, is_certain=True)
    for uri in present.elsewhere:
        yield Difference(kind="input", text=f"{uri} is read again from the same address", is_certain=False)


def _images(recorded: Recorded, present: Present) -> Iterator[Difference]:
    images = sorted({task.container.image for task in recorded.tasks if task.container.image})
    if present.python is not None:
        return  # tasks run in that interpreter, whatever image they name
    for image in images:
        if "@sha256:" not in image:
            yield Difference(
                kind="image", text=f"{image} is named by a tag, which may be another image now", is_certain=False
            )


def _secrets(recorded: Recorded) -> Iterator[Difference]:
    names = sorted(
        {
            f"{secret.group}/{secret.key}" if secret.group else secret.key
            for task in recorded.tasks
            for secret in task.security_context.secrets
        }
    )
    if names:
        yield Difference(
            kind="secret",
            text=f"{', '.join(names)}: values are never recorded, those of now are used",
            is_certain=False,
        )


def _cached(recorded: Recorded) -> Iterator[Difference]:
    names = sorted(task.id.name for task in recorded.tasks if task.metadata.discoverable)
    if names:
        text = f"{', '.join(names)}: cached results are taken where there are any; --overwrite-cache runs them"
        yield Difference(kind="cache", text=text, is_certain=False)


def _code(recorded: Recorded) -> Iterator[Difference]:
    if not recorded.code_uris:
        yield Difference(kind="code", text="there is no code bundle: the code is that of the images", is_certain=False)
    if len(recorded.code_uris) > 1:
        text = f"{len(recorded.code_uris)} code bundles: tasks of other versions are part of it"
        yield Difference(kind="code", text=text, is_certain=False)


def _clock(recorded: Recorded) -> Iterator[Difference]:
    frozen = " (Hydra's ${now:} is as it was)" if HYDRA_JOB_VARIABLE in recorded.environment else ""
    yield Difference(
        kind="clock",
        text=f"wall clock{frozen}, random numbers without a seed, and what tasks read over the network",
        is_certain=False,
    )
