"""What git says about a directory. Reads only: no locks, no hooks, no prompts, no shell, and a time limit.

`read_state` returns a value or the reason why there is none; a directory without git is no error here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 20.0
_DIFF_LIMIT_BYTES = 1024 * 1024
_LONGEST_LIST_BYTES = 64 * 1024
"""Far below what a command line may hold anywhere."""
_SAFE = (
    "git",
    "--no-optional-locks",  # a reader must not take index.lock from the user's own git
    "--literal-pathspecs",
    "-c", "core.fsmonitor=false",  # would start a program that the repository names
    "-c", "core.untrackedCache=false",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GitState:
    """The repository as seen from one directory of it.

    Attributes:
        commit: full hash of HEAD.
        branch: the branch that HEAD is on, or ``None``.
        tags: tags that point at HEAD, sorted.
        tracked: names below the directory, relative to it, that git tracks (submodules included).
        changed: names below the directory whose content differs from HEAD; a submodule counts as one name.
        remote: address of the remote, ``origin`` if there are several, without user names and passwords; or ``None``.
    """

    commit: str
    branch: str | None
    tags: tuple[str, ...]
    tracked: frozenset[str]
    changed: frozenset[str]
    remote: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoGit:
    """Why git gives no version here, in words that fit after "because"."""

    reason: str


def read_state(directory: Path, *, timeout_s: float = _TIMEOUT_S) -> GitState | NoGit:
    """Return what git knows about ``directory``, or why it knows nothing."""
    queries: dict[str, Sequence[str]] = {
        "head": ("log", "-1", "--no-show-signature", "--decorate=full", "--format=%H%n%D"),
        "tracked": ("ls-files", "-z", "--recurse-submodules"),
        "remotes": ("config", "--null", "--get-regexp", r"^remote\..*\.url$"),
        "changed": ("diff", "--name-only", "-z", "--relative", "--no-renames", "--no-ext-diff", "HEAD", "--", "."),
    }
    try:
        running = {name: _start(directory, arguments) for name, arguments in queries.items()}
    except FileNotFoundError:
        return NoGit(reason="git is not installed")
    answers: dict[str, bytes] = {}
    failure: NoGit | None = None
    for name, process in running.items():
        try:
            output, error = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            failure = failure or NoGit(reason=f"git did not answer within {timeout_s:g} s")
            continue
        if process.returncode != 0 and name != "remotes":  # it fails where there is none
            failure = failure or NoGit(reason=_reason(error.decode(errors="replace")))
        answers[name] = output
    return failure or _state(answers)


def read_diff(directory: Path, names: Sequence[str]) -> str:
    """Return the difference between HEAD and those files below ``directory``, cut off after 1 MB."""
    if sum(len(name) + 1 for name in names) > _LONGEST_LIST_BYTES:
        return f"(the difference of {len(names)} files is not kept)\n"
    arguments = (
        "diff",
        "--relative",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "HEAD",
        "--",
        *names,
    )
    process = _start(directory, arguments)
    try:
        output, _ = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"(git did not write the difference within {_TIMEOUT_S:g} s)\n"
    text = output[:_DIFF_LIMIT_BYTES].decode(errors="backslashreplace")
    return text if len(output) <= _DIFF_LIMIT_BYTES else f"{text}\n(cut off: {len(output)} bytes)\n"


def _start(directory: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_SAFE, *arguments],
        cwd=directory,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _environment() -> dict[str, str]:
    """Return this process's environment without git's own variables: a hook or an outer git may have set GIT_DIR."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def _reason(error: str) -> str:
    if "not a git repository" in error:
        return "the source root is in no git repository"
    if "does not have any commits" in error or "bad revision 'HEAD'" in error:
        return "the git repository has no commit yet"
    first = error.strip().splitlines()
    return f"git refused: {first[0].removeprefix('fatal: ')}" if first else "git failed without a message"


def _state(answers: dict[str, bytes]) -> GitState:
    commit, _, decoration = os.fsdecode(answers["head"]).strip("\n").partition("\n")
    refs = [ref.strip() for ref in decoration.split(", ") if ref.strip()]
    branch = next((ref.removeprefix("HEAD -> refs/heads/") for ref in refs if ref.startswith("HEAD -> ")), None)
    tags = sorted(ref.removeprefix("tag: refs/tags/") for ref in refs if ref.startswith("tag: "))
    return GitState(
        commit=commit,
        branch=branch,
        tags=tuple(tags),
        tracked=_names(answers["tracked"]),
        changed=_names(answers["changed"]),
        remote=_remote(answers["remotes"]),
    )


def _remote(output: bytes) -> str | None:
    """Return the address of ``origin``, or else of the first remote; entries are ``key newline value NUL``."""
    entries = [os.fsdecode(entry).partition("\n") for entry in output.split(b"\0") if entry]
    addresses = {key: address for key, _, address in entries}
    address = addresses.get("remote.origin.url") or next(iter(addresses.values()), None)
    return None if address is None else re.sub(r"(?<=://)[^/@]*@", "", address).partition("?")[0]


def _names(output: bytes) -> frozenset[str]:
    return frozenset(os.fsdecode(name) for name in output.split(b"\0") if name)
