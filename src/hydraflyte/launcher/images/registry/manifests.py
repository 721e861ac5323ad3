"""Manifests and indexes, of both families: Docker's schema 2 and OCI. Parsed, checked, never rewritten.

One rule: the bytes are kept as they came, because their digest is their name. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydraflyte.errors import ImageError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ACCEPTED = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
_INDEXES = (OCI_INDEX, DOCKER_LIST)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OTHER_DIGEST = re.compile(r"sha512:[0-9a-f]{128}")


def digest_of(content: bytes) -> str:
    """Return ``sha256:…`` of ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is a digest as we count it ourselves, and not a tag or anything else."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestInfo:
    """What a HEAD request tells."""

    digest: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What one document says of another."""

    digest: str
    size_bytes: int
    media_type: str

    @staticmethod
    def of(entry: Mapping[str, Any]) -> Descriptor:
        return Descriptor(digest=entry["digest"], size_bytes=entry["size"], media_type=str(entry.get("mediaType", "")))

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """An operating system and a processor, such as ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def is_served_by(self, other: Platform) -> bool:
        """Tell whether an image for ``other`` is what was asked for; no variant means any."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and self.variant in ("", other.variant)


def parse_platform(text: str) -> Platform:
    """Read ``linux/amd64`` or ``linux/arm64/v8``.

    Raises:
        ImageError: it is neither.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ImageError(
            f"{text!r} is no platform.", hint="Write platforms as os/architecture, such as linux/amd64 or linux/arm64."
        )
    return Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One image of an index. ``entry`` is what the index says of it, to be kept."""

    descriptor: Descriptor
    platform: Platform
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest or an index, as its registry has it.

    Attributes:
        content: the bytes.
        media_type: its type.
        document: the parsed bytes.
    """

    content: bytes
    media_type: str
    document: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """``sha256:…`` of the bytes."""
        return digest_of(self.content)

    @property
    def is_index(self) -> bool:
        """Whether it lists images for several platforms."""
        return self.media_type in _INDEXES

    @property
    def is_docker(self) -> bool:
        """Whether it is of Docker's family; what is made from it must be, too."""
        return self.media_type in (DOCKER_LIST, DOCKER_MANIFEST)

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations; Docker's family has none."""
        return self.document.get("annotations") or {}

    @property
    def config(self) -> Descriptor:
        """What it says of the image's config; only a manifest has one."""
        return Descriptor.of(self.document["config"])

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """What it says of the image's layers, the lowest first."""
        return tuple(Descriptor.of(layer) for layer in self.document["layers"])

    @property
    def children(self) -> tuple[Child, ...]:
        """The images of an index; without the attestations that BuildKit adds."""
        return tuple(
            Child(descriptor=Descriptor.of(entry), platform=_platform_of(entry), entry=entry)
            for entry in self.document["manifests"]
            if not _is_attestation(entry)
        )


def parse_manifest(content: bytes, content_type: str, *, name: str) -> Manifest:
    """Return the manifest or index in ``content``.

    Args:
        content: the bytes.
        content_type: what the registry says it is; trusted only where the document does not say it.
        name: the image, for messages.

    Raises:
        ImageError: it is neither, or of a kind that is no longer in use.
    """
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _unreadable(name, "it is no JSON object")
    media_type = document.get("mediaType") or _by_shape(document, content_type.partition(";")[0].strip())
    if media_type in _INDEXES:
        wanted = "manifests"
    elif media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        wanted = "layers"
    else:
        raise _unreadable(name, f"its type is {media_type or 'not given'}")
    entries = document.get(wanted)
    if not isinstance(entries, list):
        raise _unreadable(name, f"it has no list of {wanted}")
    described = [*entries, *([document.get("config")] if wanted == "layers" else [])]
    if not all(map(_is_descriptor, described)) or not isinstance(document.get("annotations") or {}, dict):
        raise _unreadable(name, "what it lists has no digests and sizes")
    return Manifest(content=content, media_type=media_type, document=document)


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a document that we made; the same document gives the same bytes."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _is_descriptor(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    digest, size = entry.get("digest"), entry.get("size")
    has_digest = isinstance(digest, str) and (is_digest(digest) or _OTHER_DIGEST.fullmatch(digest) is not None)
    has_size = isinstance(size, int) and size >= 0
    return (
        has_digest and has_size and all(isinstance(entry.get(key) or {}, dict) for key in ("platform", "annotations"))
    )


def _by_shape(document: Mapping[str, Any], content_type: str) -> str:
    """OCI allows documents that do not name their own type."""
    if content_type in (*_INDEXES, OCI_MANIFEST, DOCKER_MANIFEST) or document.get("schemaVersion") != 2:
        return content_type
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _platform_of(entry: Mapping[str, Any]) -> Platform:
    platform = entry.get("platform") or {}
    return Platform(
        os=str(platform.get("os", "")),
        architecture=str(platform.get("architecture", "")),
        variant=str(platform.get("variant", "")),
    )


def _is_attestation(entry: Mapping[str, Any]) -> bool:
    platform = entry.get("platform") or {}
    annotations = entry.get("annotations") or {}
    return platform.get("os") == "unknown" or "vnd.docker.reference.type" in annotations


def _unreadable(name: str, why: str) -> ImageError:
    return ImageError(
        f"The manifest of {name} cannot be used: {why}.",
        hint="It must be an image in Docker's schema 2 or OCI format; push it again with a builder of this decade.",
    )
