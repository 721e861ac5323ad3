"""How a launcher shows who it is: client credentials, a command, a device, or a session that is there already.

flytekit gets the tokens; this module decides when, for how long, and says in one sentence what went wrong. Two rules:
no browser is ever opened, and no login waits for ever. Knows nothing of Flyte's services.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # another class than the built-in one in Python 3.10
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import grpc
from flytekit.clients import auth_helper
from flytekit.clients.auth.authenticator import Authenticator, PKCEAuthenticator
from flytekit.clients.auth.exceptions import AccessTokenNotFoundError, AuthenticationError
from flytekit.clients.auth.keyring import Credentials, KeyringStore
from flytekit.configuration import AuthType
from keyring.errors import KeyringError

from hydraflyte.errors import BackendUnavailableError, ConfigError, LoginError

if TYPE_CHECKING:
    from flytekit.configuration import PlatformConfig

    from hydraflyte.launcher.endpoint import Endpoint

_LIMIT_S = 30.0
"""Longest wait for a token endpoint or a command; the device's owner has as long as the token endpoint says."""
_CONNECT_LIMIT_S = 9.0

LOGIN_FAILURES = (RuntimeError, ValueError, KeyError, OSError, KeyringError)
"""What flytekit and its HTTP client raise when a login fails; ``OSError`` is the base of what requests raises."""

_T = TypeVar("_T")
_Header = tuple[str, str]

_HINTS = {
    AuthType.CLIENTSECRET: "check admin.clientId, and admin.clientSecretLocation or clientSecretEnvVar, in the Flyte "
    "client config (or FLYTE_CREDENTIALS_CLIENT_ID and FLYTE_CREDENTIALS_CLIENT_SECRET).",
    AuthType.EXTERNALCOMMAND: "run admin.command of the Flyte client config by hand: it has to print a token.",
    AuthType.DEVICEFLOW: "open the printed address on any device before its time is over, or use authType "
    "ClientSecret or ExternalCommand where nobody looks on.",
    AuthType.PKCE: "a launcher opens no browser. Log in once with a client that does (`pyflyte info`); where there is "
    "no browser, as in CI, set admin.authType of the Flyte client config to ClientSecret, ExternalCommand or "
    "DeviceFlow.",
}
_SPELLINGS = {
    "": AuthType.PKCE,
    "STANDARD": AuthType.PKCE,
    "PKCE": AuthType.PKCE,
    "BASIC": AuthType.CLIENTSECRET,
    "CLIENT_CREDENTIALS": AuthType.CLIENTSECRET,
    "CLIENTSECRET": AuthType.CLIENTSECRET,
    "EXTERNAL_PROCESS": AuthType.EXTERNALCOMMAND,
    "EXTERNALCOMMAND": AuthType.EXTERNALCOMMAND,
    "DEVICEFLOW": AuthType.DEVICEFLOW,
}


def open_channel(endpoint: Endpoint, options: list[tuple[str, Any]]) -> grpc.Channel:
    """Return a channel to the backend; whoever it asks who they are is logged in then, not before.

    Raises:
        ConfigError: the certificates that the Flyte client config names cannot be read.
        BackendUnavailableError: the backend's own certificate cannot be fetched.
    """
    platform = endpoint.platform
    if platform is None:
        return grpc.insecure_channel(endpoint.target, options=options)
    channel = auth_helper.get_channel(platform, options=options, **_certificates(endpoint, platform))
    channel = auth_helper.upgrade_channel_to_proxy_authenticated(platform, channel)
    return grpc.intercept_channel(channel, _ShowsWhoCalls(_Login(endpoint, platform, channel)))


