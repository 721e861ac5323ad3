"""The builder `auto`: builds only what has to be built, and appends where only code changed.

One rule: the outcome does not depend on the way: a Dockerfile that ends by copying the code gives the same files
whether all of it was built now, or its upper part once and the code put on top. Chooses; the work is done by others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.files import FileSet
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, ImageBuilder, Outcome, Say
from hydraflyte.launcher.images.content import (
    BuiltOnce,
    dockerfile_content,
    find_again,
    key_of,
    read_text,
    remember,
)
from hydraflyte.launcher.images.context import collect_context, stage_context
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.splitting import Split, split_dockerfile

UPPER_PART = "hydraflyte-without-code"
"""Tag beside the target's: the image that the code was last put on."""


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
        split = split_dockerfile(read_text(request.dockerfile, "Dockerfile"))
        if split is None or request.secrets:
            return BuiltOnce(inner=_Found(find=self.find_builder), environment=self.environment).build(request, say)
        return self._build_in_two_parts(request, split, say)

    def _build_in_two_parts(self, request: BuildRequest, split: Split, say: Say) -> BuiltImage:
        target = Registry.open(
            request.target.repository, is_insecure=request.is_insecure, writes=True, environment=self.environment
        )
        assert request.dockerfile is not None
        context = collect_context(request.context, request.dockerfile)
        key = key_of(dockerfile_content(request, context, target))
        digest = find_again(target, request.target.tag, key)
        if digest is not None:
            say(f"{request.target.reference} is unchanged: {digest}")
            return _image(request, digest, Outcome.unchanged, 0)
        below = self._upper_part(request, split, context, say)
        on_top = replace(
            request, dockerfile=None, base=below.reference, build_args={}, dependencies=None, files=context
        )
        appended = LayerAppender(environment=self.environment).build(on_top, say)
        digest = remember(target, request.target.tag, key, appended.digest)
        if below.outcome is Outcome.built:
            return _image(request, digest, Outcome.built, None)
        return _image(request, digest, Outcome.appended, appended.sent_bytes)

    def _upper_part(self, request: BuildRequest, split: Split, context: FileSet, say: Say) -> BuiltImage:
        """Return the image of everything above the code; built if no launch has built it before."""
        with tempfile.TemporaryDirectory(prefix="hydraflyte-dockerfile-") as folder:
            needed, dockerfile = Path(folder, "context"), Path(folder, "Dockerfile")
            stage_context(split.needed_of(context), needed)
            dockerfile.write_text(split.text, encoding="utf-8")
            target = replace(request.target, tag=UPPER_PART)
            part = replace(request, dockerfile=dockerfile, context=needed, target=target)
            return BuiltOnce(inner=_Found(find=self.find_builder), environment=self.environment).build(part, say)


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


def _image(request: BuildRequest, digest: str, outcome: Outcome, sent_bytes: int | None) -> BuiltImage:
    return BuiltImage(reference=request.target.pinned(digest), digest=digest, outcome=outcome, sent_bytes=sent_bytes)
