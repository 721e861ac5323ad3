"""The builder `auto`: builds only what has to be built, and appends where only code changed.

One rule: what builds is looked for only when something is to be built, so that an unchanged launch works on a machine
without any builder. Chooses; the work is done by others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, ImageBuilder, Say
from hydraflyte.launcher.images.built_once import BuiltOnce


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoBuilder:
    """Takes the cheapest way to an image.

    Attributes:
        find_builder: returns what runs Dockerfiles on this machine, or ``None``; asked only where something is built.
        environment: variables that name credentials, certificates and proxies.
    """

    find_builder: Callable[[], ImageBuilder | None]
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        return "auto"

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the image.

        Raises:
            ImageError: it cannot be had; among others because nothing on this machine runs Dockerfiles.
        """
        if request.dockerfile is None:
            return LayerAppender(environment=self.environment).build(request, say)
        inner = _Found(find=self.find_builder)
        return BuiltOnce(inner=inner, appends=True, environment=self.environment).build(request, say)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The builder of this machine, looked for when it is needed."""

    find: Callable[[], ImageBuilder | None]

    @property
    def name(self) -> str:
        return "auto"

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        builder = self.find()
        if builder is None:
            raise ImageError(
                f"The {request.title} has a Dockerfile, and nothing on this machine can build it: no docker buildx, "
                "podman, buildah or docker answers.",
                hint="start or install one; or name base_image and dependencies instead of a Dockerfile: append needs "
                "no program.",
            )
        say(f"building {request.target.reference} with {builder.name}")
        return builder.build(request, say)
