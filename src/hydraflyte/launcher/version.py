"""The version under which everything of one launch is registered, and why it is that one.

One rule: the same tree gives the same version, and another tree another one. Given by the user, else branch and commit,
else a hash of the content. Runs git through `git.py`; knows nothing of flytekit.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import VersionError
from hydraflyte.launcher.code.files import BundledFile, FileSet
from hydraflyte.launcher.code.git import GitState, NoGit, read_diff, read_state

MAX_LENGTH = 128
_COMMIT_LENGTH = 12
_HASH_LENGTH = 12
_BRANCH_LENGTH = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the code came from; kept with the run.

    Attributes:
        commit: full hash of HEAD, or ``None`` without git.
        branch: branch name as git has it, or ``None``.
        tags: tags of the commit.
        remote: where the repository was cloned from, without user names and passwords, or ``None``.
        uncommitted: bundled files that are not as in the commit, sorted; empty when clean or without git.
        diff: git's difference for those that it tracks, cut off after 1 MB; the others are in the bundle as they are.
        content_digest: hex SHA-256 of the bundled files; empty without files.
        content_key: what else decided the registered content, as it was given.
    """

    commit: str | None
    branch: str | None
    tags: tuple[str, ...]
    remote: str | None
    uncommitted: tuple[str, ...]
    diff: str
    content_digest: str
    content_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of the user's code.

    Attributes:
        text: what is registered first.
        reason: one sentence that says where it comes from.
        provenance: the state of the tree behind it.
        qualified: the version to register instead when ``text`` already exists with other content although the tree
            is the same, i.e. when only settings differ (image, environment, flytekit). Equal to ``text`` where the
            text already covers the settings, or was given.
    """

    text: str
    reason: str
    provenance: Provenance
    qualified: str


def resolve_version(*, given: str | None, source_root: Path, files: FileSet | None, content_key: str = "") -> Version:
    """Return the version: given > git's branch and commit (with a hash of what is not committed) > content hash.

    Args:
        given: ``workflow.version`` of the config; used as it is.
        source_root: where to ask git.
        files: the bundled files; they alone decide what counts as uncommitted. ``None`` when no bundle is made.
        content_key: everything else that determines the registered content, in a canonical form: image names,
            flytekit's version, settings.

    Raises:
        VersionError: the given version cannot be a Flyte version, or nothing is there to derive one from.
    """
    if given is not None:
        return _given(given, source_root, files, content_key)
    state = read_state(source_root)
    if isinstance(state, NoGit):
        return _from_content(state, files, content_key)
    uncommitted = _uncommitted(state, files)
    if uncommitted:
        return _from_dirty_tree(state, source_root, uncommitted, files, content_key)
    return _from_commit(state, files, content_key)


def check_is_clean(version: Version, domain: str) -> None:
    """Check that what is registered is what a commit holds.

    Raises:
        VersionError: it is not; names every file.
    """
    provenance = version.provenance
    if provenance.commit is None:
        raise VersionError(
            f"The domain {domain} takes only committed code (hydra.launcher.workflow.require_clean), "
            "and this code is in no git repository with a commit.",
            hint="launch from a clone, or name a version that is registered there (hydra.launcher.workflow.version).",
        )
    if provenance.uncommitted:
        lines = "\n".join(f"  - {name}" for name in provenance.uncommitted)
        raise VersionError(
            f"The domain {domain} takes only committed code (hydra.launcher.workflow.require_clean), and these files "
            f"of the code bundle are not as in the commit {provenance.commit[:_COMMIT_LENGTH]}:\n{lines}",
            hint="commit them, or keep them out of the bundle with a .flyteignore file.",
        )


def _given(given: str, root: Path, files: FileSet | None, content_key: str) -> Version:
    if len(given) > MAX_LENGTH or not _VALID.fullmatch(given):
        raise VersionError(
            f"{given!r} cannot be a Flyte version: up to {MAX_LENGTH} letters, digits, '.', '_', '+' or '-', "
            "beginning with a letter or digit.",
            hint="Set hydra.launcher.workflow.version to such a name, or leave it out to take it from git.",
        )
    state = read_state(root)
    if isinstance(state, NoGit):
        provenance = _provenance(None, files, content_key)
    else:
        uncommitted = _uncommitted(state, files)
        diff = _diff(state, root, uncommitted)
        provenance = _provenance(state, files, content_key, uncommitted, diff)
    return Version(text=given, reason="given by workflow.version", provenance=provenance, qualified=given)


def _from_commit(state: GitState, files: FileSet | None, content_key: str) -> Version:
    text = _commit_text(state)
    qualified = f"{text}-{_hash(content_key)}" if content_key else text
    return Version(
        text=text,
        reason=f"from git: {_head(state)}, nothing uncommitted among the bundled files",
        provenance=_provenance(state, files, content_key),
        qualified=qualified,
    )


def _from_dirty_tree(
    state: GitState, root: Path, uncommitted: tuple[str, ...], files: FileSet | None, content_key: str
) -> Version:
    by_name = {file.name: file for file in files.files} if files else {}
    content = "\n".join(f"{name}\0{_fingerprint(by_name.get(name))}" for name in uncommitted)
    text = f"{_commit_text(state)}-dirty-{_hash(content + content_key)}"
    listed = ", ".join(uncommitted[:3]) + (", …" if len(uncommitted) > 3 else "")
    return Version(
        text=text,
        reason=f"from git: {_head(state)}, with {len(uncommitted)} uncommitted of the bundled files ({listed})",
        provenance=_provenance(state, files, content_key, uncommitted, _diff(state, root, uncommitted)),
        qualified=text,
    )


def _from_content(why: NoGit, files: FileSet | None, content_key: str) -> Version:
    if files is None:
        raise VersionError(
            f"No version can be derived: {why.reason}, and no code bundle is made.",
            hint="Set hydra.launcher.workflow.version, or commit the code to git.",
        )
    text = f"content-{_hash(files.digest + content_key)}"
    return Version(
        text=text,
        reason=f"from the bundled files' content, because {why.reason}",
        provenance=_provenance(None, files, content_key),
        qualified=text,
    )


def _diff(state: GitState, root: Path, uncommitted: tuple[str, ...]) -> str:
    """Return git's difference for the bundled files alone: what stays out of the bundle may well be a secret."""
    tracked = [name for name in uncommitted if name in state.changed]
    return read_diff(root, tracked) if tracked else ""


