"""Where registered code and executions come from: facts for annotations, and one document for what is long.

One rule: nothing here decides anything, and no secret leaves in it. The annotations of the code stand on the main
launch plan and on every execution; those of the call (who, where, with which command line) belong to one launch.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.installed import installed_packages
from hydraflyte.launcher.redaction import command_line_without_secrets
from hydraflyte.launcher.version import Version

PREFIX = "hydraflyte.org/"
DOCUMENT = f"{PREFIX}provenance"
"""Annotation: where the document is."""
CODE_DIGEST = f"{PREFIX}code-digest"
COMMAND_LINE = f"{PREFIX}command-line"
USER = f"{PREFIX}user"
HOST = f"{PREFIX}host"
VERSIONS = f"{PREFIX}versions"
DOCUMENT_NAME = "provenance.json"
_OF_THE_CODE = ("git-remote", "git-commit", "git-branch", "git-tags", "git-uncommitted", "code-digest", "lock-file")
_LONGEST_VALUE = 2000
"""All annotations of a Kubernetes object share 256 KiB."""
_LOCK_FILES = (
    "uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "conda-lock.yml", "Pipfile.lock", "pylock.toml",
    "requirements.lock", "requirements.txt",
)  # fmt: skip
_DISTRIBUTIONS = {"flytekit": "flytekit", "hydra": "hydra-core", "omegaconf": "omegaconf", "hydraflyte": "hydraflyte"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFile:
    """The file that pins what the code needs, and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who launched, where, how, and with what.

    Attributes:
        command_line: as it can be typed again, without secrets.
        versions: name -> version of Python and of the packages that decide how things are registered.
    """

    command_line: str
    user: str
    host: str
    versions: Mapping[str, str]

    def annotations(self) -> dict[str, str]:
        """Return what an execution shows of its call."""
        return {
            COMMAND_LINE: _shortened(self.command_line),
            USER: self.user,
            HOST: self.host,
            VERSIONS: ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        }


def this_call() -> Call:
    """Return what this process says about itself."""
    return Call(
        command_line=command_line_without_secrets(sys.orig_argv),
        user=_user(),
        host=platform.node() or "unknown",
        versions=_versions(),
    )


def find_lock_file(source_root: Path) -> LockFile | None:
    """Return the lock file of the project: the first one upwards from the source root, up to the repository's top."""
    for folder in (source_root, *source_root.parents):
        for name in _LOCK_FILES:
            path = folder / name
            if path.is_file():
                return LockFile(name=name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        if (folder / ".git").exists():
            break
    return None


def code_annotations(version: Version, lock_file: LockFile | None) -> dict[str, str]:
    """Return what a launch plan shows of its code; empty values are left out."""
    origin = version.provenance
    facts = (
        origin.remote or "",
        origin.commit or "",
        origin.branch or "",
        " ".join(origin.tags),
        _listed(origin.uncommitted),
        origin.content_digest[:32],
        f"{lock_file.name} sha256:{lock_file.sha256[:32]}" if lock_file is not None else "",
    )
    pairs = zip(_OF_THE_CODE, facts, strict=True)
    return {f"{PREFIX}{key}": _shortened(value) for key, value in pairs if value}


def annotations_of_code(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return, of a launch plan's annotations, those that speak of its code and not of the call that registered it."""
    kept = (*(f"{PREFIX}{key}" for key in _OF_THE_CODE), DOCUMENT)
    return {key: annotations[key] for key in kept if key in annotations}


def document(version: Version, files: FileSet, lock_file: LockFile | None, call: Call) -> str:
    """Return everything that is known of the code and of the call that registers it, as JSON."""
    origin = version.provenance
    content = {
        "version": version.text,
        "reason": version.reason,
        "git": {
            "remote": origin.remote,
            "commit": origin.commit,
            "branch": origin.branch,
            "tags": list(origin.tags),
            "uncommitted": list(origin.uncommitted),
            "diff": origin.diff,
        },
        "files": {file.name: file.sha256 for file in files.files},
        "lock_file": {"name": lock_file.name, "sha256": lock_file.sha256} if lock_file is not None else None,
        "packages": installed_packages(),
        "call": {
            "command_line": call.command_line,
            "user": call.user,
            "host": call.host,
            "versions": dict(call.versions),
        },
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            versions[name] = version_of(distribution)
        except PackageNotFoundError:  # a source tree on PYTHONPATH has no metadata
            continue
    return versions


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run under ids that have no name
        return str(os.getuid())


def _listed(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:20])
    return f"{len(names)}: {shown}, …" if len(names) > 20 else f"{len(names)}: {shown}"


def _shortened(text: str) -> str:
    clean = text.encode("utf-8", errors="backslashreplace").decode()  # a file's name may be no text at all
    return clean if len(clean) <= _LONGEST_VALUE else f"{clean[: _LONGEST_VALUE - 1]}…"
