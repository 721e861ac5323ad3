"""The files that make up one version of the user's code: what goes into the bundle, with a digest of each.

One rule: the same tree gives the same FileSet on every machine; times, owners, the umask and the order of a directory
play no part. Walks and reads, writes nothing; knows nothing of git, flytekit or archives.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from hydraflyte.errors import PackagingError
from hydraflyte.home import HOME_MARK
from hydraflyte.launcher.code.ignore import DEFAULT_ORIGIN, IgnoreRules, Rule, rules_for, structural_rule

_LOG = logging.getLogger(__name__)

WARN_BYTES = 20 * 1024 * 1024
LIMIT_BYTES = 1024 * 1024 * 1024
"""More than this is data, not code: every task of every execution would download it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledFile:
    """One file of the bundle.

    Attributes:
        name: path inside the bundle, with ``/``; bytes that are no UTF-8 are surrogate-escaped.
        path: where it lies on this machine.
        size_bytes: its size when it was hashed.
        is_executable: whether its owner may execute it; the only mode bit that is kept.
        sha256: hex digest of the content; of the target for a link.
        link_target: relative target of a link to a directory inside the bundle, else ``None``.
    """

    name: str
    path: Path
    size_bytes: int
    is_executable: bool
    sha256: str
    link_target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredPath:
    """A file or directory that was left out, with the rule that did it. Nothing below a directory is listed."""

    name: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """What :func:`collect_files` found, in the order of the names' bytes."""

    root: Path
    files: tuple[BundledFile, ...]
    ignored: tuple[IgnoredPath, ...]

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes before archiving."""
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """Hex SHA-256 over names, contents and executable bits."""
        hasher = hashlib.sha256()
        for file in self.files:
            kind = b"l" if file.link_target is not None else b"x" if file.is_executable else b"-"
            hasher.update(os.fsencode(file.name) + b"\0" + kind + file.sha256.encode())
        return hasher.hexdigest()

    def biggest(self, count: int = 5) -> tuple[BundledFile, ...]:
        """Return the ``count`` biggest files, the biggest first."""
        return tuple(sorted(self.files, key=lambda file: (-file.size_bytes, file.name))[:count])


class BundleSource(Protocol):
    """What is to be bundled; ``WorkflowSource`` and :class:`SourceTree` are two."""

    @property
    def source_root(self) -> Path: ...
    @property
    def extra_modules(self) -> Mapping[str, Path]: ...
    @property
    def chosen_files(self) -> tuple[Path, ...] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """A directory to bundle.

    Attributes:
        source_root: the directory whose content becomes the bundle's top.
        extra_modules: dotted module name -> its directory or file elsewhere; added under that name.
        chosen_files: files and directories below the root to take, where the root holds much else (a home
            directory); ``None`` takes the whole tree.
    """

    source_root: Path
    extra_modules: Mapping[str, Path] = field(default_factory=dict)
    chosen_files: tuple[Path, ...] | None = None


def collect_files(
    source: BundleSource, ignore_files: Sequence[str] = (".flyteignore",), *, limit_bytes: int = LIMIT_BYTES
) -> FileSet:
    """Return the files of the bundle: those below the source root that no rule leaves out, and the extra modules.

    Links to files become files with the target's content, so that the bundle is complete. Links to directories inside
    the root stay links; those that lead out of it are left out. Sockets, pipes, devices and the files that this process
    prints to are left out.

    Raises:
        PackagingError: the root is not one to archive, a file cannot be read, or the tree is over ``limit_bytes``.
    """
    root = Path(os.path.abspath(source.source_root))
    _refuse_unfit_root(root, source.chosen_files)
    walk = _Walk(root=root, written_here=_printed_to())
    rules = rules_for(root, ignore_files)
    if source.chosen_files is None:
        walk.directory(root, "", rules)
    else:
        for path in source.chosen_files:
            walk.chosen(path, rules)
    for name, path in source.extra_modules.items():
        walk.extra_module(name, path, ignore_files)
    walk.drop_links_to_nothing()
    _check_size(walk.found, limit_bytes)
    files = sorted((_hashed(found) for found in walk.found.values()), key=lambda file: os.fsencode(file.name))
    ignored = sorted(walk.ignored.values(), key=lambda path: os.fsencode(path.name))
    return FileSet(root=root, files=tuple(files), ignored=tuple(ignored))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    name: str
    path: Path
    size_bytes: int
    is_executable: bool
    link_target: str | None = None


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One pass over the tree; collects without reading any content.

    Attributes:
        written_here: device and inode of the files that this process prints to; they grow while they are read.
    """

    root: Path
    written_here: frozenset[tuple[int, int]]
    found: dict[str, _Found] = field(default_factory=dict)
    ignored: dict[str, IgnoredPath] = field(default_factory=dict)

    def directory(
        self, path: Path, name: str, rules: IgnoreRules, inherited: Rule | None = None, *, is_kept: bool = False
    ) -> None:
        """Add what lies below ``path``.

        Args:
            path: the directory.
            name: its path inside the bundle; empty for the root.
            rules: the ignore rules around it.
            inherited: the rule that ignores it; then only what a negation means is taken.
            is_kept: whether the user's ignore files bring it, or a directory above it, back.
        """
        entries = _listed(path)
        names = [entry.name for entry in entries]
        is_kept = is_kept or (bool(name) and rules.keeps(name))
        rules = rules.entering(path, name, names)
        if name and inherited is None and not is_kept:
            inherited = structural_rule(name, names)
            if inherited is not None and not rules.reopens(name):
                self._leave_out(name, inherited)
                return
        for entry in entries:
            self._entry(entry, f"{name}/{entry.name}" if name else entry.name, rules, inherited, is_kept)

    def chosen(self, path: Path, rules: IgnoreRules) -> None:
        """Add one file or directory that was chosen by name."""
        name = path.relative_to(self.root).as_posix()
        if path.is_dir():
            self.directory(path, name, rules)
        elif path.is_file():
            self._file(path, name)

    def extra_module(self, name: str, path: Path, ignore_files: Sequence[str]) -> None:
        """Add a module from elsewhere: a link where the bundle holds its directory already, else a copy."""
        is_directory = path.is_dir()
        top = name.replace(".", "/") + ("" if is_directory else path.suffix)
        if top in self.found or self._holds(top):
            raise PackagingError(
                f"The code imports {name} from {path}, but the source root {self.root} has another {top}.",
                hint=f"Rename one of them, or remove the directory of {path} from PYTHONPATH.",
            )
        inside = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None
        if is_directory and inside is not None and self._holds(inside):
            target = os.path.relpath(inside, os.path.dirname(top))
            self.found[top] = _Found(name=top, path=path, size_bytes=0, is_executable=False, link_target=target)
        elif is_directory:
            self.directory(path, top, rules_for(path, ignore_files))
        else:
            self._file(path, top)

    def drop_links_to_nothing(self) -> None:
        """Leave out the links to directories of which the bundle holds nothing; call it last."""
        for found in [found for found in self.found.values() if found.link_target is not None]:
            target = os.path.normpath(os.path.join(os.path.dirname(found.name), found.link_target or ""))
            if target != "." and not self._holds(target):
                del self.found[found.name]
                self._leave_out(
                    found.name, Rule(pattern="a link to a directory that is left out", origin=DEFAULT_ORIGIN)
                )

    def _holds(self, directory: str) -> bool:
        return any(name.startswith(f"{directory}/") for name in self.found)

    def _entry(
        self, entry: os.DirEntry[str], name: str, rules: IgnoreRules, inherited: Rule | None, is_kept: bool
    ) -> None:
        is_directory = entry.is_dir(follow_symlinks=True)
        rule = rules.why_ignored(name, is_directory=is_directory, inherited=inherited)
        if name == "__init__.py":
            rule = Rule(pattern="the bundle's top is no package", origin=DEFAULT_ORIGIN)
        path = Path(entry.path)
        if rule is not None and not (is_directory and rules.reopens(name)):
            self._leave_out(name, rule)
        elif is_directory and entry.is_symlink():
            self._directory_link(path, name)
        elif is_directory:
            self.directory(path, name, rules, rule, is_kept=is_kept)
        else:
            self._file(path, name)

    def _file(self, path: Path, name: str) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            self._leave_out(name, Rule(pattern="a link to nothing", origin=DEFAULT_ORIGIN))
            return
        except OSError as error:
            _cannot_read(path, name, error)
        if not stat.S_ISREG(status.st_mode):
            self._leave_out(name, Rule(pattern="a socket, pipe or device", origin=DEFAULT_ORIGIN))
            return
        if (status.st_dev, status.st_ino) in self.written_here:
            self._leave_out(name, Rule(pattern="what this very program prints", origin=DEFAULT_ORIGIN))
            return
        executable = bool(status.st_mode & stat.S_IXUSR)
        self.found[name] = _Found(name=name, path=path, size_bytes=status.st_size, is_executable=executable)

    def _directory_link(self, path: Path, name: str) -> None:
        real_root = os.path.realpath(self.root)
        target = os.path.realpath(path)
        if target != real_root and not target.startswith(real_root + os.sep):
            self._leave_out(name, Rule(pattern="a link to a directory outside the source root", origin=DEFAULT_ORIGIN))
            return
        relative = os.path.relpath(target, os.path.join(real_root, os.path.dirname(name)))
        self.found[name] = _Found(name=name, path=path, size_bytes=0, is_executable=False, link_target=relative)

    def _leave_out(self, name: str, rule: Rule) -> None:
        self.ignored[name] = IgnoredPath(name=name, rule=rule)


