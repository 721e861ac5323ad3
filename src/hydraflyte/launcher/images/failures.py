"""From a builder's last lines to the one sentence that says what went wrong, and what to do.

One rule: the table is tried from the top, most telling first; what no row knows is shown as it came. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.building import BuildRequest
from hydraflyte.launcher.images.commands import CommandRun

_SHOWN_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One way to fail.

    Attributes:
        sign: what the output has in it.
        reason: what to say; ``{base}`` and ``{target}`` are filled in.
        hint: what to do about it.
        of_dockerfile: whether only a build can fail so, and no push.
    """

    sign: re.Pattern[str]
    reason: str
    hint: str
    of_dockerfile: bool = False


def _sign(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts), re.IGNORECASE)


FAILURES: tuple[Failure, ...] = (
    Failure(
        sign=_sign("no space left on device", "disk quota exceeded"),
        reason="the disk is full",
        hint="make room (docker system prune, podman system prune, buildah rmi --prune), then launch again.",
    ),
    Failure(
        sign=_sign("cannot connect to the docker daemon", "is the docker daemon running", "docker.sock: connect"),
        reason="no Docker daemon answers",
        hint="start Docker, or take builder=append or builder=buildah, which need no daemon.",
    ),
    Failure(
        sign=_sign(
            "did not complete successfully: exit code",
            "executor failed running",
            "returned a non-zero code",
            'building at STEP "RUN .*exit status',
        ),
        reason="a RUN of the Dockerfile failed",
        hint="the lines above are what it said; put it right in the Dockerfile.",
        of_dockerfile=True,
    ),
    Failure(
        sign=_sign(
            "manifest unknown",
            "pull access denied",
            "name unknown",
            "repository does not exist",
            "image not known",
            "failed to create LLB definition: .*: not found",
            "failed to resolve source metadata for .*: not found",
        ),
        reason="the image to build on is not in its registry",
        hint="check base_image and base_image_version: {base}; some registries say so, too, where one has to log in.",
        of_dockerfile=True,
    ),
    Failure(
        sign=_sign("denied:", "access denied", "403 forbidden", "insufficient_scope"),
        reason="the registry does not let this user do that",
        hint="ask for the right to push to {target}, or name another target_image.",
    ),
    Failure(
        sign=_sign(
            "unauthorized",
            "authentication required",
            "no basic auth credentials",
            "incorrect username or password",
            "invalid username/password",
        ),
        reason="the registry does not accept the credentials",
        hint="log in with the builder's own command, as in: docker login, podman login or buildah login.",
    ),
    Failure(
        sign=_sign(
            "connection refused",
            "no such host",
            "i/o timeout",
            "connection reset by peer",
            "network is unreachable",
            "pinging container registry",
            "502 bad gateway",
            "503 service unavailable",
            "unexpected eof",
        ),
        reason="a registry does not answer",
        hint="check that {target} and {base} can be reached from here.",
    ),
    Failure(
        sign=_sign(
            "multi-platform build is not supported",
            "multiple platforms feature is currently not supported",
            "does not currently support exporting manifest lists",
        ),
        reason="this builder of docker buildx builds for one platform at a time",
        hint="make one that does: docker buildx create --use; or take builder=podman or builder=buildah.",
        of_dockerfile=True,
    ),
    Failure(
        sign=_sign("no match for platform", "no image found in (manifest list|image index) for"),
        reason="the image to build on is not there for the platform that is wanted",
        hint="set platforms to those of the base image, or take another base: {base}.",
    ),
    Failure(
        sign=_sign(r"server gave http response to https client", "x509:", "tls: "),
        reason="the registry has no certificate that this machine trusts",
        hint="install its certificate for the builder, or allow it as an insecure registry there.",
    ),
    Failure(
        sign=_sign("dockerfile parse error", "unknown instruction", "unknown flag", "failed to read dockerfile"),
        reason="the Dockerfile cannot be read",
        hint="the lines above name the place.",
        of_dockerfile=True,
    ),
    Failure(
        sign=_sign("not found", "no such file or directory", "copy failed"),
        reason="something that the Dockerfile names is not there",
        hint="paths of COPY and ADD are below docker_context, less what .dockerignore leaves out; base image: {base}.",
        of_dockerfile=True,
    ),
)


def explain(ended: CommandRun, *, what: str, request: BuildRequest, is_push: bool = False) -> ImageError:
    """Return the error for a command that failed: the reason, the exit status and its last lines.

    Args:
        what: what could not be done, as the beginning of a sentence.
        is_push: whether a push failed, after the Dockerfile was done with.
    """
    names = {"base": request.base or "the base image of the Dockerfile", "target": request.target.reference}
    lines = "\n".join(f"  {line}" for line in ended.last_lines[-_SHOWN_LINES:]) or "  (it said nothing)"
    rows = [failure for failure in FAILURES if not (is_push and failure.of_dockerfile)]
    found = next((failure for failure in rows if failure.sign.search(ended.text)), None)
    if found is None:
        return ImageError(
            f"{what} (exit status {ended.code}):\n{lines}", hint="the lines above are the last that it said."
        )
    return ImageError(
        f"{what}: {found.reason.format(**names)} (exit status {ended.code}).\n{lines}", hint=found.hint.format(**names)
    )
