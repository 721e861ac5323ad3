"""Credentials for a registry, from the places where docker and podman keep them.

Order inside a file: `credHelpers`, `credsStore`, `auths`. One rule: "not found" means anonymous, everything else that a
credential helper says is an error. Secrets never show in a repr. Knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.names import DOCKER_HUB, ImageName

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_TIMEOUT_S = 60
_TOKEN_USER = "<token>"
"""A helper that gives this user name gives an identity token instead of a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What proves who asks. One of password, identity token and registry token is set.

    Attributes:
        username: goes with the password.
        password: sent to the registry, or to its token server.
        identity_token: exchanged for tokens at the registry's token server.
        registry_token: sent to the registry as it is.
        origin: the file or helper it comes from, for messages.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    origin: str

    @property
    def basic(self) -> str:
        """The value of an ``Authorization: Basic`` header."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialPlaces:
    """The files that may hold credentials, the most explicit first, and the variables for credential helpers."""

    files: tuple[Path, ...]
    environment: Mapping[str, str]

    @staticmethod
    def of(environment: Mapping[str, str]) -> CredentialPlaces:
        """Return the places that docker and podman would look at with these environment variables."""
        home = Path(environment.get("HOME") or os.path.expanduser("~"))
        files = []
        if environment.get("REGISTRY_AUTH_FILE"):
            files.append(Path(environment["REGISTRY_AUTH_FILE"]))
        if environment.get("DOCKER_CONFIG"):
            files.append(Path(environment["DOCKER_CONFIG"], "config.json"))
        if environment.get("XDG_RUNTIME_DIR"):
            files.append(Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json"))
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        files += [config / "containers" / "auth.json", home / ".docker" / "config.json"]
        return CredentialPlaces(files=tuple(dict.fromkeys(files)), environment=dict(environment))


def find_credential(image: ImageName, places: CredentialPlaces) -> Credential | None:
    """Return the first credential for the image's registry, or ``None``: then only anonymous access is possible.

    Raises:
        ImageError: a file cannot be read, or a credential helper is missing or fails.
    """
    for path in places.files:
        document = _read(path)
        if document is None:
            continue
        found = _from_helpers(image, document, places.environment) or _from_auths(image, document, path)
        if found is not None:
            return found
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ImageError(
            f"The file with registry credentials {path} cannot be read: {error}.",
            hint="Repair it, or log in again with `docker login` or `podman login`.",
        ) from error
    return document if isinstance(document, dict) else None


def _from_helpers(image: ImageName, document: dict[str, Any], environment: Mapping[str, str]) -> Credential | None:
    helpers = document.get("credHelpers") or {}
    names = [helpers[key] for key in _keys(image) if helpers.get(key)]
    if not names and document.get("credsStore"):
        names = [document["credsStore"]]
    if not names:
        return None
    server = _HUB_KEY if image.host == DOCKER_HUB else image.host
    return _ask_helper(str(names[0]), server, environment)


def _ask_helper(name: str, server: str, environment: Mapping[str, str]) -> Credential | None:
    program = f"docker-credential-{name}"
    try:
        ended = subprocess.run(
            [_on_path(program, environment), "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT_S,
            env=dict(environment),
            check=False,
        )
    except OSError as error:
        raise ImageError(
            f"The credential helper {program} for {server} cannot be run: {error.strerror}.",
            hint=f"Install {program}, or remove it from credHelpers or credsStore in docker's config.json.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            f"The credential helper {program} did not answer for {server} within {_HELPER_TIMEOUT_S} s.",
            hint=f"Run `echo {server} | {program} get` by hand: it may wait for a password.",
        ) from error
    said = f"{ended.stdout}\n{ended.stderr}".strip()
    if ended.returncode != 0:
        if "credentials not found" in said:
            return None
        raise ImageError(
            f"The credential helper {program} failed for {server}: {said[-500:] or 'it said nothing'}.",
            hint=f"Run `echo {server} | {program} get` by hand until it answers; you may have to log in again.",
        )
    return _from_answer(ended.stdout, program, server)


def _from_answer(text: str, program: str, server: str) -> Credential:
    try:
        answer = json.loads(text)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"The credential helper {program} gave no user name and secret for {server}.",
            hint=f"Run `echo {server} | {program} get` by hand: it must print JSON with Username and Secret.",
        ) from error
    if username == _TOKEN_USER:
        return Credential(identity_token=secret, origin=program)
    return Credential(username=username, password=secret, origin=program)


def _from_auths(image: ImageName, document: dict[str, Any], path: Path) -> Credential | None:
    auths = {_normal(key): value for key, value in (document.get("auths") or {}).items()}
    for key in _keys(image):
        entry = auths.get(_normal(key))
        if isinstance(entry, dict) and (found := _from_entry(entry, path)) is not None:
            return found
    return None


def _from_entry(entry: dict[str, Any], path: Path) -> Credential | None:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            text = base64.b64decode(entry["auth"], validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise ImageError(
                f"An `auth` in {path} is not base64.", hint="Log in again with `docker login` or `podman login`."
            ) from error
        username, _, password = text.rstrip("\0").partition(":")
    if entry.get("identitytoken"):
        return Credential(identity_token=str(entry["identitytoken"]), origin=str(path))
    if entry.get("registrytoken"):
        return Credential(registry_token=str(entry["registrytoken"]), origin=str(path))
    if username == _TOKEN_USER:
        return Credential(identity_token=password, origin=str(path))
    if not username:
        return None  # docker writes empty entries where the secret is in a helper
    return Credential(username=username, password=password, origin=str(path))


def _keys(image: ImageName) -> Iterator[str]:
    """Yield the keys for this image, the most special first: podman keeps credentials of single repositories."""
    parts = image.path.split("/")
    for length in range(len(parts), 0, -1):
        yield "/".join([image.host, *parts[:length]])
    yield image.host
    if image.host == DOCKER_HUB:
        yield _HUB_KEY
        yield "index.docker.io"
        yield "registry-1.docker.io"


def _normal(key: str) -> str:
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        bare = bare.removesuffix(version)
    return bare


def _on_path(program: str, environment: Mapping[str, str]) -> str:
    """Look the helper up in the PATH that was given, not in this process's."""
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder, program)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise FileNotFoundError(2, "it is not on PATH", program)
