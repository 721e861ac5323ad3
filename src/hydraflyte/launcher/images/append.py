"""The builder `append`: dependencies and code become layers on an image in a registry. No daemon, no Dockerfile.

One rule: blobs first, then manifests, the target's tag last, so that no tag ever means half an image. What is there
already is not sent again. Knows registries and layers; does not know why it was chosen.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.assembly import Additions, code_folder_of
from hydraflyte.launcher.images.below import ImageBelow, PlatformImage, read_below, wanted_platforms
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Outcome, Say
from hydraflyte.launcher.images.content import KEY_ANNOTATION, find_again, key_of, resolve_base, tag_of
from hydraflyte.launcher.images.dependencies import PACKAGES, PROGRAMS, Installation, lock_content
from hydraflyte.launcher.images.layers import Layer, code_entries, write_layer
from hydraflyte.launcher.images.pushing import Push
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.patience import Patience

BASE_ANNOTATION = "org.opencontainers.image.base.digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAppender:
    """Puts dependencies and code on a base.

    Attributes:
        environment: variables that name credentials, certificates and proxies; ``None``: this process's.
        patience: when to give up on a registry.
    """

    environment: Mapping[str, str] | None = None
    patience: Patience | None = None

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        return "append"

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the image with the request's dependencies and code on its base.

        Raises:
            ImageError: there is no such image now; the target's tag still means what it meant before.
        """
        _refuse_unfit(request)
        target = Registry.open(
            request.target.repository,
            is_insecure=request.is_insecure,
            writes=True,
            environment=self.environment,
            patience=replace(
                self.patience or Patience(),
                is_cancelled=request.is_cancelled,
                deadline=time.monotonic() + request.timeout_s,
            ),
        )
        with ThreadPoolExecutor(1) as pool:  # both questions travel at the same time
            tagged = pool.submit(target.find_manifest, request.target.tag)
            base = resolve_base(request, target)
            key = key_of({"base": base.digest, **_content(request)})
        digest = find_again(target, request.target.tag, tagged.result(), key)
        outcome = Outcome.unchanged
        if digest is None:
            outcome = Outcome.appended
            with tempfile.TemporaryDirectory(prefix="hydraflyte-layers-") as scratch:
                push = Push(target=target, say=say)
                work = _Work(request=request, target=target, push=push, say=say, scratch=Path(scratch))
                digest = work.append(base.registry, base.digest, key)
        say(f"{request.target.reference} is {outcome.value}: {digest}")
        return BuiltImage(
            reference=request.target.pinned(digest),
            digest=digest,
            outcome=outcome,
            sent_bytes=target.traffic.sent_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One image being appended to."""

    request: BuildRequest
    target: Registry
    push: Push
    say: Say
    scratch: Path

    def append(self, registry: Registry, base_digest: str, key: str) -> str:
        """Push the image and return its digest."""
        below = self._with_dependencies(registry, base_digest)
        annotations = {KEY_ANNOTATION: key, BASE_ANNOTATION: base_digest}
        layer_in = self._code_layers()
        additions = [self._code_on(image, layer_in, annotations) for image in below.images]
        return self.push.push(below, additions, tags=[tag_of(key), self.request.target.tag])[1]

    def _with_dependencies(self, registry: Registry, base_digest: str) -> ImageBelow:
        """Return the base with the dependencies on it, from the registry if they were put there before."""
        platforms = self.request.platforms
        if self.request.dependencies is None:
            return read_below(registry, base_digest, platforms)
        content = lock_content(self.request.dependencies)
        key = key_of({"base": base_digest, "dependencies": content, "platforms": wanted_platforms(platforms)})
        if self.target.head_manifest(tag_of(key)) is not None:
            return read_below(self.target, tag_of(key), platforms)
        below = read_below(registry, base_digest, platforms)
        annotations = {KEY_ANNOTATION: key, BASE_ANNOTATION: base_digest}
        additions = [self._dependencies_on(below.registry, image, annotations) for image in below.images]
        return self.push.push(below, additions, tags=[tag_of(key)])[0]

    def _dependencies_on(self, registry: Registry, image: PlatformImage, annotations: Mapping[str, str]) -> Additions:
        request = self.request
        assert request.dependencies is not None
        installation = Installation(
            lock=request.dependencies,
            scratch=self.scratch,
            say=self.say,
            timeout_s=request.timeout_s,
            is_cancelled=request.is_cancelled,
        )
        layer = installation.layer_for(registry, image)
        return Additions(layers=(layer,), search_paths=(PACKAGES,), program_paths=(PROGRAMS,), annotations=annotations)

    def _code_layers(self) -> Callable[[str], Layer | None]:
        """Return a function that gives the code's layer for a folder; platforms mostly share one."""
        made: dict[str, Layer] = {}

        def layer_in(folder: str) -> Layer | None:
            files = self.request.files
            if files is None or not files.files:
                return None
            if folder not in made:
                path = self.scratch / f"code-{len(made)}.tar.gz"
                made[folder] = write_layer(code_entries(files, folder), path, created_by="hydraflyte: code")
            return made[folder]

        return layer_in

    def _code_on(
        self, image: PlatformImage, layer_in: Callable[[str], Layer | None], annotations: Mapping[str, str]
    ) -> Additions:
        folder = code_folder_of(image.config)
        layer = layer_in(folder)
        variables = self.request.variables
        if layer is None:
            return Additions(variables=variables, annotations=annotations)
        return Additions(
            layers=(layer,), search_paths=(folder,), variables=variables, folder=folder, annotations=annotations
        )


def _content(request: BuildRequest) -> dict[str, object]:
    return {
        "variables": dict(request.variables),
        "code": request.files.digest if request.files is not None else None,
        "dependencies": lock_content(request.dependencies) if request.dependencies is not None else None,
        "platforms": wanted_platforms(request.platforms),
    }


def _refuse_unfit(request: BuildRequest) -> None:
    if request.dockerfile is not None:
        raise ImageError(
            f"The {request.title} has a Dockerfile, {request.dockerfile}, and append runs none.",
            hint="Remove dockerfile_path and name base_image and dependencies, or set another builder.",
        )
    given = [name for name, value in (("buildargs", request.build_args), ("secrets", request.secrets)) if value]
    if given:
        raise ImageError(
            f"The {request.title} has {' and '.join(given)}, and no Dockerfile that could read them.",
            hint="Remove them, or name a Dockerfile with dockerfile_path.",
        )
    if request.base is None:
        raise ImageError(
            f"The {request.title} has no base to put layers on.", hint="Set base_image and base_image_version."
        )
