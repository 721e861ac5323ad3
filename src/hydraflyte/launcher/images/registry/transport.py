"""Requests to one registry: scheme, certificates, tokens, second attempts, and errors that a user can act on.

One rule: credentials go to the registry and its token server alone, and in plain text only where that was allowed.
Knows HTTP; does not know what a manifest is.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.credentials import CredentialPlaces, find_credential
from hydraflyte.launcher.images.registry.names import ImageName
from hydraflyte.launcher.images.registry.patience import PASSING_STATUSES, Interrupted, Patience
from hydraflyte.launcher.images.registry.refusals import refusal
from hydraflyte.launcher.images.registry.tokens import Authorizer, Scopes, refused_credentials
from hydraflyte.launcher.images.registry.trust import TrustingAdapter, allows_plain, find_trust

CONNECTIONS = 4
"""How many requests run at the same time; more do not help on one line."""
_C = TypeVar("_C")


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request carries; opened anew for every attempt.

    Attributes:
        size_bytes: its length.
        open: gives a file to read it from.
    """

    size_bytes: int
    open: Callable[[], Readable]


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


@dataclass(slots=True)
class Traffic:
    """What went over the line so far: requests, and the bytes of bodies that were sent."""

    requests: int = 0
    sent_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, requests: int = 0, sent_bytes: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.sent_bytes += sent_bytes


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
        self._session.headers["User-Agent"] = "hydraflyte"
        self._session.mount("https://", TrustingAdapter(trust, connections=CONNECTIONS))
        self._bases = _bases(image, is_open=is_open)
        self._base: str | None = self._bases[0] if len(self._bases) == 1 else None
        self._first_contact = threading.Lock()
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

    def patiently(self, action: Callable[[], requests.Response]) -> requests.Response:
        """Run several requests that only make sense together, again if one is interrupted."""
        return self.patience.attempt(action)

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
        challenge = response.headers.get("WWW-Authenticate", "")
        response.close()
        header = self._authorizer.answer(challenge, ask.scopes, refused=authorization)
        if header is not None:
            response = self._deliver(ask, header)
        if response.status_code == 401:
            raise self._unauthorized(response, ask, header or authorization)
        return response

    def _unauthorized(self, response: requests.Response, ask: Ask, offered: str | None) -> ImageError:
        credential = self._authorizer.credential()
        if offered is not None and offered.startswith("Bearer") and credential is not None:
            return refusal(response, ask.doing, self.host)  # a token was given, but not for this
        return refused_credentials(self.host, credential, f"{ask.doing} got status 401")

    def _deliver(self, ask: Ask, authorization: str | None) -> requests.Response:
        if self._base is not None:
            return self._deliver_to(self._base, ask, authorization)
        with self._first_contact:
            if self._base is None:
                return self._find_base(ask, authorization)
        return self._deliver_to(self._base, ask, authorization)

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
        url, is_registry = _resolved(base, ask.address)
        stream = None if ask.body is None else _Stream(ask.body, self.traffic, self.patience)
        self.traffic.count(requests=1)
        try:
            return self._session.request(
                ask.method,
                url,
                headers=dict(ask.headers),
                data=stream if stream is not None and len(stream) else b"" if stream is not None else None,
                auth=_Header(authorization if is_registry else None),
                timeout=(self.patience.connect_s, self.patience.silence_s),
                stream=ask.is_stream,
                allow_redirects=ask.method in ("GET", "HEAD"),
                verify=self._is_checked,
            )
        except requests.exceptions.SSLError as error:
            raise Interrupted(self._bad_certificate(error)) from error
        except requests.RequestException as error:
            raise Interrupted(self._lost(ask, error)) from error
        finally:
            if stream is not None:
                stream.close()

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
        ask = Ask(method="POST" if is_form else "GET", address=realm, doing="Asking for a token", scopes=frozenset())

        def send() -> requests.Response:
            self.traffic.count(requests=1)
            try:
                response = self._session.request(
                    ask.method,
                    realm,
                    headers=dict(headers),
                    auth=_Header(headers.get("Authorization")),
                    timeout=(self.patience.connect_s, self.patience.silence_s),
                    verify=self._is_checked,
                    data=dict(parameters) if is_form else None,
                    params=None if is_form else dict(parameters),
                )
            except requests.exceptions.SSLError as error:
                raise Interrupted(self._bad_certificate(error)) from error
            except requests.RequestException as error:
                raise Interrupted(self._lost(ask, error)) from error
            if response.status_code in PASSING_STATUSES:
                raise Interrupted(refusal(response, ask.doing, self.host), wait_s=_wished_pause(response))
            return response

        return self.patience.attempt(send)


class _Header(AuthBase):
    """Sets our header; being there at all, it keeps `requests` from sending what ~/.netrc holds."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class _Stream:
    """A body that is read in pieces, with its length known and its bytes counted."""

    def __init__(self, body: Body, traffic: Traffic, patience: Patience) -> None:
        self._size_bytes = body.size_bytes
        self._file = body.open()
        self._traffic = traffic
        self._patience = patience

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:  # `requests` takes only iterables for streams; urllib3 calls read
        while piece := self.read(1024 * 1024):
            yield piece

    def read(self, size: int = -1) -> bytes:
        self._patience.check()
        piece = self._file.read(size)
        self._traffic.count(sent_bytes=len(piece))
        return piece

    def close(self) -> None:
        self._file.close()


def _bases(image: ImageName, *, is_open: bool) -> tuple[str, ...]:
    secure, plain = f"https://{image.api_host}", f"http://{image.api_host}"
    if not is_open:
        return (secure,)
    return (plain, secure) if image.is_loopback else (secure, plain)


def _resolved(base: str, address: str) -> tuple[str, bool]:
    """Return the URL, and whether it is the registry's own: a store elsewhere gets no credentials."""
    url = urljoin(f"{base}/v2/", address)
    if urlsplit(url).netloc != urlsplit(base).netloc:
        return url, False
    return urlsplit(url)._replace(scheme=urlsplit(base).scheme).geturl(), True  # behind a proxy it may say http


def _is_for_tls(response: requests.Response) -> bool:
    """Tell whether a server that wants TLS says so to a plain request: Go's and nginx answer 400."""
    return response.status_code == 400 and "Docker-Distribution-Api-Version" not in response.headers


def _wished_pause(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


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
