"""The secrets of an attempt: files of its own while it runs, variables of its own, nothing afterwards.

Follows Flyte's webhook (webhook/k8s_secrets.go): a secret that is not there does not keep the task from starting;
flytekit raises where the code asks for it. Rule: a value is in no message, log, database or command line.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flyteidl.core.security_pb2 import Secret
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte.secret_files import SecretFiles, SecretName, environment_name

_DIR_VARIABLE = "FLYTE_SECRETS_DEFAULT_DIR"
_FILE_PREFIX_VARIABLE = "FLYTE_SECRETS_FILE_PREFIX"
_ENV_PREFIX_VARIABLE = "FLYTE_SECRETS_ENV_PREFIX"
_ENV_PREFIX = "_FSEC_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What an attempt gets.

    Attributes:
        env: variables for its process alone.
        folder: to be removed when it has ended, or None if it needs no files.
    """

    env: Mapping[str, str]
    folder: Path | None = None


_NOTHING = Mount(env={})


class Mounts:
    """Gives attempts their secrets.

    Args:
        folder: where their files are for as long as they run. Must not be used by another executor.
        files: the secrets that were set with the command line.
        environ: the backend's own environment: ``_FSEC_GROUP_KEY`` there is a secret too, as it is for flytekit.
    """

    def __init__(self, *, folder: Path, files: SecretFiles, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._files = files
        self._environ = {name: text for name, text in environ.items() if name.startswith(_ENV_PREFIX)}

    def clear(self) -> None:
        """Remove what a backend that was killed left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def mount(self, task: TaskTemplate) -> Mount:
        """Return what an attempt of ``task`` gets; its files are made.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        wanted = task.security_context.secrets
        if not wanted:
            return _NOTHING
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        env = {_DIR_VARIABLE: str(folder), _FILE_PREFIX_VARIABLE: "", _ENV_PREFIX_VARIABLE: _ENV_PREFIX}
        for secret in wanted:
            value = self._find(secret)
            if value is not None:
                env.update(_as_variables(secret, value) if _is_variable(secret) else _as_file(secret, value, folder))
        return Mount(env=env, folder=folder)

    def missing(self, task: TaskTemplate) -> tuple[str, ...]:
        """Return a sentence for each secret of the task that is not there."""
        names = (_name_of(secret) for secret in task.security_context.secrets if self._find(secret) is None)
        return tuple(_advice(name) for name in names)

    def _find(self, secret: Secret) -> bytes | None:
        """Return the value; the spelling without a version serves for every version."""
        for name in _spellings(secret):
            value = self._files.read(name)
            if value is None and name.is_sound:
                text = self._environ.get(environment_name(name))
                value = None if text is None else os.fsencode(text)
            if value is not None:
                return value
        return None


def unmount(mount: Mount) -> None:
    """Remove the attempt's files."""
    if mount.folder is not None:
        shutil.rmtree(mount.folder, ignore_errors=True)


def _is_variable(secret: Secret) -> bool:
    return secret.mount_requirement == Secret.ENV_VAR


def _name_of(secret: Secret) -> SecretName:
    return SecretName(group=secret.group, key=secret.key, version=secret.group_version)


def _spellings(secret: Secret) -> Iterator[SecretName]:
    """Yield the name with its version, if it has one, and the name without."""
    name = _name_of(secret)
    yield name
    if name.version:
        yield SecretName(group=name.group, key=name.key)


def _as_variables(secret: Secret, value: bytes) -> dict[str, str]:
    text = os.fsdecode(value.rstrip(b"\r\n").replace(b"\0", b""))  # no variable can hold a NUL
    env = {environment_name(name): text for name in _spellings(secret)}
    return env | ({secret.env_var: text} if secret.env_var else {})


def _as_file(secret: Secret, value: bytes, folder: Path) -> dict[str, str]:
    paths = [folder.joinpath(*name.parts) for name in _spellings(secret)]
    for path in paths:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(value)
        path.chmod(0o600)
    return {secret.env_var: str(paths[-1])} if secret.env_var else {}


def _advice(name: SecretName) -> str:
    version = f" --version {name.version}" if name.version else ""
    return (
        f"The task asks for the secret with group {name.group!r} and key {name.key!r}, which this backend does not"
        f" have: set it with `hydraflyte secrets set {name.group} {name.key}{version}`."
    )
