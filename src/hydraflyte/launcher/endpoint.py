"""Which backend a launch talks to: ``hydra.launcher.endpoint`` -> Endpoint.

Reads the Flyte client config that other clients would read; starts the embedded backend when that is meant and
none runs. Opens no connection itself and imports no gRPC.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hydraflyte.errors import ConfigError
from hydraflyte.home import Home, RunningBackend
from hydraflyte.task_runtime import TaskRuntime

if TYPE_CHECKING:
    from flytekit.configuration import PlatformConfig

_ADDRESS = re.compile(r"(dns:///)?(?P<host>\[[0-9a-fA-F:]+\]|[^/:]+)(:(?P<port>\d+))?")
_UNNAMED = ""
_ADDRESS_VARIABLE = "FLYTE_PLATFORM_URL"
"""Where flytekit takes the address from; its other variables, such as FLYTE_CREDENTIALS_CLIENT_ID, say who calls."""
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|\[?::1\]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNames:
    """What the caller's settings are called, for messages.

    Attributes:
        insecure: empty if the caller has no such setting.
    """

    endpoint: str = "hydra.launcher.endpoint"
    insecure: str = "hydra.launcher.insecure"


IN_CONFIG = SettingNames()
ON_COMMAND_LINE = SettingNames(endpoint="--endpoint", insecure="")
IN_PYTHON = SettingNames(endpoint="endpoint", insecure="insecure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a backend is and how it is reached.

    Attributes:
        target: target of the gRPC channel.
        insecure: plain text instead of TLS.
        console_url: base of links to executions.
        front_page: the console's address for a browser, key included where one is needed.
        origin: where the target was found, in words, for error messages.
        is_embedded: the embedded backend of this user, reached over its Unix socket.
        runs_images: whether tasks run in their images; not on the embedded backend, unless it was started so.
        platform: settings of a Flyte client config (authentication, certificates); None for the embedded backend.
        token: lets the owner into the embedded backend's HTTP side; None where there is none.
        names: what the caller's settings are called.
        was_started: the embedded backend did not run before.
    """

    target: str
    insecure: bool
    console_url: str
    front_page: str
    origin: str
    is_embedded: bool = False
    runs_images: bool = True
    platform: PlatformConfig | None = None
    token: str | None = field(default=None, repr=False)
    names: SettingNames = IN_CONFIG
    was_started: bool = False

    @property
    def place(self) -> str:
        """The backend in words that the user knows it by."""
        return self.origin if self.is_embedded else self.target


def resolve_endpoint(
    setting: str, insecure: bool | None, environ: Mapping[str, str], *, names: SettingNames = IN_CONFIG
) -> Endpoint:
    """Return the endpoint that ``hydra.launcher.endpoint`` means.

    Args:
        setting: ``auto``, ``embedded``, ``host:port``, ``dns:///host`` or the path of a client config file.
        insecure: plain text; None means: only for loopback addresses.
        names: what the caller's settings are called.

    Raises:
        ConfigError: the file or address cannot be used.
        BackendStartError: the embedded backend is meant, none runs and it cannot start.
    """
    if means_embedded(setting, environ):
        return _embedded(environ)
    if setting == "auto":
        found = client_config_of_other_tools(environ)
        if found is None:
            return _from_environment(insecure, names)
        return _from_config_file(found, insecure, "endpoint=auto", names)
    path = Path(setting).expanduser()
    if not setting.startswith("dns:") and (path.exists() or path.suffix in (".yaml", ".yml", ".ini", ".config")):
        return _from_config_file(path, insecure, f"endpoint={setting}", names)
    _refuse_console(setting, environ, names)
    return _from_address(setting, insecure, None, names)


def endpoint_text(setting: str, insecure: bool | None, environ: Mapping[str, str]) -> str:
    """Return in words what ``hydra.launcher.endpoint`` means; starts nothing.

    Raises:
        ConfigError: the file or address cannot be used.
    """
    if not means_embedded(setting, environ):
        endpoint = resolve_endpoint(setting, insecure, environ)
        return f"{endpoint.target} ({endpoint.origin})"
    running = Home.resolve(None, environ).running()
    return f"the embedded backend, {'which would be started' if running is None else f'at {running.http_url}'}"


def _refuse_console(setting: str, environ: Mapping[str, str], names: SettingNames) -> None:
    """Check that an address is not that of the embedded backend's console, which is what a browser shows.

    Raises:
        ConfigError: it is.
    """
    running = Home.resolve(None, environ).running()
    if running is None:
        return
    wanted, console = (urlsplit(text if "//" in text else f"//{text}").netloc for text in (setting, running.http_url))
    if wanted.replace("localhost", "127.0.0.1") == console:
        raise ConfigError(
            f"{names.endpoint}={setting} is the console of the embedded backend; its API is at {running.endpoint}.",
            hint=f"set {names.endpoint}={running.endpoint}, or embedded.",
        )


