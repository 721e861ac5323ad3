"""What an image is made of, as one key; and images found again by it in their registry.

The key is kept in the image's manifest, and as a tag `hydraflyte-<key>` beside the target's tag. One rule: an image
counts as unchanged only if everything that gets into it has the same digest. Builds nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.building import BuildRequest
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Manifest, encode
from hydraflyte.launcher.images.registry.names import ImageName, parse_image

KEY_ANNOTATION = "org.hydraflyte.content"
_FORMAT = 1  # raised when the same content would give another image


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The image that another one is built on, by digest."""

    name: ImageName
    registry: Registry = field(compare=False)
    digest: str


def key_of(content: Mapping[str, Any]) -> str:
    """Return the key of what an image is made of: 40 hexadecimal digits."""
    return hashlib.sha256(encode({"format": _FORMAT, **content})).hexdigest()[:40]


def tag_of(key: str) -> str:
    """Return the tag under which an image is found by its content."""
    return f"hydraflyte-{key}"


def look_up_base(base: str, target: Registry) -> Base | None:
    """Return what the base's tag means now, or ``None`` if there is no such image; no request if it has a digest.

    Args:
        base: the image.
        target: the target's repository, whose connections are used where the base is in the same registry.

    Raises:
        ImageError: its registry cannot be asked.
    """
    name = parse_image(base)
    if name.host == target.name.host:
        registry = target.sibling(name.repository)
    else:
        registry = target.elsewhere(name.repository)
    if name.digest is not None:
        return Base(name=name, registry=registry, digest=name.digest)
    info = registry.head_manifest(name.reference)
    return None if info is None else Base(name=name, registry=registry, digest=info.digest)


def resolve_base(request: BuildRequest, target: Registry) -> Base:
    """Return what the request's base means now.

    Raises:
        ImageError: it does not exist, or that cannot be told.
    """
    found = look_up_base(request.base or "", target)
    if found is None:
        name = parse_image(request.base or "")
        raise ImageError(
            f"The base {name} of the {request.title} does not exist: {name.host} does not know it.",
            hint="Check base_image and base_image_version, and that it was pushed.",
        )
    return found


def find_again(target: Registry, tag: str, tagged: Manifest | None, key: str) -> str | None:
    """Return the digest of the image with this content, with ``tag`` moved to it if need be; ``None``: there is none.

    Nothing is asked where the tag already means it and its manifest can hold annotations.

    Args:
        tagged: what ``tag`` means now.
    """
    if tagged is not None and tagged.annotations.get(KEY_ANNOTATION) == key:
        return tagged.digest
    if tagged is not None and tagged.is_docker:
        info = target.head_manifest(tag_of(key))
        if info is not None and info.digest == tagged.digest:
            return info.digest
    found = target.find_manifest(tag_of(key))
    if found is None:
        return None
    return target.push_manifest(tag, found.content, found.media_type)


def remember(target: Registry, tag: str, key: str, digest: str) -> str:
    """Make the image that was just pushed findable by its content; returns its digest, which may be a new one.

    An OCI manifest gets the key as an annotation, so that one request tells next time.
    """
    manifest = target.manifest(digest)
    content = manifest.content
    if not manifest.is_docker:
        annotated = _annotated(manifest, key)
        try:
            target.push_manifest(tag, annotated, manifest.media_type)
            content = annotated
        except ImageError:  # a registry whose tags cannot be moved; if it is more than that, the next push tells
            content = manifest.content
    return target.push_manifest(tag_of(key), content, manifest.media_type)


def read_text(path: Path, what: str) -> str:
    """Return the text of a file that the user named.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ImageError(
            f"The {what} {path} cannot be read: {reason}.", hint="Check the path; it counts from the script's folder."
        ) from error


def _annotated(manifest: Manifest, key: str) -> bytes:
    document = json.loads(manifest.content)
    document["annotations"] = {**manifest.annotations, KEY_ANNOTATION: key}
    return encode(document)
