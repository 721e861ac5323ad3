"""How each image builder on the command line wants to be asked: one row a builder.

One rule: whatever differs between builders stands in this table, and nowhere else. Pure: lists of arguments in, lists
of arguments out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.launcher.images.building import BuildRequest, BuildSecret
from hydraflyte.launcher.images.registry.names import parse_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Files of one build in a folder that goes away with it.

    Attributes:
        image_id: where the builder writes the built image's id.
        digest: where it writes the pushed digest, or the metadata that holds it.
        list_name: local name of the list of images where there are several platforms.
    """

    image_id: Path
    digest: Path
    list_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One builder.

    Attributes:
        name: what ``builder`` in the config calls it.
        probe: a command that succeeds where the builder can be used.
        build: arguments of the build.
        push: arguments of the push of what was built; given the image's id. ``None``: the build pushes.
        refresh: arguments that fetch a newer base, where the build itself does not look for one.
        clean_up: arguments that take away what only the build needed, or ``None``.
        takes_secrets: whether it knows ``RUN --mount=type=secret``.
        takes_platforms: whether it builds several platforms at once.
        environment: variables that it needs.
    """

    name: str
    probe: tuple[str, ...]
    build: Callable[[BuildRequest, Scratch], list[str]]
    push: Callable[[BuildRequest, Scratch, str], list[str]] | None
    refresh: Callable[[BuildRequest], list[str]] | None = None
    clean_up: Callable[[BuildRequest, Scratch], list[str]] | None = None
    takes_secrets: bool = True
    takes_platforms: bool = True
    environment: tuple[tuple[str, str], ...] = ()


def _buildx_build(request: BuildRequest, scratch: Scratch) -> list[str]:
    return [
        *("docker", "buildx", "build", "--progress=plain", "--push"),
        "--provenance=false",  # else an index is pushed, which older clusters and registries do not take
        f"--metadata-file={scratch.digest}",
        f"--tag={request.target.reference}",
        *_platform(request),
        *_common(request),
    ]


def _docker_build(request: BuildRequest, scratch: Scratch) -> list[str]:
    start = ("docker", "build", f"--iidfile={scratch.image_id}", f"--tag={request.target.reference}")
    return [*start, *_platform(request), *_common(request)]


def _docker_push(request: BuildRequest, scratch: Scratch, image: str) -> list[str]:
    return ["docker", "push", request.target.reference]


def _docker_refresh(request: BuildRequest) -> list[str]:
    """Docker builds on the image that it has, however old; and its --pull refuses one that no registry has."""
    return ["docker", "pull", *_platform(request), request.base or ""]


def _containers_build(program: str, pull: str) -> Callable[[BuildRequest, Scratch], list[str]]:
    def build(request: BuildRequest, scratch: Scratch) -> list[str]:
        several = len(request.platforms) > 1
        name = f"--manifest={scratch.list_name}" if several else f"--tag={request.target.reference}"
        made = [] if several else [f"--iidfile={scratch.image_id}"]
        # buildah 1.28 takes a layer above scratch out of its cache for any platform: the list would hold one image
        layers = f"--layers={str(not several).lower()}"
        start = [program, "build", pull, layers, name, *made]
        return [*start, *_tls(request, request.base), *_platform(request), *_common(request)]

    return build


def _containers_push(program: str) -> Callable[[BuildRequest, Scratch, str], list[str]]:
    def push(request: BuildRequest, scratch: Scratch, image: str) -> list[str]:
        target = request.target.reference
        options = [f"--digestfile={scratch.digest}", *_tls(request, target)]
        if len(request.platforms) > 1:
            return [program, "manifest", "push", "--all", *options, scratch.list_name, f"docker://{target}"]
        return [program, "push", *options, image, f"docker://{target}"]

    return push


def _containers_clean_up(program: str) -> Callable[[BuildRequest, Scratch], list[str]]:
    return lambda request, scratch: [program, "manifest", "rm", scratch.list_name]


def base_arguments(reference: str | None) -> dict[str, str]:
    """Return the build arguments that tell a Dockerfile its base; none where it names its base itself.

    ``FROM ${BASE_IMAGE}:${BASE_VERSION}`` must work with a digest as well, so that one is parted before its last colon.

    Example:
        >>> base_arguments("localhost:5001/base/python:3")
        {'BASE_IMAGE': 'localhost:5001/base/python', 'BASE_VERSION': '3'}
        >>> base_arguments("python@sha256:" + "0" * 64)["BASE_IMAGE"]
        'python@sha256'
    """
    if reference is None:
        return {}
    name, colon, version = reference.rpartition(":")
    if not colon or "/" in version:  # no tag: the colon is that of a port, or there is none
        name, version = reference, "latest"
    return {"BASE_IMAGE": name, "BASE_VERSION": version}


def _platform(request: BuildRequest) -> list[str]:
    return [f"--platform={','.join(request.platforms)}"] if request.platforms else []


def _common(request: BuildRequest) -> list[str]:
    """Arguments that all builders understand. Only names of build arguments: values come from the environment."""
    assert request.dockerfile is not None
    names = [*base_arguments(request.base), *request.build_args]
    return [
        f"--file={request.dockerfile}",
        *(part for name in names for part in ("--build-arg", name)),
        *(part for secret in request.secrets for part in ("--secret", _secret(secret))),
        str(request.context),
    ]


def _secret(secret: BuildSecret) -> str:
    return f"id={secret.id},src={secret.file}" if secret.file else f"id={secret.id},env={secret.variable}"


def _tls(request: BuildRequest, image: str | None) -> list[str]:
    """Plain text only where it was asked for, or on this machine: of the image that is meant, and of no other."""
    is_insecure = request.is_insecure
    if is_insecure is None and image is not None:
        is_insecure = parse_image(image).is_loopback
    return ["--tls-verify=false"] if is_insecure else []


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name="docker-buildx",
        probe=("docker", "buildx", "inspect"),
        build=_buildx_build,
        push=None,
        refresh=_docker_refresh,
    ),
    Dialect(
        name="podman",
        probe=("podman", "version"),
        build=_containers_build("podman", "--pull=newer"),
        push=_containers_push("podman"),
        clean_up=_containers_clean_up("podman"),
    ),
    Dialect(
        name="buildah",
        probe=("buildah", "version"),
        build=_containers_build("buildah", "--pull=true"),
        push=_containers_push("buildah"),
        clean_up=_containers_clean_up("buildah"),
    ),
    Dialect(
        name="docker",
        probe=("docker", "version"),
        build=_docker_build,
        push=_docker_push,
        refresh=_docker_refresh,
        takes_secrets=False,
        takes_platforms=False,
        environment=(("DOCKER_BUILDKIT", "0"),),
    ),
)
"""In the order in which ``auto`` tries them."""
