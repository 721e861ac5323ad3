"""Where mails are handed in: settings from a file in the home and from the environment. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from hydraflyte.errors import NotificationError

_VARIABLE = "HYDRAFLYTE_SMTP_"
_KEYS = ("host", "port", "security", "username", "password", "sender")


class MailSecurity(Enum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    """Plain at first, encrypted before anything is said (port 587)."""
    TLS = "tls"
    """Encrypted from the start (port 465)."""
    NONE = "none"
    """Not at all, for a server on this machine (port 25)."""


_PORTS = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE: 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """The mail server. An empty user name means that none is asked for."""

    host: str
    port: int
    security: MailSecurity
    username: str
    password: str
    sender: str

    def as_facts(self) -> dict[str, str | int]:
        """Return the settings as what JSON can hold."""
        return {**asdict(self), "security": self.security.value}


def read_mail_settings(file: Path, environ: Mapping[str, str]) -> MailSettings:
    """Return the settings: ``HYDRAFLYTE_SMTP_HOST`` and the like, then the keys of the file, then defaults.

    Raises:
        NotificationError: neither names a server, or a value cannot be used.
    """
    values = {**_read_file(file), **_read_environment(environ)}
    unknown = sorted(set(values) - set(_KEYS))
    if unknown:
        raise _unusable(file, f"it has keys that mean nothing: {', '.join(unknown)}")
    if not values.get("host"):
        raise NotificationError(
            "No mail server is set.", hint=f"write `host: …` and `sender: …` to {file}, or set {_VARIABLE}HOST."
        )
    security = _security(file, values.get("security", MailSecurity.STARTTLS.value))
    username = values.get("username", "")
    return MailSettings(
        host=values["host"],
        port=_port(file, values.get("port", str(_PORTS[security]))),
        security=security,
        username=username,
        password=values.get("password", ""),
        sender=values.get("sender") or (username if "@" in username else f"hydraflyte@{values['host']}"),
    )


def _read_file(file: Path) -> dict[str, str]:
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))  # whatever the user wrote
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unusable(file, " ".join(str(error).split())) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise _unusable(file, "it holds no keys")
    return {str(key): str(value) for key, value in content.items() if value is not None}


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    named = {key: environ.get(_VARIABLE + key.upper()) for key in _KEYS}
    return {key: value for key, value in named.items() if value}


def _security(file: Path, text: str) -> MailSecurity:
    try:
        return MailSecurity(text.lower())
    except ValueError as error:
        known = ", ".join(each.value for each in MailSecurity)
        raise _unusable(file, f"security is {text!r}; it may be {known}") from error


def _port(file: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise _unusable(file, f"port is {text!r}")
    return int(text)


def _unusable(file: Path, reason: str) -> NotificationError:
    return NotificationError(
        f"The settings of the mail server cannot be used: {reason}.",
        hint=f"correct {file}, or the variables {_VARIABLE}…; the keys are {', '.join(_KEYS)}.",
    )
