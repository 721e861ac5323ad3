"""Whether an image exists: asked of its registry, in one request, never of a daemon. The builder `none` rests on it.

One rule: "no" and "cannot tell" are two answers; only the registry's own "not found" is a no. Builds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Outcome, Say
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.names import parse_image
from hydraflyte.launcher.images.registry.patience import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The image exists; ``digest`` is what its tag means now."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The registry says that there is no such image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The registry cannot be asked, or does not tell us; ``reason`` says why."""

    reason: ImageError


Presence = Present | Missing | Unknown


def look_up(
    image: str,
    *,
    is_insecure: bool | None = None,
    environment: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Presence:
    """Ask the registry whether ``image`` (with a tag or digest) exists.

    Args:
        image: such as ``registry.example.com/team/app:1``.
        is_insecure: whether plain http will do; ``None``: on this machine.
        environment: variables that name credentials, certificates and proxies; ``None``: this process's.
        patience: when to give up.

    Raises:
        ImageError: ``image`` is no name of an image.
    """
    name = parse_image(image)
    registry = Registry.open(name.repository, is_insecure=is_insecure, environment=environment, patience=patience)
    try:
        info = registry.head_manifest(name.reference)
    except ImageError as error:
        return Unknown(reason=error)
    return Missing() if info is None else Present(digest=info.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingImage:
    """The builder ``none``: takes the image that somebody else pushes, and pins what its tag means now."""

    environment: Mapping[str, str] | None = None
    patience: Patience | None = None

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        return "none"

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the image that the target's tag means now.

        Raises:
            ImageError: it does not exist, or that cannot be told.
        """
        reference = request.target.reference
        presence = look_up(
            reference, is_insecure=request.is_insecure, environment=self.environment, patience=self.patience
        )
        match presence:
            case Present(digest=digest):
                say(f"{reference} is there: {digest}")
                return BuiltImage(
                    reference=request.target.pinned(digest), digest=digest, outcome=Outcome.found, sent_bytes=0
                )
            case Missing():
                raise ImageError(
                    f"The {request.title} {reference} does not exist, and nothing is to build it.",
                    hint="Push it, correct target_image and target_image_version, or set another builder than none.",
                )
            case Unknown(reason=reason):
                raise ImageError(
                    f"It cannot be told whether the {request.title} {reference} exists. {reason.message}",
                    hint=reason.hint,
                )
