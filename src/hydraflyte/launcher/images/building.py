"""What an image builder is asked for, and what it gives back.

One rule: a built image is named by its digest, because a tag may mean another image tomorrow. Values and one protocol;
knows no builder, no registry and no config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from hydraflyte.errors import ConfigError
from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.images.registry.names import parse_image

DEFAULT_TIMEOUT_S = 3600.0

Say = Callable[[str], None]
"""Takes one line of progress, without its line end. Called from the builder's own thread."""


def never() -> bool:
    """Return False: what is not cancelled."""
    return False


class Outcome(str, Enum):
    """What it took to have the image."""

    found = "found"  # it was there, and nobody asked for a build
    unchanged = "unchanged"  # the same content was pushed before
    appended = "appended"  # layers were put on top of the base, in the registry
    built = "built"  # a builder ran the Dockerfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an image is pushed to.

    Attributes:
        repository: registry, port and path, such as ``localhost:5001/team/app``; no tag.
        tag: the tag that is moved to the new image.
    """

    repository: str
    tag: str

    @property
    def reference(self) -> str:
        """``repository:tag``."""
        return f"{self.repository}:{self.tag}"

    def pinned(self, digest: str) -> str:
        """Return ``repository@digest``."""
        return f"{self.repository}@{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSecret:
    """What a ``RUN --mount=type=secret`` may read while the image is built; it never gets into the image.

    Attributes:
        id: its name in the Dockerfile.
        file: the file that holds it, or ``None``.
        variable: the environment variable that holds it, or ``None``; exactly one of the two is set.
    """

    id: str
    file: Path | None = None
    variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to have in a registry.

    Attributes:
        target: where it is pushed.
        context: the directory that the Dockerfile copies from.
        base: the image to build on, ``name:tag`` or ``name@digest``; ``None`` where the Dockerfile names it.
        dockerfile: what to build with; ``None`` for an image that is only appended to.
        build_args: name -> value; the values are never shown. Without ``BASE_IMAGE`` and ``BASE_VERSION``.
        secrets: what ``RUN --mount=type=secret`` may read.
        platforms: such as ``linux/amd64``; empty means the builder's own.
        dependencies: ``uv.lock``, ``requirements.txt`` or ``pylock.toml`` whose packages become a layer, or ``None``.
        files: the user's code, to be put into the image by builders that run no Dockerfile; ``None``: no code.
        variables: environment variables of the image, set by builders that run no Dockerfile.
        name: the name by which tasks refer to the image, or ``None`` for the default image.
        is_insecure: whether the registry may be spoken to in plain text, or with a certificate nobody vouches for;
            ``None``: where it is on this machine.
        timeout_s: the builder is stopped after that long.
        is_cancelled: asked now and then while something is built; once it says yes, the builder is stopped.

    Raises:
        ConfigError: on construction, when the image would be built on itself.
        ImageError: on construction, when a name is no image name.
    """

    target: Target
    context: Path
    base: str | None = None
    dockerfile: Path | None = None
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[BuildSecret, ...] = ()
    platforms: tuple[str, ...] = ()
    dependencies: Path | None = None
    files: FileSet | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    is_insecure: bool | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_cancelled: Callable[[], bool] = never

    def __post_init__(self) -> None:
        target = parse_image(self.target.reference)
        base = None if self.base is None else parse_image(self.base)
        if base is not None and (base.repository, base.reference) == (target.repository, target.reference):
            raise ConfigError(
                f"The {self.title} would be built on itself: base and target are both {self.target.reference}.",
                hint="give target_image or target_image_version another name than the base image has.",
            )

    @property
    def title(self) -> str:
        """How messages call the image."""
        return f"image {self.name}" if self.name else "default image"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that is in its registry now.

    Attributes:
        reference: ``repository@sha256:…``; what tasks are registered with.
        digest: ``sha256:…`` of its manifest, or of its index where it has several platforms.
        outcome: what it took.
        sent_bytes: how much went to the registry, or ``None`` where the builder does not tell.
    """

    reference: str
    digest: str
    outcome: Outcome
    sent_bytes: int | None = None


class ImageBuilder(Protocol):
    """Turns a request into an image in its registry."""

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        ...

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the pushed image.

        Args:
            say: told what happens, line by line.

        Raises:
            ImageError: there is no such image now; the target's tag still means what it meant before.
        """
        ...
