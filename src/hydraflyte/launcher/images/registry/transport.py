"""Requests to one registry: scheme, certificates, tokens, second attempts, and errors that a user can act on.

One rule: credentials go to the registry and its token server alone, and in plain text only where that was allowed.
Knows HTTP; does not know what a manifest is.
"""

from __future__ import annotations

import io
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import requests
from requests.auth import AuthBase

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.bodies import Body, Stream, Traffic, pieces_of
from hydraflyte.launcher.images.registry.credentials import CredentialPlaces, find_credential
from hydraflyte.launcher.images.registry.names import ImageName
from hydraflyte.launcher.images.registry.patience import PASSING_STATUSES, Interrupted, Patience
from hydraflyte.launcher.images.registry.refusals import refusal
from hydraflyte.launcher.images.registry.tokens import Authorizer, Scopes, refused_credentials
from hydraflyte.launcher.images.registry.trust import TrustingAdapter, allows_plain, find_trust

CONNECTIONS = 4
"""How many requests run at the same time; more do not help on one line."""
ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
"""What is read of an answer that is no blob; registries refuse manifests of more than 4 MB."""
_REFUSAL_LIMIT_BYTES = 64 * 1024
_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_C = TypeVar("_C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        method: ``GET`` and so on.
        address: a path below the registry's API, or a whole URL that the registry gave.
        doing: what it is for, as in "<doing> failed".
        scopes: what a token for it must allow.
        headers: besides authorization.
        body: what is sent.
        accepted: the statuses that are no error.
        is_stream: whether the answer's body is read later, in pieces.
    """

    method: str
    address: str
    doing: str
    scopes: Scopes
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    accepted: frozenset[int] = frozenset({200})
    is_stream: bool = False


class Transport:
    """Sends requests to the registry of ``image``. May be used from several threads.

    Args:
        image: any image in the registry.
        is_insecure: plain http, and certificates that nobody vouches for, are accepted; ``None``: on this machine.
        environment: variables that name credentials, certificates and proxies.
        patience: when to give up.
    """

    def __init__(
        self, image: ImageName, *, is_insecure: bool | None, environment: Mapping[str, str], patience: Patience
    ) -> None:
        self.traffic = Traffic()
        self._image = image
        self.patience = patience
        self._environment = environment
        if is_insecure is None and allows_plain(image.host, environment):
            is_insecure = True
        is_open = image.is_loopback if is_insecure is None else is_insecure
        trust = find_trust(image.host, environment, is_checked=not is_open)
        self._is_checked = trust.is_checked
        self._session = requests.Session()
        self._session.trust_env = not image.is_loopback  # proxies are for other machines
        self._session.headers.update({"User-Agent": "hydraflyte", "Accept-Encoding": "identity"})
        self._session.mount("https://", TrustingAdapter(trust, connections=CONNECTIONS))
        self._bases = _bases(image, is_open=is_open)
        self._base: str | None = self._bases[0] if len(self._bases) == 1 else None
        places = CredentialPlaces.of(environment)
        self._authorizer = Authorizer(
            registry=image.host,
            credential=_remembered(lambda: find_credential(image, places)),
            ask=self._ask_token_server,
            is_insecure=is_insecure is True,
        )
        if not self._is_checked:  # whoever allowed it knows; urllib3 would say it with every request
            warnings.filterwarnings(
                "ignore", message=f"Unverified HTTPS request is being made to host '{_bare(image)}'"
            )

    @property
    def host(self) -> str:
        """The registry's name, as images are named."""
        return self._image.host

    def to(self, image: ImageName) -> Transport:
        """Return a transport to another registry, which is trusted by its own merits."""
        return Transport(image, is_insecure=None, environment=self._environment, patience=self.patience)

    def attempt(self, ask: Ask) -> requests.Response:
        """Return the answer to ``ask``, after as many attempts as it takes.

        Raises:
            ImageError: the registry cannot be reached, or refuses.
        """
        return self.patience.attempt(lambda: self.once(ask))

    def once(self, ask: Ask) -> requests.Response:
        """Return the answer to ``ask``, sent once.

        Raises:
            Interrupted: it may go better next time.
            ImageError: the registry refuses.
        """
        response = self._send(ask, self._authorizer.header(ask.scopes))
        if response.status_code in ask.accepted:
            return response
        if response.status_code in PASSING_STATUSES:
            raise Interrupted(refusal(response, ask.doing, self.host), wait_s=_wished_pause(response))
        raise refusal(response, ask.doing, self.host)

    def _send(self, ask: Ask, authorization: str | None) -> requests.Response:
        response = self._deliver(ask, authorization)
        if response.status_code != 401:
            return response
        if not _is_of(response.url, self._bases[0]):  # a store elsewhere: who it names gets no password
            raise refusal(response, ask.doing, self.host)
        challenge = response.headers.get("WWW-Authenticate", "")
        header = self._authorizer.answer(challenge, ask.scopes, refused=authorization)
        if header is not None:
            response = self._deliver(ask, header)
        if response.status_code == 401:
            raise self._unauthorized(response, ask, header or authorization)
        return response

    def location_in(self, response: requests.Response, ask: Ask) -> str:
        """Return the address that an answer to ``ask`` names for what comes next.

        Raises:
            ImageError: it names none.
        """
        return self._resolved(response.url, response.url, replace(ask, address=response.headers.get("Location", " ")))

    def _unauthorized(self, response: requests.Response, ask: Ask, offered: str | None) -> ImageError:
        credential = self._authorizer.credential()
        if offered is not None and offered.startswith("Bearer") and credential is not None:
            return refusal(response, ask.doing, self.host)  # a token was given, but not for this
        return refused_credentials(self.host, credential, f"{ask.doing} got status 401")

    def _deliver(self, ask: Ask, authorization: str | None) -> requests.Response:
        if self._base is not None:
            return self._deliver_to(self._base, ask, authorization)
        return self._find_base(ask, authorization)

    def _find_base(self, ask: Ask, authorization: str | None) -> requests.Response:
        """Send the first request by each scheme until one is understood."""
        first, second = self._bases
        try:
            response = self._deliver_to(first, ask, authorization)
            if not _is_for_tls(response):
                self._base = first
                return response
        except Interrupted as interrupted:
            if not isinstance(interrupted.__cause__, requests.ConnectionError):  # an SSLError is one
                raise
            try:
                response = self._deliver_to(second, ask, authorization)
            except Interrupted:
                raise interrupted from None
        else:
            response = self._deliver_to(second, ask, authorization)
        self._base = second
        return response

    def _deliver_to(self, base: str, ask: Ask, authorization: str | None) -> requests.Response:
        return self._follow(base, self._resolved(base, f"{base}/v2/", ask), ask, authorization)

    def _follow(self, home: str, url: str, ask: Ask, authorization: str | None) -> requests.Response:
        """Send a request, again where it is redirected; the header goes to the server of ``home`` alone."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._request(url, ask, authorization if _is_of(url, home) else None)
            place = response.headers.get("Location")
            if ask.method not in ("GET", "HEAD") or response.status_code not in _REDIRECTS or not place:
                return response
            response.close()
            url = self._resolved(home, url, replace(ask, address=place))
        raise self._misled(ask, f"it answers with more than {_MOST_REDIRECTS} redirects")

    def _resolved(self, home: str, url: str, ask: Ask) -> str:
        """Return the URL that the address of ``ask`` means, as seen from ``url``.

        Raises:
            ImageError: it is none, or leads from TLS to plain text.
        """
        try:
            found = urlsplit(urljoin(url, ask.address))
            is_url = found.scheme in ("http", "https") and bool(found.hostname) and (found.port or 1) > 0
        except ValueError:
            is_url = False
        if not is_url:
            raise self._misled(ask, f"{ask.address!r} is no place to send a request to")
        if _is_of(found.geturl(), home):
            return found._replace(scheme=urlsplit(home).scheme).geturl()  # behind a proxy it may say http
        if urlsplit(home).scheme == "https" and found.scheme == "http" and not ask.is_stream:  # a digest guards blobs
            raise self._misled(ask, f"{urlsplit(home).netloc} leads to {found.geturl()}, in plain text")
        return found.geturl()

    def _misled(self, ask: Ask, why: str) -> ImageError:
        return ImageError(
            f"{ask.doing} failed: the registry {self.host} misleads: {why}.",
            hint="Check the registry's name, and its own address in its settings (or those of a proxy before it).",
        )

    def _request(self, url: str, ask: Ask, authorization: str | None) -> requests.Response:
        """Send one request; what it carries and what comes back is read in pieces."""
        stream = None if ask.body is None else Stream(ask.body, self.traffic, self.patience)
        self.traffic.count(requests=1)
        try:
            response = self._session.request(
                ask.method,
                url,
                headers=dict(ask.headers),
                data=stream if stream is not None and len(stream) else b"" if stream is not None else None,
                auth=_Header(authorization),
                timeout=(self.patience.connect_s, self.patience.silence_s),
                stream=True,
                allow_redirects=False,
                verify=self._is_checked,
            )
            if not (ask.is_stream and response.status_code in ask.accepted):
                limit = ANSWER_LIMIT_BYTES if response.status_code in ask.accepted else _REFUSAL_LIMIT_BYTES
                self._take_in(response, limit)
            return response
        except requests.exceptions.SSLError as error:
            raise Interrupted(self._bad_certificate(error)) from error
        except requests.RequestException as error:
            raise Interrupted(self._lost(ask, error)) from error
        finally:
            if stream is not None:
                stream.close()

    def _take_in(self, response: requests.Response, limit_bytes: int) -> None:
        """Read an answer that should be short, in bounded memory and time; what is too much of it is left."""
        content, until = bytearray(), time.monotonic() + self.patience.silence_s
        with response:
            for piece in pieces_of(response):
                self.patience.check()
                content += piece
                if len(content) > limit_bytes:
                    break
                if time.monotonic() > until:
                    raise requests.exceptions.ReadTimeout
        response._content = bytes(content)  # what `requests` itself would keep

    def _bad_certificate(self, error: Exception) -> ImageError:
        return ImageError(
            f"The registry {self.host} cannot be spoken to with TLS: {_reason(error)}.",
            hint=f"Put its authority's certificate into ~/.config/containers/certs.d/{self.host}/ca.crt, "
            "or name the file in HYDRAFLYTE_CA_BUNDLE. If it has none and your network is safe, name the registry in "
            "HYDRAFLYTE_INSECURE_REGISTRIES.",
        )

    def _lost(self, ask: Ask, error: Exception) -> ImageError:
        if isinstance(error, requests.exceptions.ReadTimeout):
            what = f"it said nothing for {self.patience.silence_s:g} s"
        elif isinstance(error, requests.exceptions.ConnectTimeout):
            what = f"no connection within {self.patience.connect_s:g} s"
        else:
            what = _reason(error)
        return ImageError(
            f"{ask.doing} failed: the registry {self.host} cannot be reached ({what}).",
            hint="Check its name, port and your network (a proxy?), and start again: "
            "nothing is tagged before all of it is there.",
        )

    def _ask_token_server(
        self, realm: str, headers: Mapping[str, str], parameters: Mapping[str, list[str]], is_form: bool
    ) -> requests.Response:
        text = urlencode(parameters, doseq=True)
        ask = Ask(method="GET", address=realm, doing="Asking for a token", scopes=frozenset())
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{text}"
        if is_form:
            body = Body(size_bytes=len(text), open=lambda: io.BytesIO(text.encode()))
            content_type = {"Content-Type": "application/x-www-form-urlencoded"}
            ask, url = replace(ask, method="POST", headers=content_type, body=body), realm

        def send() -> requests.Response:
            response = self._follow(realm, url, ask, headers.get("Authorization"))
            if response.status_code in PASSING_STATUSES:
                raise Interrupted(refusal(response, ask.doing, self.host), wait_s=_wished_pause(response))
            return response

        return self.patience.attempt(send)


def _is_of(url: str, home: str) -> bool:
    """Tell whether a URL is of the same server: others get no credentials."""
    return urlsplit(url).netloc.lower() == urlsplit(home).netloc.lower()


class _Header(AuthBase):
    """Sets our header; being there at all, it keeps `requests` from sending what ~/.netrc holds."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


def _bases(image: ImageName, *, is_open: bool) -> tuple[str, ...]:
    secure, plain = f"https://{image.api_host}", f"http://{image.api_host}"
    if not is_open:
        return (secure,)
    return (plain, secure) if image.is_loopback else (secure, plain)


def _is_for_tls(response: requests.Response) -> bool:
    """Tell whether a server that wants TLS says so to a plain request: Go's and nginx answer 400."""
    return response.status_code == 400 and "Docker-Distribution-Api-Version" not in response.headers


def _wished_pause(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _reason(error: BaseException) -> str:
    """Return the innermost reason: urllib3 wraps the operating system's words three times."""
    inner: BaseException = error
    while True:
        reason = getattr(inner, "reason", None)
        following = reason if isinstance(reason, BaseException) else None
        if following is None and inner.args and isinstance(inner.args[0], BaseException):
            following = inner.args[0]
        if following is None:
            break
        inner = following
    text = str(
        inner.strerror if isinstance(inner, OSError) and inner.strerror else inner.args[-1] if inner.args else inner
    )
    return re.sub(r"^\[Errno \d+\] ", "", text.rpartition(": ")[2].strip()) or type(inner).__name__


def _bare(image: ImageName) -> str:
    return urlsplit(f"//{image.api_host}").hostname or image.api_host


def _remembered(find: Callable[[], _C]) -> Callable[[], _C]:
    known: list[_C] = []

    def found() -> _C:
        if not known:
            known.append(find())
        return known[0]

    return found
