"""The secrets of one backend: a file for each, readable by its owner only.

Rule: a value goes from a file to who asks for exactly this one; no listing, message or log has it. Names are those
that Kubernetes takes for secrets and keys, so they cannot lead out of the folder.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import ConfigError
from hydraflyte.home import write_private

MOST_BYTES = 1024 * 1024  # as Kubernetes allows
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretName:
    """Group and key of a secret, and its version where the group has several. Case does not matter, as in Flyte."""

    group: str
    key: str
    version: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names below a folder of secrets, in lower case: flytekit looks for ``group/[version/]key``."""
        return tuple(part.lower() for part in (self.group, self.version, self.key) if part)

    @property
    def is_sound(self) -> bool:
        """Whether every part is a name that Kubernetes would take."""
        return bool(self.group and self.key) and all(_NAME.fullmatch(part) for part in self.parts)

    def __str__(self) -> str:
        return "/".join(self.parts)


class SecretFiles:
    """The folder ``secrets`` of a home.

    Args:
        folder: made, private to its owner, when the first secret is set.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, name: SecretName, value: bytes) -> None:
        """Keep a secret; one of the same name is replaced.

        Raises:
            ConfigError: the name cannot be used, or the value is empty or too large.
            BackendStartError: the disk is full, or the folder cannot be written.
        """
        path = self._path(name)
        if not value or len(value) > MOST_BYTES:
            raise ConfigError(
                f"The value of the secret {name} has {len(value)} bytes; 1 to {MOST_BYTES} are possible.",
                hint="pass the value on standard input, or type it when asked.",
            )
        try:
            for folder in (self._folder, *reversed([p for p in path.parents if self._folder in p.parents])):
                folder.mkdir(mode=0o700, exist_ok=True)
            if path.is_dir():
                raise FileExistsError(path)
        except FileExistsError as error:
            raise ConfigError(
                f"{name} cannot be kept: a key and a version of the group {name.group!r} would have the same name.",
                hint="`hydraflyte secrets list` shows what there is; choose another name.",
            ) from error
        write_private(path, value)

    def read(self, name: SecretName) -> bytes | None:
        """Return the value; None if there is no such secret."""
        if not name.is_sound:
            return None
        try:
            return self._folder.joinpath(*name.parts).read_bytes()
        except OSError:
            return None

    def names(self) -> list[SecretName]:
        """Return the names of all secrets, in order."""
        files = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        found = [_name_of(path.relative_to(self._folder).parts) for path in files]
        return sorted(name for name in found if name is not None)

    def delete(self, name: SecretName) -> bool:
        """Remove a secret; return whether there was one.

        Raises:
            ConfigError: the name cannot be used.
        """
        path = self._path(name)
        if not path.is_file():
            return False
        path.unlink()
        for folder in path.parents:
            if folder == self._folder or any(folder.iterdir()):
                break
            shutil.rmtree(folder)
        return True

    def _path(self, name: SecretName) -> Path:
        check_name(name)
        return self._folder.joinpath(*name.parts)


def check_name(name: SecretName) -> None:
    """Raise ConfigError if a secret cannot have this name."""
    if not name.is_sound:
        raise ConfigError(
            f"{str(name)!r} cannot name a secret.",
            hint="use letters, digits, '-', '_' and '.', beginning with a letter or digit.",
        )


def _name_of(parts: tuple[str, ...]) -> SecretName | None:
    if len(parts) == 2:
        return SecretName(group=parts[0], key=parts[1])
    return SecretName(group=parts[0], version=parts[1], key=parts[2]) if len(parts) == 3 else None


def environment_name(name: SecretName, prefix: str = "_FSEC_") -> str:
    """Return the variable that flytekit looks for.

    >>> environment_name(SecretName(group="db", key="password"))
    '_FSEC_DB_PASSWORD'
    """
    return prefix + "_".join(name.parts).upper()
