"""Images on their way into a repository: layers, configs, manifests, tags, in this order.

One rule: blobs first, then manifests, tags last, so that no tag ever means half an image. What is there already is not
sent again. Knows registries and layers; does not know what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from hydraflyte.launcher.images.assembly import Additions, Assembled, assemble, assemble_index
from hydraflyte.launcher.images.below import ImageBelow, PlatformImage
from hydraflyte.launcher.images.building import Say
from hydraflyte.launcher.images.layers import Layer
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Descriptor, digest_of, parse_manifest
from hydraflyte.launcher.images.registry.transport import CONNECTIONS

_I = TypeVar("_I")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Pushes to one repository.

    Attributes:
        target: the repository.
        say: told what takes time.
    """

    target: Registry
    say: Say

    def push(self, below: ImageBelow, additions: Sequence[Additions], *, tags: list[str]) -> tuple[ImageBelow, str]:
        """Push the images with their additions; return what is there now, and its digest."""
        self._bring_layers(below)
        new_layers = {layer.digest: layer for addition in additions for layer in addition.layers}
        at_once(self._bring_layer, new_layers.values())
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
            manifest = parse_manifest(assembled.manifest, assembled.media_type, name=self.target.name.repository)
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
        lacking = at_once(lambda blob: None if self.target.has_blob(blob.digest) else blob, blobs.values())
        at_once(lambda blob: self._take_over(blob, below.registry), [blob for blob in lacking if blob is not None])

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


def at_once(action: Callable[[_I], _T], items: Iterable[_I]) -> list[_T]:
    """Do the same with all items, some at a time, and return what came of each; the first error stops the rest."""
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hydraflyte-registry") as pool:
        begun: list[Future[_T]] = [pool.submit(action, item) for item in items]
        try:
            return [future.result() for future in begun]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"
