"""flytekit's plugin entry point for images: importing this module offers ``ImageSpec(builder="hydraflyte")``.

That import has an effect because flytekit only loads what the entry point names, in every program that imports
flytekit, tasks included: whatever builds is imported when an image is to be built. Knows ImageSpec's fields; how an
image is made is the launcher's.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flytekit.image_spec.image_spec import _F_IMG_ID, ImageBuildEngine, ImageSpec, ImageSpecBuilder

from hydraflyte.errors import ConfigError

if TYPE_CHECKING:
    from hydraflyte.launcher.code.files import FileSet
    from hydraflyte.launcher.images.building import BuildRequest

NAME = "hydraflyte"
PRIORITY = 0
"""Below flytekit's own builders: only an ImageSpec that names this one gets it."""
_NEED_CONDA_AND_THE_LIKE = (
    "conda_packages",
    "conda_channels",
    "cuda",
    "cudnn",
    "pip_secret_mounts",
    "python_exec",
    "builder_config",
    "registry_config",
)
_NEED_A_DOCKERFILE = ("apt_packages", "commands", "entrypoint", "pip_extra_args")
_FOLDER = "/root"


class HydraflyteImageSpecBuilder(ImageSpecBuilder):  # type: ignore[misc]  # flytekit has no types
    """Puts packages and code of an ImageSpec on its base image, in the registry; runs a builder only for commands."""

    def should_build(self, image_spec: ImageSpec) -> bool:
        """Always ask: whether anything is to be done is seen from the content, with one request to the registry."""
        return True

    def build_image(self, image_spec: ImageSpec) -> str:
        """Return ``repository@sha256:…`` of the image.

        Raises:
            ConfigError: the ImageSpec asks for what this builder cannot do.
            ImageError: the image cannot be had.
        """
        from hydraflyte.launcher.images.builders import builder_named

        with tempfile.TemporaryDirectory(prefix="hydraflyte-image-spec-") as folder:
            request = request_of(image_spec, Path(folder))
            name = _builder_name(image_spec)
            builder = builder_named(name, request.target.repository, os.environ)
            return builder.build(request, lambda line: click.echo(f"{image_spec.name}: {line}")).reference


def request_of(spec: ImageSpec, scratch: Path) -> BuildRequest:
    """Return what is to be built.

    Args:
        scratch: an empty folder for files that the request names.

    Raises:
        ConfigError: the ImageSpec asks for what this builder cannot do.
    """
    from flytekit.configuration.default_images import DefaultImages

    from hydraflyte.launcher.images.building import BuildRequest, Target

    _refuse_misfits(spec)
    repository, _, tag = f"{spec.registry}/{spec.name}:{spec.tag}".rpartition(":")
    needs_a_dockerfile = any(getattr(spec, name) for name in _NEED_A_DOCKERFILE)
    files = _files(spec)
    variables = {**(spec.env or {}), _F_IMG_ID: spec.id}
    requirements = _requirements(spec, scratch, is_copied=needs_a_dockerfile)
    return BuildRequest(
        target=Target(repository=repository, tag=tag),
        base=spec.base_image or DefaultImages.default_image(),
        platforms=tuple((spec.platform or "").split(",")) if spec.platform else (),
        context=scratch,
        dockerfile=_dockerfile(spec, variables, files, scratch) if needs_a_dockerfile else None,
        dependencies=None if needs_a_dockerfile else requirements,
        files=files,
        variables=variables,
        name=spec.name,
    )


def _refuse_misfits(spec: ImageSpec) -> None:
    problems = [name for name in _NEED_CONDA_AND_THE_LIKE if getattr(spec, name)]
    if problems:
        raise ConfigError(
            f"ImageSpec {spec.name}: builder=hydraflyte does not know {', '.join(problems)}.",
            hint="name a base_image that has it, or take another builder for this ImageSpec.",
        )
    if not spec.registry:
        raise ConfigError(
            f"ImageSpec {spec.name} names no registry, and builder=hydraflyte works in one.",
            hint="set registry, as in ImageSpec(registry='ghcr.io/me'); for tries, run one on localhost.",
        )


