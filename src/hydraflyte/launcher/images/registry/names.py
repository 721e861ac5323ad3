"""Names of images, read as Docker reads them: `python:3.11` means `docker.io/library/python:3.11`.

One rule: the name is taken apart once, here; the rest of the package works with the parts. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from hydraflyte.errors import ImageError

DOCKER_HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """One image, or one repository of images.

    Attributes:
        host: the registry, with its port if it has one, such as ``localhost:5001`` or ``docker.io``.
        path: the repository inside the registry, such as ``team/app``.
        tag: the tag, or ``None``.
        digest: ``sha256:…``, or ``None``; it wins over the tag.
    """

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        if self.digest is not None:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}" if self.tag is not None else self.repository

    @property
    def repository(self) -> str:
        """``host/path``."""
        return f"{self.host}/{self.path}"

    @property
    def reference(self) -> str:
        """What follows ``/manifests/`` in a request: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def api_host(self) -> str:
        """Where the registry's API answers."""
        return _HUB_API if self.host == DOCKER_HUB else self.host

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine."""
        return is_loopback(self.host)

    def pinned(self, digest: str) -> ImageName:
        """Return the same image, by digest."""
        return replace(self, tag=None, digest=digest)


def parse_image(text: str) -> ImageName:
    """Return the parts of an image's name.

    Raises:
        ImageError: it cannot be the name of an image.
    """
    rest, _, digest = text.partition("@")
    head, _, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    rest = f"{head}/{last}" if head else last
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = DOCKER_HUB, rest
    if host in ("index.docker.io", _HUB_API):
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    name = ImageName(host=host, path=path, tag=tag or None, digest=digest or None)
    _refuse_bad_parts(text, name)
    return name


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, with or without a port, is this machine by its name alone."""
    bare = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    bare = bare.strip("[]")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _refuse_bad_parts(text: str, name: ImageName) -> None:
    wrong = None
    if not _HOST.fullmatch(name.host):
        wrong = f"{name.host!r} is no name of a registry"
    elif not _PATH.fullmatch(name.path):
        wrong = f"{name.path!r} may only have lower-case letters, digits, and single . _ - / in between"
    elif name.tag is not None and not _TAG.fullmatch(name.tag):
        wrong = f"the tag {name.tag!r} has characters that tags may not have, or more than 128"
    elif name.digest is not None and not _DIGEST.fullmatch(name.digest):
        wrong = f"the digest {name.digest!r} is not sha256: and 64 hexadecimal digits"
    if wrong is not None:
        raise ImageError(
            f"{text!r} is no name of an image: {wrong}.",
            hint="Write it as registry.example.com/team/app:tag, or registry.example.com/team/app@sha256:….",
        )
