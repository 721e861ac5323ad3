"""The files that a builder gets to see: a build context after its ignore rules, with a digest; and a copy of it.

`.dockerignore` decides first, then `.flyteignore`; git's bookkeeping, caches and the results of earlier runs stay out,
else every launch would look like a change. One rule: builders get the copy, so that nothing gets into an image that the
digest does not cover.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.code.files import BundledFile, FileSet, read_chunks
from hydraflyte.launcher.code.ignore import IgnoreRules, structural_rule
from hydraflyte.launcher.images.dockerignore import DockerIgnore, read_docker_ignore
from hydraflyte.launcher.images.layers import cannot_write

_NEVER_WANTED = frozenset({
    ".git", ".hg", ".svn", ".jj", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".ipynb_checkpoints", ".hypothesis", ".hydra",
})  # fmt: skip

_USUAL_MODES = frozenset({0o644, 0o664, 0o755, 0o775})


def collect_context(context: Path, dockerfile: Path) -> FileSet:
    """Return what a builder gets of the folder ``context``, with all links kept as links.

    Raises:
        ImageError: the context is no folder, or an ignore file cannot be read.
        PackagingError: a file cannot be read.
    """
    root = Path(os.path.abspath(context))
    if not root.is_dir():
        raise ImageError(f"The build context {root} is no folder.", hint="Correct docker_context; it is a folder.")
    rules = IgnoreRules(user_names=(".flyteignore",))
    found = _below(root, "", rules, read_docker_ignore(root, dockerfile))
    return FileSet(root=root, files=tuple(sorted(found, key=lambda file: os.fsencode(file.name))), ignored=())


def stage_context(files: FileSet, into: Path) -> None:
    """Make a copy of the context in the new folder ``into``; by hard links where that is possible.

    Raises:
        ImageError: it cannot be written, or a file is gone.
    """
    try:
        into.mkdir(parents=True)
        for file in files.files:
            target = into / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.link_target is not None:
                target.symlink_to(file.link_target)
            else:
                _linked_or_copied(file.path, target)
    except OSError as error:
        raise cannot_write(into, error) from error


def refuse_changes(files: FileSet, staged: Path) -> None:
    """Return if the copy still has the content that was collected; links share it with the files of the user.

    Raises:
        ImageError: a file was written to in the meantime: the image may hold anything.
    """
    for file in files.files:
        if file.link_target is None and _digest(staged / file.name, file.name) != file.sha256:
            raise changed_meanwhile(file.path)


def changed_meanwhile(path: Path) -> ImageError:
    """Return the error for a file that the builder may have seen in two forms."""
    return ImageError(
        f"{path} changed while the image was built; the image is not used.",
        hint="Run the command again; if a running program writes this file, add it to .dockerignore.",
    )


def unusual_modes(files: FileSet) -> dict[str, str]:
    """Return the modes that builders take over, where they are not just what some umask makes of a file."""
    modes = {file.name: stat.S_IMODE(file.path.lstat().st_mode) for file in files.files if file.link_target is None}
    return {name: oct(mode) for name, mode in modes.items() if mode not in _USUAL_MODES}


def _digest(path: Path, name: str) -> str:
    hasher = hashlib.sha256()
    for chunk in read_chunks(path, name):
        hasher.update(chunk)
    return hasher.hexdigest()


def _linked_or_copied(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _below(directory: Path, name: str, rules: IgnoreRules, docker: DockerIgnore) -> Iterator[BundledFile]:
    entries = _listed(directory)
    names = [entry.name for entry in entries if entry.name != ".gitignore"]  # git's rules are not the builder's
    rules = rules.entering(directory, name, names)
    for entry in entries:
        path = f"{name}/{entry.name}" if name else entry.name
        is_directory = entry.is_dir(follow_symlinks=False)
        if is_directory and not _is_walked(entry, path, rules, docker):
            continue
        if is_directory:
            yield from _below(Path(entry.path), path, rules, docker)
        elif not docker.leaves_out(path) and _is_wanted(entry.name, rules.opinion(path, is_directory=False)):
            yield from _file(Path(entry.path), path)


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise ImageError(
            f"{directory} belongs to the build context and cannot be read: {error.strerror}.",
            hint="Make it readable, or add it to .dockerignore.",
        ) from error


def _is_walked(entry: os.DirEntry[str], path: str, rules: IgnoreRules, docker: DockerIgnore) -> bool:
    if docker.leaves_out(path) and not docker.may_take_back:
        return False
    opinion = rules.opinion(path, is_directory=True)
    if opinion is not None:
        return opinion or rules.reopens(path)
    if (
        entry.name in _NEVER_WANTED
        or structural_rule(path, [each.name for each in _listed(Path(entry.path))]) is not None
    ):
        return rules.reopens(path)
    return True


def _is_wanted(name: str, opinion: bool | None) -> bool:
    return opinion if opinion is not None else name not in _NEVER_WANTED and not name.endswith(".pyc")


def _file(path: Path, name: str) -> Iterator[BundledFile]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(path)
        yield BundledFile(
            name=name,
            path=path,
            size_bytes=0,
            is_executable=False,
            sha256=hashlib.sha256(os.fsencode(target)).hexdigest(),
            link_target=target,
        )
    elif stat.S_ISREG(status.st_mode):
        yield BundledFile(
            name=name,
            path=path,
            size_bytes=status.st_size,
            is_executable=bool(status.st_mode & stat.S_IXUSR),
            sha256=_digest(path, name),
        )
