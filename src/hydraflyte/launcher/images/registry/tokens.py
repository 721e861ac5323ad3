"""What goes into the `Authorization` header: registries say in a challenge what they want, token servers give it.

One rule: a token is asked for with all scopes that a request needs, and kept by exactly these scopes; a mount needs two
repositories in one token. Speaks HTTP through the function that it is given.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.credentials import Credential
from hydraflyte.launcher.images.registry.names import is_loopback

_CLIENT_ID = "hydraflyte"
_DEFAULT_LIFETIME_S = 60  # what a token server means that does not say it
_MARGIN = 0.8  # a token is not used in the last fifth of its life
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')

Scopes = frozenset[str]
"""Such as ``repository:team/app:pull,push``; all that one request needs."""


class TokenAnswer(Protocol):
    """A response of a token server; that of ``requests`` is one."""

    @property
    def status_code(self) -> int: ...
    def json(self) -> object: ...


AskTokenServer = Callable[[str, Mapping[str, str], Mapping[str, list[str]], bool], TokenAnswer]
"""Takes the realm, headers, parameters, and whether they go into the body of a POST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A ``WWW-Authenticate`` header: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a ``WWW-Authenticate`` header, in its order; those of unknown form are left out."""
    found = []
    for part in re.split(r"(?:^|,)\s*(?=(?:Bearer|Basic)\b)", header, flags=re.IGNORECASE):
        scheme, _, rest = part.strip().partition(" ")
        if scheme.lower() in ("bearer", "basic"):
            parameters = {
                name.lower(): quoted.replace('\\"', '"') or bare for name, quoted, bare in _PARAMETER.findall(rest)
            }
            found.append(Challenge(scheme=scheme.lower(), parameters=parameters))
    return tuple(found)


def pull(path: str) -> str:
    """The scope for reading a repository."""
    return f"repository:{path}:pull"


def push(path: str) -> str:
    """The scope for writing a repository, which includes reading."""
    return f"repository:{path}:pull,push"


@dataclass(slots=True, kw_only=True)
class Authorizer:
    """Gives headers for one registry. May be used from several threads.

    Attributes:
        registry: its name, for messages.
        credential: asked for at the first challenge only, because a helper may be slow; ``None``: anonymous.
        ask: speaks to the token server.
        is_insecure: whether credentials may go to a token server in plain text.
    """

    registry: str
    credential: Callable[[], Credential | None]
    ask: AskTokenServer
    is_insecure: bool
    _basic: str | None = None
    _challenge: Challenge | None = None
    _tokens: dict[Scopes, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def header(self, scopes: Scopes) -> str | None:
        """Return what is known to be wanted by now; ``None`` before the first challenge."""
        with self._lock:
            if self._basic is not None:
                return self._basic
            if self._challenge is None:
                return None
            return f"Bearer {self._token(self._challenge, scopes)}"

    def answer(self, challenge_header: str, scopes: Scopes, *, refused: str | None) -> str | None:
        """Return the header that answers a 401, or ``None`` where there is nothing (else) to offer.

        Args:
            challenge_header: the ``WWW-Authenticate`` header.
            scopes: what the request needs.
            refused: the header that the registry has just refused, if there was one.

        Raises:
            ImageError: the token server refuses, or gives no token.
        """
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(challenge_header)}
        with self._lock:
            if "bearer" in challenges:
                known = self._tokens.get(scopes)
                if known is not None and refused == f"Bearer {known[0]}":
                    del self._tokens[scopes]  # revoked, or its clock runs ahead: one new token is worth a try
                self._challenge = challenges["bearer"]
                return _unless(refused, f"Bearer {self._token(self._challenge, scopes)}")
            credential = self.credential() if "basic" in challenges else None
            if credential is None or not credential.username:
                return None
            self._basic = f"Basic {credential.basic}"
            return _unless(refused, self._basic)

    def _token(self, challenge: Challenge, scopes: Scopes) -> str:
        credential = self.credential()
        if credential is not None and credential.registry_token:
            if not _fits_a_header(credential.registry_token):
                raise refused_credentials(self.registry, credential, "the token in it is none")
            return credential.registry_token
        known = self._tokens.get(scopes)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        token, lifetime_s = self._fetch(challenge, scopes, credential)
        self._tokens[scopes] = token, time.monotonic() + lifetime_s * _MARGIN
        return token

    def _fetch(self, challenge: Challenge, scopes: Scopes, credential: Credential | None) -> tuple[str, float]:
        realm = challenge.parameters.get("realm", "")
        self._refuse_open_realm(realm, credential)
        parameters = {"scope": sorted(scopes) or [challenge.parameters.get("scope", "")]}
        if "service" in challenge.parameters:
            parameters["service"] = [challenge.parameters["service"]]
        headers: dict[str, str] = {}
        if credential is not None and credential.identity_token:
            parameters |= {
                "scope": [" ".join(parameters["scope"])],
                "grant_type": ["refresh_token"],
                "refresh_token": [credential.identity_token],
                "client_id": [_CLIENT_ID],
            }
            response = self.ask(realm, headers, parameters, True)
        else:
            if credential is not None:
                headers["Authorization"] = f"Basic {credential.basic}"
            response = self.ask(realm, headers, parameters, False)
        return self._read(response, credential, scopes)

    def _refuse_open_realm(self, realm: str, credential: Credential | None) -> None:
        try:
            parts = urlsplit(realm)
            is_open = parts.scheme == "http" and not is_loopback(parts.hostname or "") and not self.is_insecure
        except ValueError:
            parts, is_open = urlsplit(""), True
        if parts.scheme in ("http", "https") and parts.hostname and (credential is None or not is_open):
            return
        raise ImageError(
            f"The registry {self.registry} names the token server {realm!r}, to which no password may be sent.",
            hint="Registries with passwords need https; ask whoever runs the registry to correct its auth.token.realm.",
        )

    def _read(self, response: TokenAnswer, credential: Credential | None, scopes: Scopes) -> tuple[str, float]:
        if response.status_code in (400, 401, 403):
            raise refused_credentials(self.registry, credential, "its token server refused them")
        try:
            document = response.json() if response.status_code == 200 else None
        except ValueError:
            document = None
        token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(token, str) or not _fits_a_header(token):
            raise ImageError(
                f"The token server of {self.registry} gave no token for {', '.join(sorted(scopes))}"
                f" (status {response.status_code}).",
                hint="Try again; if it stays so, ask whoever runs the registry.",
            )
        lifetime = document.get("expires_in")
        return token, float(lifetime) if isinstance(lifetime, (int, float)) and lifetime > 0 else _DEFAULT_LIFETIME_S


def refused_credentials(registry: str, credential: Credential | None, why: str) -> ImageError:
    """Return the error for a registry that does not accept who asks."""
    if credential is None:
        return ImageError(
            f"The registry {registry} wants credentials, and there are none for it.",
            hint=f"Run `docker login {registry}` or `podman login {registry}`; "
            "config.json and auth.json of both, and their credential helpers, are read.",
        )
    return ImageError(
        f"The registry {registry} refused the credentials from {credential.origin}"
        f"{f' (user {credential.username})' if credential.username else ''}: {why}.",
        hint=f"Run `docker login {registry}` or `podman login {registry}` again.",
    )


def _fits_a_header(token: str) -> bool:
    """Tell whether a token can be sent; errors about one that cannot would show it."""
    return re.fullmatch(r"[!-~]+", token) is not None


def _unless(refused: str | None, header: str) -> str | None:
    return None if header == refused else header
