"""How a registry is reached: plain or with TLS, with whose certificates.

As docker does: https for everybody, plain http for this machine and where the user says so. Certificates of private
authorities come from docker's and podman's `certs.d` folders and are added to those of the system. Sends nothing.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from hydraflyte.errors import ImageError

_BLOCK_BYTES = 256 * 1024  # what is read from a layer and written to the socket at a time

_READING = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The certificates for one registry.

    Attributes:
        authorities: files with certificates of authorities, added to the system's.
        client_pairs: pairs of files, certificate and key, that this client shows.
        is_checked: whether the registry's certificate must be vouched for.
    """

    authorities: tuple[Path, ...]
    client_pairs: tuple[tuple[Path, Path], ...]
    is_checked: bool

    def context(self) -> ssl.SSLContext:
        """Return the settings for TLS.

        Raises:
            ImageError: a file with certificates cannot be read.
        """
        context = ssl.create_default_context()
        try:
            for file in self.authorities:
                context.load_verify_locations(cafile=str(file))
            for certificate, key in self.client_pairs:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(str(file) for file in self.authorities + tuple(pair[0] for pair in self.client_pairs))
            raise ImageError(
                f"The certificates in {named} cannot be read: {error}.",
                hint="They must be PEM files; a client's certificate (.cert) needs its key (.key) beside it.",
            ) from error
        if not self.is_checked:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def allows_plain(host: str, environment: Mapping[str, str]) -> bool:
    """Tell whether ``HYDRAFLYTE_INSECURE_REGISTRIES`` names ``host``: plain http, or any certificate, will do there."""
    named = environment.get("HYDRAFLYTE_INSECURE_REGISTRIES", "")
    return host in {name.strip() for name in named.split(",")}


def find_trust(host: str, environment: Mapping[str, str], *, is_checked: bool) -> Trust:
    """Return what the `certs.d` folders and ``HYDRAFLYTE_CA_BUNDLE`` hold for ``host``."""
    folders = [folder / host for folder in _folders(environment)]
    files = sorted(file for folder in folders for file in _files_in(folder))
    authorities = [file for file in files if file.suffix == ".crt"]
    if environment.get("HYDRAFLYTE_CA_BUNDLE"):
        authorities.append(Path(environment["HYDRAFLYTE_CA_BUNDLE"]))
    pairs = [(file, file.with_suffix(".key")) for file in files if file.suffix == ".cert"]
    return Trust(authorities=tuple(authorities), client_pairs=tuple(pairs), is_checked=is_checked or bool(authorities))


def _files_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not there, or root's own: docker would not read it either
        return []


def _folders(environment: Mapping[str, str]) -> tuple[Path, ...]:
    home = Path(environment.get("HOME") or os.path.expanduser("~"))
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        Path("/etc/docker/certs.d"),
        Path("/etc/containers/certs.d"),
        config / "containers" / "certs.d",
        home / ".docker" / "certs.d",
    )


class TrustingAdapter(HTTPAdapter):
    """Connections with our TLS settings, and big blocks for layers."""

    def __init__(self, trust: Trust, *, connections: int) -> None:
        self._trust = trust
        self._settings: dict[str, Any] = {}
        self._is_ready = False
        super().__init__(pool_maxsize=connections, max_retries=0)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:  # the signature is that of requests
        """Send a request; the system's certificates are read before the first one only: that takes tens of ms."""
        with _READING:
            if not self._is_ready:
                self._settings = {"ssl_context": self._trust.context(), "blocksize": _BLOCK_BYTES}
                super().init_poolmanager(self._pool_connections, self._pool_maxsize, **self._settings)
                self._is_ready = True
        return super().send(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # urllib3's manager, untyped in requests
        return super().proxy_manager_for(proxy, **{**self._settings, **kwargs})