def _uncommitted(state: GitState, files: FileSet | None) -> tuple[str, ...]:
    """Return the bundled files that are not as in HEAD, and tracked files that are gone."""
    if files is None:
        return tuple(sorted(state.changed))
    bundled = {file.name for file in files.files}
    ignored = {path.name for path in files.ignored}
    new = bundled - state.tracked
    changed = {name for name in bundled & state.tracked if _is_within(name, state.changed)}
    gone = {
        name for name in state.changed - bundled if not _is_within(name, ignored) and not (files.root / name).exists()
    }
    return tuple(sorted(new | changed | gone))


def _is_within(name: str, names: set[str] | frozenset[str]) -> bool:
    """Tell whether ``name`` or a directory above it is among ``names``."""
    if name in names:
        return True
    return any(name[:at] in names for at, character in enumerate(name) if character == "/")


def _fingerprint(file: BundledFile | None) -> str:
    return "gone" if file is None else f"{file.sha256}{'x' if file.is_executable else ''}"


def _commit_text(state: GitState) -> str:
    commit = state.commit[:_COMMIT_LENGTH]
    name = state.branch or (state.tags[0] if state.tags else "detached")
    safe = _UNSAFE.sub("-", name)[:_BRANCH_LENGTH].strip("-._")
    return f"{safe}-{commit}" if safe else f"git-{commit}"


def _head(state: GitState) -> str:
    if state.branch:
        return f"branch {state.branch} at {state.commit[:_COMMIT_LENGTH]}"
    tag = f" (tag {state.tags[0]})" if state.tags else ""
    return f"detached HEAD at {state.commit[:_COMMIT_LENGTH]}{tag}"


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:_HASH_LENGTH]


def _provenance(
    state: GitState | None, files: FileSet | None, content_key: str, uncommitted: tuple[str, ...] = (), diff: str = ""
) -> Provenance:
    return Provenance(
        commit=state.commit if state else None,
        branch=state.branch if state else None,
        tags=state.tags if state else (),
        remote=state.remote if state else None,
        uncommitted=uncommitted,
        diff=diff,
        content_digest=files.digest if files else "",
        content_key=content_key,
    )