def _certificates(endpoint: Endpoint, platform: PlatformConfig) -> dict[str, grpc.ChannelCredentials]:
    """Return the credentials of the channel where they have to be read or fetched; flytekit would wait for ever."""
    if platform.insecure or not (platform.insecure_skip_verify or platform.ca_cert_file_path):
        return {}
    if not platform.insecure_skip_verify:
        try:
            with open(platform.ca_cert_file_path, "rb") as file:
                return {"credentials": grpc.ssl_channel_credentials(file.read())}
        except OSError as error:
            raise ConfigError(
                f"The certificates {platform.ca_cert_file_path} of {endpoint.origin} cannot be read: {error.strerror}.",
                hint="correct admin.caCertFilePath in the Flyte client config.",
            ) from error
    try:
        fetched = _in_time(lambda: auth_helper.bootstrap_creds_from_server(platform.endpoint), _CONNECT_LIMIT_S)
    except (OSError, ValueError, FutureTimeoutError) as error:
        raise BackendUnavailableError(
            f"No Flyte backend answers at {endpoint.target} ({endpoint.origin}): its certificate cannot be fetched, "
            f"{error or type(error).__name__}",
            hint=f"tried with TLS; check {endpoint.names.endpoint}, and admin.insecureSkipVerify in the client config.",
        ) from error
    return {"credentials": fetched}


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: list[tuple[str, str]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _ShowsWhoCalls(grpc.UnaryUnaryClientInterceptor):
    """Adds the token to every call; a call that is refused is sent again with another one, until that is a new one."""

    def __init__(self, login: _Login) -> None:
        self._login = login

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:  # Any: gRPC's
        shown, is_new = self._login.header, False
        while True:
            call = continuation(_with(client_call_details, shown), request)
            if is_new or call.code() is not grpc.StatusCode.UNAUTHENTICATED:
                return call
            shown, is_new = self._login.renewed(shown)


def _with(details: Any, header: _Header | None) -> Any:  # Any: gRPC's call details have no public class
    if header is None:
        return details
    metadata = [*(details.metadata or ()), header]
    return _CallDetails(details.method, details.timeout, metadata, details.credentials, None, None)


class _Login:
    """The token that is shown now, and how to get the next one. Many threads may ask; one of them logs in."""

    def __init__(self, endpoint: Endpoint, platform: PlatformConfig, channel: grpc.Channel) -> None:
        self.header: _Header | None = None
        self._endpoint = endpoint
        self._platform = platform
        self._channel = channel
        self._authenticator: Authenticator | None = None
        self._lock = Lock()

    def renewed(self, refused: _Header | None) -> tuple[_Header, bool]:
        """Return another token than the one that was refused, and whether it was made just now.

        Raises:
            LoginError: there is none.
        """
        with self._lock:
            if self.header is not None and self.header != refused:
                return self.header, False
            self.header, is_new = self._logged_in(refused)
            return self.header, is_new

    def _logged_in(self, refused: _Header | None) -> tuple[_Header, bool]:
        way = _way_of(self._platform)
        try:
            return _in_time(lambda: self._next_header(refused), None if way is AuthType.DEVICEFLOW else _LIMIT_S)
        except FutureTimeoutError as error:
            raise self._failed(f"no answer within {_LIMIT_S:.0f} s") from error
        except grpc.RpcError as error:
            raise self._failed(f"the backend does not say where to log in: {error.code().name}") from error
        except LOGIN_FAILURES as error:
            raise self._failed(str(error).strip() or type(error).__name__) from error

    def _next_header(self, refused: _Header | None) -> tuple[_Header, bool]:
        if self._authenticator is None:
            self._authenticator = self._new_authenticator()
        stored = self._authenticator.fetch_grpc_call_auth_metadata()
        if stored is not None and stored != refused:
            return stored, False
        with contextlib.redirect_stdout(sys.stderr):  # flytekit prints a device's address where results belong
            self._authenticator.refresh_credentials()
        return cast(_Header, self._authenticator.fetch_grpc_call_auth_metadata()), True

    def _new_authenticator(self) -> Authenticator:
        store = auth_helper.RemoteClientConfigStore(self._channel)
        if _way_of(self._platform) is AuthType.PKCE:
            return _StoredSession(self._platform, store)
        return auth_helper.get_authenticator(self._platform, store)

    def _failed(self, reason: str) -> LoginError:
        way = _way_of(self._platform)
        named = way.value if way is not None else str(self._platform.auth_mode)
        return LoginError(
            f"The Flyte backend at {self._endpoint.target} ({self._endpoint.origin}) asks who this is, and the login "
            f"(authType {named}) failed: {reason}",
            hint=_HINTS[way] if way is not None else "check admin.authType in the Flyte client config.",
        )


def _way_of(platform: PlatformConfig) -> AuthType | None:
    """Return how to log in; None for a way that a plugin of flytekit brings."""
    mode = platform.auth_mode
    name = str(getattr(mode, "name", mode) or "")
    return _SPELLINGS.get(name.upper())


class _StoredSession(PKCEAuthenticator):  # type: ignore[misc]  # flytekit has no types
    """The session that an earlier login in a browser left in the keyring; renewed as long as that is possible."""

    _creds: Credentials | None

    def __init__(self, platform: PlatformConfig, store: auth_helper.RemoteClientConfigStore) -> None:
        if os.environ.get("CI"):
            raise AuthenticationError("a session in a browser is needed, and this is a CI job")
        verify: bool | str | None = False if platform.insecure_skip_verify else platform.ca_cert_file_path
        super().__init__(platform.endpoint, store, scopes=platform.scopes, verify=verify)
        self._initialize_auth_client()  # asks the backend in which header it wants the token

    def refresh_credentials(self) -> None:
        if self._creds is None:
            raise AuthenticationError("a session in a browser is needed, and none is stored on this machine")
        try:
            renewed: Credentials = self._auth_client.refresh_access_token(self._creds)
        except AccessTokenNotFoundError as error:
            raise AuthenticationError(f"the stored session is over ({error})") from error
        self._creds = KeyringStore.store(renewed)


def _in_time(work: Callable[[], _T], limit_s: float | None) -> _T:
    """Return what ``work`` returns, or raise what it raises; a thread that hangs is left behind.

    Raises:
        concurrent.futures.TimeoutError: it has taken longer than ``limit_s``.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # handed over to the thread that asked
            outcome.set_exception(error)

    Thread(target=run, name="login", daemon=True).start()
    return outcome.result(limit_s)
