"""What an image is made of, as one key; and images found again by it in their registry.

The key is kept in the image's manifest, and as a tag `hydraflyte-<key>` beside the target's tag. One rule: an image
counts as unchanged only if everything that gets into it has the same digest. Builds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.files import FileSet
from hydraflyte.launcher.images.below import wanted_platforms
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, ImageBuilder, Outcome, Say
from hydraflyte.launcher.images.context import collect_context, refuse_changes, stage_context
from hydraflyte.launcher.images.dockerfiles import bases_named_in
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Manifest, encode
from hydraflyte.launcher.images.registry.names import ImageName, parse_image
from hydraflyte.launcher.images.registry.patience import Patience

KEY_ANNOTATION = "org.hydraflyte.content"
_FORMAT = 1  # raised when the same content would give another image


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The image that another one is built on, by digest."""

    name: ImageName
    registry: Registry
    digest: str


def key_of(content: Mapping[str, Any]) -> str:
    """Return the key of what an image is made of: 40 hexadecimal digits."""
    return hashlib.sha256(encode({"format": _FORMAT, **content})).hexdigest()[:40]


def tag_of(key: str) -> str:
    """Return the tag under which an image is found by its content."""
    return f"hydraflyte-{key}"


def resolve_base(request: BuildRequest, target: Registry, *, base: str | None = None) -> Base:
    """Return what the base's tag means now; no request where it is given by digest.

    Args:
        request: names the base.
        target: the target's repository, whose connections are used where the base is in the same registry.
        base: another image than the request's.

    Raises:
        ImageError: it does not exist, or that cannot be told.
    """
    name = parse_image(base or request.base or "")
    if name.host == target.name.host:
        registry = target.sibling(name.repository)
    else:
        registry = target.elsewhere(name.repository)
    if name.digest is not None:
        return Base(name=name, registry=registry, digest=name.digest)
    info = registry.head_manifest(name.reference)
    if info is None:
        raise ImageError(
            f"The base {name} of the {request.title} does not exist: {name.host} does not know it.",
            hint="Check base_image and base_image_version, and that it was pushed.",
        )
    return Base(name=name, registry=registry, digest=info.digest)


def find_again(target: Registry, tag: str, key: str) -> str | None:
    """Return the digest of the image with this content, with ``tag`` moved to it if need be; ``None``: there is none.

    One request where the tag already means it and its manifest can hold annotations.
    """
    tagged = target.find_manifest(tag)
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
    content = manifest.content if manifest.is_docker else _annotated(manifest, key)
    target.push_manifest(tag_of(key), content, manifest.media_type)
    if content == manifest.content:
        return digest
    return target.push_manifest(tag, content, manifest.media_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltOnce:
    """A builder that runs a Dockerfile only where its content was not built before.

    Attributes:
        inner: the builder; asked only if the registry does not have the image.
        environment: variables that name credentials, certificates and proxies; ``None``: this process's.
        patience: when to give up on the registry.
    """

    inner: ImageBuilder
    environment: Mapping[str, str] | None = None
    patience: Patience | None = None

    @property
    def name(self) -> str:
        """The inner builder's name."""
        return self.inner.name

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the image with this content, from the registry or newly built.

        Raises:
            ImageError: there is no such image now.
        """
        target = Registry.open(
            request.target.repository,
            is_insecure=request.is_insecure,
            writes=True,
            environment=self.environment,
            patience=self.patience,
        )
        files = collect_context(request.context, _dockerfile_of(request))
        key = key_of(dockerfile_content(request, files, target))
        digest = find_again(target, request.target.tag, key)
        if digest is not None:
            say(f"{request.target.reference} is unchanged: {digest}")
            return BuiltImage(
                reference=request.target.pinned(digest), digest=digest, outcome=Outcome.unchanged, sent_bytes=0
            )
        built = self._build(request, files, say)
        digest = remember(target, request.target.tag, key, built.digest)
        return BuiltImage(
            reference=request.target.pinned(digest),
            digest=digest,
            outcome=built.outcome,
            sent_bytes=built.sent_bytes,
        )

    def _build(self, request: BuildRequest, files: FileSet, say: Say) -> BuiltImage:
        """Let the inner builder build from a copy of exactly what the key covers."""
        with tempfile.TemporaryDirectory(prefix="hydraflyte-context-") as folder:
            staged = Path(folder, "context")
            stage_context(files, staged)
            built = self.inner.build(replace(request, context=staged, dockerfile=_dockerfile_of(request)), say)
            refuse_changes(files, staged)
        return built


def _dockerfile_of(request: BuildRequest) -> Path:
    if request.dockerfile is None:
        raise ImageError(
            f"The {request.title} has no Dockerfile to build by.", hint="Set dockerfile_path, or builder to append."
        )
    return Path(os.path.abspath(request.dockerfile))


def dockerfile_content(request: BuildRequest, files: FileSet, target: Registry) -> dict[str, Any]:
    """Return what goes into an image that a Dockerfile describes: its text, the context, arguments, bases, platforms.

    Raises:
        ImageError: the Dockerfile cannot be read, or the request's base does not exist.
    """
    text = read_text(_dockerfile_of(request), "Dockerfile")
    return {
        "dockerfile": text,
        "context": files.digest,
        "arguments": dict(request.build_args),
        "platforms": wanted_platforms(request.platforms),
        "bases": _bases(request, text, target),
    }


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


def _bases(request: BuildRequest, text: str, target: Registry) -> dict[str, str]:
    """Return the images that the Dockerfile builds on -> digest, or how they are named where nobody can tell."""
    found = {}
    if request.base is not None:
        found[request.base] = resolve_base(request, target).digest
    for name in bases_named_in(text, request.build_args):
        try:
            found[name] = resolve_base(request, target, base=name).digest
        except ImageError:
            found[name] = name  # it may be known to the builder's machine alone
    return found


def _annotated(manifest: Manifest, key: str) -> bytes:
    document = json.loads(manifest.content)
    document["annotations"] = {**manifest.annotations, KEY_ANNOTATION: key}
    return encode(document)
