"""The builder `append`: dependencies and code become layers on an image in a registry. No daemon, no Dockerfile.

One rule: blobs first, then manifests, the target's tag last, so that no tag ever means half an image. What is there
already is not sent again. Knows registries and layers; does not know why it was chosen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.assembly import Additions, Assembled, assemble, assemble_index, code_folder_of
from hydraflyte.launcher.images.below import ImageBelow, PlatformImage, read_below, wanted_platforms
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Outcome, Say
from hydraflyte.launcher.images.content import KEY_ANNOTATION, find_again, key_of, resolve_base, tag_of
from hydraflyte.launcher.images.dependencies import PACKAGES, PROGRAMS, build_dependencies, lock_content
from hydraflyte.launcher.images.layers import Layer, code_entries, write_layer
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Descriptor, digest_of, parse_manifest
from hydraflyte.launcher.images.registry.patience import Patience
from hydraflyte.launcher.images.registry.transport import CONNECTIONS

BASE_ANNOTATION = "org.opencontainers.image.base.digest"
_I = TypeVar("_I")
_T = TypeVar("_T")


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
            patience=self.patience,
        )
        base = resolve_base(request, target)
        key = key_of({"base": base.digest, **_content(request)})
        digest = find_again(target, request.target.tag, key)
        outcome = Outcome.unchanged
        if digest is None:
            outcome = Outcome.appended
            with tempfile.TemporaryDirectory(prefix="hydraflyte-layers-") as scratch:
                work = _Work(request=request, target=target, say=say, scratch=Path(scratch))
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
    say: Say
    scratch: Path

    def append(self, registry: Registry, base_digest: str, key: str) -> str:
        """Push the image and return its digest."""
        below = self._with_dependencies(registry, base_digest)
        annotations = {KEY_ANNOTATION: key, BASE_ANNOTATION: base_digest}
        layer = self._code_layer(below)
        additions = [self._code_on(image, layer, annotations) for image in below.images]
        return self._push(below, additions, tags=[tag_of(key), self.request.target.tag])[1]

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
        return self._push(below, additions, tags=[tag_of(key)])[0]

    def _dependencies_on(self, registry: Registry, image: PlatformImage, annotations: Mapping[str, str]) -> Additions:
        assert self.request.dependencies is not None
        layer = build_dependencies(
            self.request.dependencies, registry, image, self.scratch, self.say, timeout_s=self.request.timeout_s
        )
        return Additions(layers=(layer,), search_paths=(PACKAGES,), program_paths=(PROGRAMS,), annotations=annotations)

    def _code_layer(self, below: ImageBelow) -> Callable[[str], Layer | None]:
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
        if layer is None:
            return Additions(annotations=annotations)
        return Additions(layers=(layer,), search_paths=(folder,), folder=folder, annotations=annotations)

    def _push(self, below: ImageBelow, additions: list[Additions], *, tags: list[str]) -> tuple[ImageBelow, str]:
        """Push the images with their additions; return what is there now, and its digest."""
        self._bring_layers(below)
        new_layers = {layer.digest: layer for addition in additions for layer in addition.layers}
        _at_once(self._bring_layer, new_layers.values())
        made = []
        for image, addition in zip(below.images, additions, strict=True):
            assembled = assemble(image.manifest, image.config, addition)
            self._bring_blob(digest_of(assembled.config), assembled.config)
            if below.is_index:
                self.target.push_manifest(assembled.digest, assembled.manifest, assembled.media_type)
            made.append((image, assembled))
        content, media_type = self._top(below, made, additions[0].annotations)
        digest = ""
        for tag in tags:
            digest = self.target.push_manifest(tag, content, media_type)
        return self._pushed(below, made), digest

    def _top(
        self, below: ImageBelow, made: list[tuple[PlatformImage, Assembled]], annotations: Mapping[str, str]
    ) -> tuple[bytes, str]:
        if not below.is_index:
            return made[0][1].manifest, made[0][1].media_type
        children = [(image.child, assembled) for image, assembled in made if image.child is not None]
        return assemble_index(below.images[0].manifest.is_docker, children, annotations)

    def _pushed(self, below: ImageBelow, made: list[tuple[PlatformImage, Assembled]]) -> ImageBelow:
        images = []
        for image, assembled in made:
            manifest = parse_manifest(assembled.manifest, assembled.media_type, name=self.request.target.repository)
            images.append(replace(image, manifest=manifest, config=assembled.config_document))
        return replace(below, registry=self.target, images=tuple(images))

    def _bring_layers(self, below: ImageBelow) -> None:
        """See to it that the layers of the image below are in the target's repository."""
        if below.registry.name.repository == self.target.name.repository:
            return
        blobs = {
            entry["digest"]: Descriptor.of(entry)
            for image in below.images
            for entry in image.manifest.document["layers"]
            if not entry.get("urls")  # layers that may not be passed on are fetched from there
        }
        lacking = _at_once(lambda blob: None if self.target.has_blob(blob.digest) else blob, blobs.values())
        _at_once(lambda blob: self._take_over(blob, below.registry), [blob for blob in lacking if blob is not None])

    def _take_over(self, blob: Descriptor, source: Registry) -> None:
        is_near = source.name.host == self.target.name.host
        if is_near and self.target.mount_blob(blob.digest, source):
            return
        self.say(
            f"copying a layer of {source.name.repository}, {_megabytes(blob.size_bytes)}, to {self.target.name.host}"
        )
        self.target.copy_blob(blob, source)

    def _bring_layer(self, layer: Layer) -> None:
        if not self.target.has_blob(layer.digest):
            self.say(f"pushing {layer.created_by.removeprefix('hydraflyte: ')}, {_megabytes(layer.size_bytes)}")
            self.target.push_blob(layer.digest, layer.path)

    def _bring_blob(self, digest: str, content: bytes) -> None:
        if not self.target.has_blob(digest):
            self.target.push_blob(digest, content)


def _content(request: BuildRequest) -> dict[str, object]:
    return {
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
    if request.base is None:
        raise ImageError(
            f"The {request.title} has no base to put layers on.", hint="Set base_image and base_image_version."
        )


def _at_once(action: Callable[[_I], _T], items: Iterable[_I]) -> list[_T]:
    """Do the same with all items, some at a time; the first error stops those that have not begun."""
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hydraflyte-registry") as pool:
        begun: list[Future[_T]] = [pool.submit(action, item) for item in items]
        try:
            return [future.result() for future in begun]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"