def _builder_name(spec: ImageSpec) -> str:
    options = dict(spec.builder_options or {})
    name = str(options.pop("builder", "auto"))
    if options:
        raise ConfigError(
            f"ImageSpec {spec.name}: builder_options has {', '.join(sorted(options))}.",
            hint="its one option is builder, which names what runs commands, as in {'builder': 'podman'}.",
        )
    return name


def _requirements(spec: ImageSpec, scratch: Path, *, is_copied: bool) -> Path | None:
    """Return a file with all the packages, below ``scratch`` if it is to be copied; None if there are none."""
    indexes = [f"--index-url {spec.pip_index}"] if spec.pip_index else []
    indexes += [f"--extra-index-url {address}" for address in spec.pip_extra_index_url or []]
    listed = Path(spec.requirements).read_text(encoding="utf-8").splitlines() if spec.requirements else []
    packages = [*listed, *(spec.packages or [])]
    if spec.requirements and not is_copied and not spec.packages and not indexes:
        return Path(spec.requirements).resolve()  # a lock file, or one that names others beside it
    if not packages:
        return None
    path = scratch / "requirements.txt"
    path.write_text("\n".join([*indexes, *packages]) + "\n", encoding="utf-8")
    return path


def _files(spec: ImageSpec) -> FileSet | None:
    """Return the files that the ImageSpec copies; None for no files."""
    from flytekit.constants import CopyFileDetection
    from flytekit.tools.ignore import DockerIgnore, GitIgnore, IgnoreGroup, StandardIgnore
    from flytekit.tools.script_mode import ls_files

    from hydraflyte.launcher.code.files import SourceTree, collect_files

    root = Path(spec.source_root or ".").resolve()
    chosen = [root / path for path in spec.copy or []]
    if spec.source_root and spec.source_copy_mode not in (None, CopyFileDetection.NO_COPY):
        ignore = IgnoreGroup(str(root), [GitIgnore, DockerIgnore, StandardIgnore])
        found, _ = ls_files(str(root), spec.source_copy_mode, deref_symlinks=False, ignore_group=ignore)
        chosen += [Path(path) for path in found]
    if not chosen:
        return None
    return collect_files(SourceTree(source_root=root, chosen_files=tuple(dict.fromkeys(chosen))))


def _dockerfile(spec: ImageSpec, variables: Mapping[str, str], files: FileSet | None, scratch: Path) -> Path:
    """Write a Dockerfile for what only commands can do, with the files beside it; returns its path."""
    from hydraflyte.launcher.images.context import stage_context

    if files is not None:
        stage_context(files, scratch / "code")
    path = scratch / "Dockerfile"
    path.write_text("\n".join(_instructions(spec, variables, files is not None)) + "\n", encoding="utf-8")
    return path


def _instructions(spec: ImageSpec, variables: Mapping[str, str], has_files: bool) -> Iterator[str]:
    yield "ARG BASE_IMAGE\nARG BASE_VERSION\nFROM ${BASE_IMAGE}:${BASE_VERSION}\nUSER root"
    yield from (f"ENV {name}={json.dumps(value)}" for name, value in variables.items())
    if spec.apt_packages:
        packages = " ".join(spec.apt_packages)
        yield f"RUN apt-get update && apt-get install -y --no-install-recommends {packages} && apt-get clean"
    if spec.packages or spec.requirements:
        yield "COPY requirements.txt /tmp/requirements.txt"
        yield f"RUN python -m pip install --no-cache-dir {spec.pip_extra_args or ''} -r /tmp/requirements.txt"
    yield from (f"RUN {command}" for command in spec.commands or [])
    if spec.entrypoint is not None:
        yield f"ENTRYPOINT {json.dumps(spec.entrypoint)}"
    yield f"WORKDIR {_FOLDER}\nENV PYTHONPATH={_FOLDER}"
    if has_files:
        yield "COPY code/ ."


def _register(registry: Any) -> None:  # Any: flytekit has no types
    registry.register(NAME, HydraflyteImageSpecBuilder(), PRIORITY)


_register(ImageBuildEngine)