def _printed_to() -> frozenset[tuple[int, int]]:
    """Return device and inode of the files that standard output and standard error of this process go to."""
    found = []
    for descriptor in (1, 2):
        with suppress(OSError):  # closed
            found.append(os.fstat(descriptor))
    return frozenset((each.st_dev, each.st_ino) for each in found if stat.S_ISREG(each.st_mode))


def _listed(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        _cannot_read(path, path.name, error)


def _cannot_read(path: Path, name: str, error: OSError) -> NoReturn:
    raise PackagingError(
        f"{path} belongs to the code bundle but cannot be read: {error.strerror}.",
        hint=f"Make it readable (chmod u+r), or add the line /{name} to .flyteignore.",
    ) from error


def _hashed(found: _Found) -> BundledFile:
    if found.link_target is not None:
        digest = hashlib.sha256(os.fsencode(found.link_target)).hexdigest()
        size = 0
    else:
        digest, size = _digest_of(found)
    return BundledFile(
        name=found.name,
        path=found.path,
        size_bytes=size,
        is_executable=found.is_executable,
        sha256=digest,
        link_target=found.link_target,
    )


def _digest_of(found: _Found) -> tuple[str, int]:
    hasher = hashlib.sha256()
    size = 0
    for chunk in read_chunks(found.path, found.name):
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def read_chunks(path: Path, name: str) -> Iterator[bytes]:
    """Yield the content of a bundled file.

    Raises:
        PackagingError: it cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(1024 * 1024):
                yield chunk
    except OSError as error:
        _cannot_read(path, name, error)


def _check_size(found: Mapping[str, _Found], limit_bytes: int) -> None:
    total = sum(file.size_bytes for file in found.values())
    if total <= WARN_BYTES:
        return
    biggest = sorted(found.values(), key=lambda file: -file.size_bytes)[:5]
    names = ", ".join(f"{file.name} ({_megabytes(file.size_bytes)})" for file in biggest)
    advice = "Add what the tasks do not need to .flyteignore (gitignore syntax)."
    if total > limit_bytes:
        raise PackagingError(
            f"The code bundle would hold {_megabytes(total)} in {len(found)} files; the biggest: {names}.", hint=advice
        )
    _LOG.warning(
        "The code bundle holds %s in %d files; the biggest: %s. %s", _megabytes(total), len(found), names, advice
    )


def size_text(size_bytes: int) -> str:
    """Return a size in words; what is smaller than a kB is told in bytes.

    Example:
        >>> size_text(87), size_text(3000)
        ('87 bytes', '3 kB')
    """
    return f"{size_bytes} bytes" if size_bytes < 1024 else f"{size_bytes / 1024:.0f} kB"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.1f} MB"


def _refuse_unfit_root(root: Path, chosen_files: tuple[Path, ...] | None) -> None:
    if not root.is_dir():
        raise PackagingError(f"The source root {root} is not a directory.", hint="Check that the script still exists.")
    if (root / HOME_MARK).exists():
        raise PackagingError(
            f"The source root {root} is the home of a backend, with its key: it is not archived.",
            hint="Move the script into a directory of its own.",
        )
    if chosen_files is None and is_too_broad(root):
        raise PackagingError(
            f"The source root {root} holds far more than this project's code; it is not archived as a whole.",
            hint="Move the script into a directory of its own.",
        )


def is_too_broad(root: Path) -> bool:
    """Tell whether ``root`` is a directory that nobody means to archive as a whole.

    True for the file system's root, the home directory and what lies above it, the temporary directory, and
    directories of installed packages.
    """
    real = Path(os.path.realpath(root))
    home = Path(os.path.realpath(Path.home()))
    temporary = Path(os.path.realpath(tempfile.gettempdir()))
    if real in (home, temporary, Path("/tmp")) or real in home.parents:
        return True
    return real.name in ("site-packages", "dist-packages")