def means_embedded(setting: str, environ: Mapping[str, str]) -> bool:
    """Tell whether ``hydra.launcher.endpoint`` means the embedded backend; starts nothing.

    Its own client config, as ``hydraflyte config`` prints it, also means it: over the Unix socket then.
    """
    if setting != "auto":
        return setting == "embedded"
    found = client_config_of_other_tools(environ)
    if found is None:
        return not environ.get(_ADDRESS_VARIABLE)
    return found.absolute() == Home.resolve(None, environ).client_config


def client_config_of_other_tools(environ: Mapping[str, str]) -> Path | None:
    """Return the config file that names the backend of the other Flyte clients, or None if there is none."""
    named = environ.get("FLYTECTL_CONFIG")
    if named:
        return Path(named).expanduser()
    usual = Path(environ.get("HOME", "~")).expanduser() / ".flyte" / "config.yaml"
    return usual if usual.is_file() else None


def endpoint_of(backend: RunningBackend) -> Endpoint:
    """Return the endpoint of an embedded backend that runs."""
    parts = urlsplit(backend.console_url)
    return Endpoint(
        target=f"unix:{backend.socket}",
        insecure=True,
        console_url=f"{parts.scheme}://{parts.netloc}",
        front_page=backend.console_url,
        origin="the embedded backend",
        is_embedded=True,
        runs_images=backend.runtime != TaskRuntime.PROCESS.value,
        token=Home(root=Path(backend.home)).token() if backend.auth else None,
    )


def _embedded(environ: Mapping[str, str]) -> Endpoint:
    from hydraflyte.embedded import ensure_backend

    backend = ensure_backend(environ=environ)
    return replace(endpoint_of(backend.running), was_started=backend.started)


def _from_environment(insecure: bool | None, names: SettingNames) -> Endpoint:
    from flytekit.configuration.internal import Platform

    wanted = Platform.INSECURE.read() if insecure is None else insecure
    return _from_address(str(Platform.URL.read()), wanted, f"{_ADDRESS_VARIABLE} (endpoint=auto)", names)


def _from_address(address: str, insecure: bool | None, origin: str | None, names: SettingNames) -> Endpoint:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigError(
            f"{origin or names.endpoint}={address!r} is neither an address nor the path of a file.",
            hint="give host:port, dns:///host, the path of a Flyte client config file, or embedded.",
        )
    plain = _LOOPBACK.fullmatch(match["host"]) is not None if insecure is None else insecure
    bare = address.removeprefix("dns:///")
    platform = replace(_platform(Path(os.devnull)), endpoint=bare, insecure=plain)
    return _over_network(platform, address, origin or f"{names.endpoint}={address}", names)


def _from_config_file(path: Path, insecure: bool | None, origin: str, names: SettingNames) -> Endpoint:
    if not path.is_file():
        raise ConfigError(
            f"The Flyte client config {path} ({origin}) does not exist.",
            hint=f"correct the path ({names.endpoint}, or FLYTECTL_CONFIG), or set {names.endpoint}=embedded.",
        )
    try:
        platform = _platform(path)
    except (TypeError, AttributeError, ValueError, OSError) as error:  # what flytekit's reading of any YAML ends in
        raise ConfigError(
            f"The Flyte client config {path} ({origin}) cannot be read: {error}",
            hint="it is a YAML file with `admin: {endpoint: dns:///host}`; see `hydraflyte config` for one that works.",
        ) from error
    if platform.endpoint == _UNNAMED:
        raise ConfigError(
            f"The Flyte client config {path} ({origin}) names no admin.endpoint.",
            hint=f"add `admin: {{endpoint: dns:///host}}` to it, or set {names.endpoint}.",
        )
    if insecure is not None:
        platform = replace(platform, insecure=insecure)
    return _over_network(platform, platform.endpoint, f"{path} ({origin})", names)


def _platform(file: Path) -> PlatformConfig:
    """Return what a client config file and flytekit's environment variables say; the variables win."""
    from flytekit.configuration import PlatformConfig
    from flytekit.configuration.file import ConfigFile
    from flytekit.configuration.internal import Platform

    parsed = ConfigFile(str(file))
    endpoint = Platform.URL.read(parsed) or _UNNAMED
    return replace(PlatformConfig.auto(parsed), endpoint=endpoint)


def _over_network(platform: PlatformConfig, target: str, origin: str, names: SettingNames) -> Endpoint:
    scheme = "http" if platform.insecure else "https"
    console = platform.console_endpoint or f"{scheme}://{platform.endpoint}"
    return Endpoint(
        target=target,
        insecure=platform.insecure,
        console_url=console.rstrip("/").removesuffix("/console"),
        front_page=f"{console.rstrip('/').removesuffix('/console')}/console",
        origin=origin,
        platform=platform,
        names=names,
    )
