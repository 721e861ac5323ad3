"""The builder `auto`: builds only what has to be built, and appends where only code changed.

One rule: the outcome does not depend on the way: a Dockerfile that ends by copying the code gives the same files
whether all of it was built now, or its upper part once and the code put on top. Chooses; the work is done by others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, ImageBuilder, Outcome, Say, Target
from hydraflyte.launcher.images.content import (
    BuiltOnce,
    dockerfile_content,
    find_again,
    key_of,
    read_text,
    remember,
    tag_of,
)
from hydraflyte.launcher.images.context import collect_context
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.splitting import Split, split_dockerfile


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
        content = dockerfile_content(request, target)
        key = key_of(content)
        digest = find_again(target, request.target.tag, key)
        if digest is not None:
            say(f"{request.target.reference} is unchanged: {digest}")
            return _image(request, digest, Outcome.unchanged, 0)
        below, outcome = self._upper_part(request, split, content, target, say)
        assert request.dockerfile is not None
        code = collect_context(request.context, request.dockerfile)
        on_top = replace(request, dockerfile=None, base=below, build_args={}, dependencies=None, files=code)
        appended = LayerAppender(environment=self.environment).build(on_top, say)
        digest = remember(target, request.target.tag, key, appended.digest)
        return _image(request, digest, outcome, appended.sent_bytes if outcome is Outcome.appended else None)

    def _upper_part(
        self, request: BuildRequest, split: Split, content: Mapping[str, Any], target: Registry, say: Say
    ) -> tuple[str, Outcome]:  # Any: what a key is made of
        """Return the image of everything above the code, by digest; built if no launch has built it before."""
        assert request.dockerfile is not None
        needed = split.needed_of(collect_context(request.context, request.dockerfile))
        tag = tag_of(key_of({**content, "dockerfile": split.text, "context": needed.digest, "part": "without code"}))
        known = target.head_manifest(tag)
        if known is not None:
            say(f"only code changed: it goes on top of {request.target.repository}:{tag}")
            return request.target.pinned(known.digest), Outcome.appended
        with tempfile.TemporaryDirectory(prefix="hydraflyte-dockerfile-") as folder:
            dockerfile = Path(folder, "Dockerfile")
            dockerfile.write_text(split.text, encoding="utf-8")
            part = replace(request, dockerfile=dockerfile, target=Target(repository=request.target.repository, tag=tag))
            return _Found(find=self.find_builder).build(part, say).reference, Outcome.built


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
