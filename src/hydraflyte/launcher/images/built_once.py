"""A Dockerfile's image is built once for its content; new code alone becomes a layer on what was built before.

One rule: an image is found again only if all that gets into it is known by digest; else it is built. Builds nothing by
itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.images.assembly import Additions, without_last_copy
from hydraflyte.launcher.images.below import ImageBelow, PlatformImage, read_below, wanted_platforms
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, ImageBuilder, Outcome, Say
from hydraflyte.launcher.images.code_copies import CodeCopy, code_copy_of
from hydraflyte.launcher.images.content import (
    KEY_ANNOTATION,
    Base,
    find_again,
    key_of,
    look_up_base,
    read_text,
    remember,
    tag_of,
)
from hydraflyte.launcher.images.context import (
    changed_meanwhile,
    collect_context,
    refuse_changes,
    stage_context,
    unusual_modes,
)
from hydraflyte.launcher.images.dockerfiles import bases_named_in
from hydraflyte.launcher.images.layers import code_entries, write_layer
from hydraflyte.launcher.images.pushing import Push, at_once
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Manifest
from hydraflyte.launcher.images.registry.patience import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltOnce:
    """A builder that runs a Dockerfile only where its content was not built before.

    Attributes:
        inner: the builder; asked only if the registry does not have the image.
        appends: whether new code may become a layer on an earlier build, where the Dockerfile copies it last.
        environment: variables that name credentials, certificates and proxies; ``None``: this process's.
        patience: when to give up on the registry.
    """

    inner: ImageBuilder
    appends: bool = False
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
        if request.dependencies is not None:
            raise ImageError(
                f"The {request.title} has a Dockerfile and dependencies, {request.dependencies}: one of them is meant.",
                hint="Install the dependencies in the Dockerfile, or remove dockerfile_path.",
            )
        target = Registry.open(
            request.target.repository,
            is_insecure=request.is_insecure,
            writes=True,
            environment=self.environment,
            patience=replace(self.patience or Patience(), is_cancelled=request.is_cancelled),
        )
        with ThreadPoolExecutor(1) as pool:  # both questions travel at the same time
            tagged = pool.submit(target.find_manifest, request.target.tag)
            content = dockerfile_content(request, target)
        if content is None:
            say("a base of the Dockerfile is in no registry that can be asked: the image is built anew")
            with tempfile.TemporaryDirectory(prefix="hydraflyte-context-") as folder:
                files = collect_context(request.context, dockerfile_of(request))
                return _build_from_copy(self.inner, request, files, Path(folder, "context"), say)
        found = self._find_or_append(request, tagged.result(), content, Push(target=target, say=say))
        if found is not None:
            say(f"{request.target.reference} is {found.outcome.value}: {found.digest}")
            return found
        return self._build(request, target, content, say)

    def _find_or_append(
        self, request: BuildRequest, tagged: Manifest | None, content: DockerfileContent, push: Push
    ) -> BuiltImage | None:
        target = push.target
        digest, outcome = find_again(target, request.target.tag, tagged, content.key), Outcome.unchanged
        if digest is None and self.appends and content.copy is not None:
            below = _find_below(target, content, request)
            if below is not None:
                digest, outcome = _append_code(request, below, content, push), Outcome.appended
        if digest is None:
            return None
        return BuiltImage(
            reference=request.target.pinned(digest),
            digest=digest,
            outcome=outcome,
            sent_bytes=target.traffic.sent_bytes,
        )

    def _build(self, request: BuildRequest, target: Registry, content: DockerfileContent, say: Say) -> BuiltImage:
        with tempfile.TemporaryDirectory(prefix="hydraflyte-context-") as folder:
            built = _build_from_copy(self.inner, request, content.files, Path(folder, "context"), say)
        if any(_meaning_of(str(base.name), target) != base for base in content.bases):
            say("a base moved while the image was built: nobody will find it again by its content")
            return built
        digest = remember(target, request.target.tag, content.key, built.digest)
        if content.copy is not None and not _copies_on_build(content.bases, request.platforms):
            manifest = target.manifest(digest)
            target.push_manifest(tag_of(content.key_below), manifest.content, manifest.media_type)
        return replace(built, reference=request.target.pinned(digest), digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileContent:
    """What gets into an image that a Dockerfile describes.

    Attributes:
        files: the context.
        key: the key of everything.
        copy: the instruction whose layer is the last one and holds the code, or ``None``.
        key_below: the key of everything but that code.
        bases: the images that it builds on.
    """

    files: FileSet
    key: str
    copy: CodeCopy | None
    key_below: str
    bases: tuple[Base, ...]


def dockerfile_content(request: BuildRequest, target: Registry) -> DockerfileContent | None:
    """Return what gets into the image; ``None`` if it builds on one whose digest cannot be told.

    Raises:
        ImageError: the Dockerfile or the context cannot be read.
    """
    dockerfile = dockerfile_of(request)
    text = read_text(dockerfile, "Dockerfile")
    files = collect_context(request.context, dockerfile)
    bases = _bases(request, text, target)
    if bases is None:
        return None
    modes = unusual_modes(files)
    copy = code_copy_of(text, files) if not modes else None  # layers of ours have no such modes
    shared: dict[str, Any] = {
        "dockerfile": text,
        "arguments": dict(request.build_args),
        "platforms": wanted_platforms(request.platforms),
        "bases": {str(base.name): base.digest for base in bases},
        **({"modes": modes} if modes else {}),
    }
    below = copy.below_code_of(files).digest if copy is not None else files.digest
    return DockerfileContent(
        files=files,
        key=key_of({**shared, "context": files.digest}),
        copy=copy,
        key_below=key_of({**shared, "context_below_code": below}),
        bases=bases,
    )


def dockerfile_of(request: BuildRequest) -> Path:
    """Return the absolute path of the Dockerfile.

    Raises:
        ImageError: the request has none.
    """
    if request.dockerfile is None:
        raise ImageError(
            f"The {request.title} has no Dockerfile to build by.", hint="Set dockerfile_path, or builder to append."
        )
    return Path(os.path.abspath(request.dockerfile))


def _build_from_copy(inner: ImageBuilder, request: BuildRequest, files: FileSet, staged: Path, say: Say) -> BuiltImage:
    """Let the builder see exactly what the key covers."""
    dockerfile = dockerfile_of(request)
    text = read_text(dockerfile, "Dockerfile")
    stage_context(files, staged)
    built = inner.build(replace(request, context=staged, dockerfile=dockerfile), say)
    refuse_changes(files, staged)
    if read_text(dockerfile, "Dockerfile") != text:
        raise changed_meanwhile(dockerfile)
    return built


def _find_below(target: Registry, content: DockerfileContent, request: BuildRequest) -> ImageBelow | None:
    """Return the earlier build without its layer of code; ``None`` if there is none, or its layers cannot be told."""
    if target.head_manifest(tag_of(content.key_below)) is None:
        return None
    below = read_below(target, tag_of(content.key_below), request.platforms)
    trimmed: list[PlatformImage] = []
    for image in below.images:
        without = without_last_copy(image.manifest, image.config)
        if without is None:
            return None
        trimmed.append(replace(image, manifest=without[0], config=without[1]))
    return replace(below, images=tuple(trimmed))


def _append_code(request: BuildRequest, below: ImageBelow, content: DockerfileContent, push: Push) -> str:
    assert content.copy is not None
    code = content.copy.code_of(content.files)
    annotations = {KEY_ANNOTATION: content.key}
    with tempfile.TemporaryDirectory(prefix="hydraflyte-layers-") as scratch:
        additions = []
        for number, image in enumerate(below.images):
            folder = content.copy.folder_in(str((image.config.get("config") or {}).get("WorkingDir") or "/"))
            path = Path(scratch, f"code-{number}.tar.gz")
            layer = write_layer(code_entries(code, folder), path, created_by=f"COPY {folder} # hydraflyte: code")
            additions.append(Additions(layers=(layer,), annotations=annotations))
        return push.push(below, additions, tags=[tag_of(content.key), request.target.tag])[1]


def _copies_on_build(bases: Sequence[Base], platforms: Sequence[str]) -> bool:
    """Tell whether a base may have ``ONBUILD``: that takes from the context what the Dockerfile does not name."""
    try:
        images = [image for base in bases for image in read_below(base.registry, base.digest, platforms).images]
    except ImageError:  # built for a platform that is not this machine's
        return True
    return any((image.config.get("config") or {}).get("OnBuild") for image in images)


def _bases(request: BuildRequest, text: str, target: Registry) -> tuple[Base, ...] | None:
    """Return the images that the Dockerfile builds on; ``None`` if the digest of one cannot be told."""
    given = [request.base] if request.base is not None else []
    names = dict.fromkeys([*given, *bases_named_in(text, request.build_args)])
    found = at_once(lambda name: _meaning_of(name, target), names)
    return None if None in found else tuple(base for base in found if base is not None)


def _meaning_of(name: str, target: Registry) -> Base | None:
    """Return what the name of a base means now; ``None`` if that cannot be told."""
    try:
        return look_up_base(name, target)
    except ImageError:
        return None
