"""The image that layers are put on, as it is in its registry: one manifest, or one for each platform.

One rule: only manifests and configs are read, never a layer. Pushes nothing.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.assembly import platform_of, read_config
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Child, Manifest, Platform, parse_platform

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformImage:
    """The image for one platform. ``child`` is what an index says of it; ``None`` where there is no index."""

    manifest: Manifest
    config: Mapping[str, Any]
    platform: Platform
    child: Child | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBelow:
    """The image that comes below the new layers.

    Attributes:
        registry: where its layers are.
        images: one for each platform that was asked for.
        is_index: whether the new image is an index, too.
    """

    registry: Registry
    images: tuple[PlatformImage, ...]
    is_index: bool


def own_platform() -> Platform:
    """Return the Linux platform of this machine's processor."""
    processor = machine.machine().lower()
    return Platform(os="linux", architecture=_ARCHITECTURES.get(processor, processor))


def wanted_platforms(platforms: Sequence[str]) -> list[str]:
    """Return what an image's content says of platforms: where none is asked for, it depends on this machine."""
    return sorted(platforms) or [f"as on {own_platform()}"]


def read_below(registry: Registry, reference: str, platforms: Sequence[str]) -> ImageBelow:
    """Return what is in the registry under a tag or digest, for these platforms.

    Args:
        registry: the repository.
        reference: tag or digest.
        platforms: such as ``linux/amd64``; empty means this machine's processor, or the only one that there is.

    Raises:
        ImageError: it is missing, damaged, or not there for a platform.
    """
    name = f"{registry.name.repository}{'@' if reference.startswith('sha256:') else ':'}{reference}"
    manifest = registry.manifest(reference)
    wanted = [parse_platform(text) for text in platforms]
    if not manifest.is_index:
        image = _read_image(registry, manifest, None, name)
        for platform in wanted:
            if not platform.is_served_by(image.platform):
                raise _lacks(name, platform, [image.platform])
        return ImageBelow(registry=registry, images=(image,), is_index=False)
    children = manifest.children
    if not wanted:
        wanted = [own_platform()] if len(children) != 1 else [children[0].platform]
    chosen = [_child_for(platform, children, name) for platform in wanted]
    images = [_read_image(registry, registry.manifest(child.descriptor.digest), child, name) for child in chosen]
    return ImageBelow(registry=registry, images=tuple(images), is_index=len(images) > 1)


def _read_image(registry: Registry, manifest: Manifest, child: Child | None, name: str) -> PlatformImage:
    config = read_config(registry.read_blob(manifest.config.digest, manifest.config.size_bytes), name)
    return PlatformImage(manifest=manifest, config=config, platform=platform_of(config), child=child)


def _child_for(platform: Platform, children: Sequence[Child], name: str) -> Child:
    for child in children:
        if platform.is_served_by(child.platform):
            return child
    raise _lacks(name, platform, [child.platform for child in children])


def _lacks(name: str, platform: Platform, there: Sequence[Platform]) -> ImageError:
    return ImageError(
        f"{name} is not there for {platform}, only for {', '.join(map(str, there)) or 'nothing'}.",
        hint="Set platforms to what the base is made for, or choose another base_image.",
    )
