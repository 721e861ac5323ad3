"""Which paths below a source root stay out of the code bundle, and which pattern says so.

Three layers, the first that has an opinion wins: the user's ignore files (`.flyteignore`), the `.gitignore` files,
hydraflyte's defaults. Inside a layer the file nearest to the path wins, and inside a file the last matching line,
as in git. Reads ignore files and nothing else; it does not walk and does not know about archives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathspec import GitIgnoreSpec, RegexPattern

from hydraflyte.errors import PackagingError
from hydraflyte.home import HOME_MARK

DEFAULT_ORIGIN = "hydraflyte's defaults"

_DIRECTORIES = frozenset({
    ".git", ".hg", ".svn", ".jj",
    "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".cache", ".ipynb_checkpoints", ".hypothesis",
    ".venv", "venv", ".tox", ".nox", ".eggs", "node_modules", ".idea", ".vscode",
    ".hydra", "wandb", "mlruns", "lightning_logs",
})  # fmt: skip
SWEEP_MARK = ".sweep.lock"
"""A file in the folder of every sweep: what jobs write is no code, and must not make another version of it."""
_RESULTS = frozenset({"outputs", "multirun"})  # Hydra's default output folders, unless they are packages
_ROOT_DIRECTORIES = frozenset({"build", "dist"})  # deeper down they are common package names
_FILES = frozenset({".git", ".DS_Store", ".coverage", ".env", "multirun.yaml", "flyte-package.tgz", "nohup.out"})
"""`.git` is a file in worktrees and submodules; `.env` holds secrets, which do not travel with code."""
_SUFFIXES = (".pyc", ".pyo", ".log", ".artifact")
"""`.log`: with hydra.run.dir=. every run would else change the version; `.artifact`: packages of this very code."""
_DIRECTORY_SUFFIXES = (".egg-info",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The pattern that leaves a path out.

    Attributes:
        pattern: the line as written, or a short reason in words.
        origin: the ignore file it stands in, relative to the source root, or ``DEFAULT_ORIGIN``.
    """

    pattern: str
    origin: str


class _Line:
    """One pattern, matched against one path as git does: for itself, not for what lies below a match.

    pathspec's patterns match all that is below, too; with a negation in between, that is not the same.
    """

    def __init__(self, text: str, pattern: RegexPattern) -> None:
        self.text = text
        self.leaves_out = bool(pattern.include)
        body = text.removeprefix("!").rstrip()
        self._directories_only = body.endswith("/")
        self.parts = body.strip("/").split("/")
        self._is_anchored = "/" in body.rstrip("/")
        self._pattern = pattern
        self._tail: RegexPattern | None = None
        self._tail_length = len(self.parts)
        if "**" in self.parts:
            tail = self.parts[len(self.parts) - self.parts[::-1].index("**") :]
            self._tail_length = len(tail)
            self._tail = _patterns(["/" + "/".join(tail)])[0] if tail else None

    def matches(self, name: str, *, is_directory: bool) -> bool:
        """Tell whether the pattern means ``name`` itself (relative to the ignore file, without a slash at the end)."""
        if self._directories_only and not is_directory:
            return False
        end = "/" if is_directory else ""
        if not self._is_anchored:
            return self._pattern.match_file(name.rpartition("/")[2] + end) is not None
        if self._pattern.match_file(name + end) is None:
            return False
        parts = name.split("/")
        if "**" not in self.parts:
            return len(parts) == self._tail_length
        if self._tail is None:  # ends in `**`, which means something below, not the directory itself
            return len(parts) > sum(part != "**" for part in self.parts)
        return self._tail.match_file("/".join(parts[-self._tail_length :])) is not None

    def fixed_parts(self) -> list[str]:
        """Return the leading folders and names without wildcards."""
        wild = [at for at, part in enumerate(self.parts) if any(character in part for character in "*?[")]
        return self.parts[: wild[0]] if wild else self.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One ignore file. ``base`` is its directory relative to the root; ``above`` the way from it down to the root."""

    base: str
    above: str
    lines: tuple[_Line, ...]
    origin: str

    def opinion(self, name: str, *, is_directory: bool) -> _Line | None:
        """Return the last line that means ``name``."""
        relative = self.above + (name[len(self.base) + 1 :] if self.base else name)
        for line in reversed(self.lines):
            if line.matches(relative, is_directory=is_directory):
                return line
        return None

    def reopens(self, name: str) -> bool:
        """Tell whether a negated pattern that names a folder means something below the directory ``name``."""
        inside = (self.above + (name[len(self.base) + 1 :] if self.base else name)).split("/")
        for line in self.lines:
            if line.leaves_out or len(line.parts) < 2:
                continue
            fixed = line.fixed_parts()
            common = min(len(fixed), len(inside))
            is_open_ended = len(fixed) < len(line.parts)
            if fixed[:common] == inside[:common] and (len(fixed) > len(inside) or is_open_ended):
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRules:
    """The rules that hold inside one directory. Use :func:`rules_for`, then :meth:`entering` on the way down."""

    user_names: tuple[str, ...]
    user: tuple[_Layer, ...] = ()
    git: tuple[_Layer, ...] = ()

    def entering(self, directory: Path, name: str, entries: Iterable[str]) -> IgnoreRules:
        """Return the rules inside ``directory`` (``name`` relative to the root), with its own ignore files added."""
        here = set(entries)
        user = [directory / file for file in self.user_names if file in here]
        git = [directory / ".gitignore"] if ".gitignore" in here else []
        return self._with(user, git, base=name) if user or git else self

    def why_ignored(self, name: str, *, is_directory: bool, inherited: Rule | None = None) -> Rule | None:
        """Return the rule that leaves ``name`` (relative to the root, with ``/``) out, or ``None`` if it stays in.

        Args:
            name: the path.
            is_directory: whether it is a directory.
            inherited: the rule that leaves out a directory above it; only a negated pattern of the user helps then.
        """
        for layer in self.user:
            line = layer.opinion(name, is_directory=is_directory)
            if line is not None:
                return Rule(pattern=line.text, origin=layer.origin) if line.leaves_out else None
        if inherited is not None:
            return inherited
        for layer in self.git:
            line = layer.opinion(name, is_directory=is_directory)
            if line is not None:
                return Rule(pattern=line.text, origin=layer.origin) if line.leaves_out else None
        return _default_rule(name, is_directory=is_directory)

    def opinion(self, name: str, *, is_directory: bool) -> bool | None:
        """Tell what the user's ignore files alone say: ``True`` keep it, ``False`` leave it out, ``None`` nothing."""
        for layer in self.user:
            line = layer.opinion(name, is_directory=is_directory)
            if line is not None:
                return not line.leaves_out
        return None

    def keeps(self, name: str) -> bool:
        """Tell whether the user's ignore files say that the directory ``name`` is to be taken."""
        opinions = [layer.opinion(name, is_directory=True) for layer in self.user]
        return any(not line.leaves_out for line in opinions if line is not None)

    def reopens(self, name: str) -> bool:
        """Tell whether a negated pattern of the user means something below the ignored directory ``name``."""
        return any(layer.reopens(name) for layer in self.user)

    def _with(self, user: Sequence[Path], git: Sequence[Path], *, base: str, above: str = "") -> IgnoreRules:
        new_user = tuple(_read(path, base, above) for path in user)
        new_git = tuple(_read(path, base, above) for path in git)
        return replace(self, user=new_user + self.user, git=new_git + self.git)


def rules_for(root: Path, ignore_files: Sequence[str]) -> IgnoreRules:
    """Return the rules that hold above ``root``: those of the enclosing git repository and of explicit ignore files.

    Args:
        root: the source root.
        ignore_files: names that are looked for in every directory (``.flyteignore``), or paths of single files
            (anything with a ``/``), whose patterns count from the root.

    Raises:
        PackagingError: an ignore file that was given by path does not exist or cannot be read.
    """
    names = tuple(file for file in ignore_files if "/" not in file)
    rules = IgnoreRules(user_names=names)
    for directory in reversed(_directories_up_to_repository(root)):
        above = root.relative_to(directory).as_posix() + "/"
        user = [directory / name for name in names if (directory / name).is_file()]
        git = [path for path in [directory / ".gitignore"] if path.is_file()]
        rules = rules._with(user, git, base="", above=above)
    explicit = [root / file for file in ignore_files if "/" in file]
    return rules._with(explicit, [], base="") if explicit else rules


def structural_rule(name: str, entries: Iterable[str]) -> Rule | None:
    """Return why the directory ``name`` is no source by its content: an environment, earlier results, a home."""
    here = set(entries)
    if "pyvenv.cfg" in here or "conda-meta" in here:
        return Rule(pattern="a Python environment", origin=DEFAULT_ORIGIN)
    if name.rpartition("/")[2] in _RESULTS and "__init__.py" not in here:
        return Rule(pattern=f"{name.rpartition('/')[2]}/", origin=DEFAULT_ORIGIN)
    if ".hydra" in here and not any(entry.endswith(".py") for entry in here):
        return Rule(pattern="the output folder of a Hydra job", origin=DEFAULT_ORIGIN)
    if SWEEP_MARK in here and not any(entry.endswith(".py") for entry in here):
        return Rule(pattern="the folder of a sweep", origin=DEFAULT_ORIGIN)
    if HOME_MARK in here:
        return Rule(pattern="the home of a backend", origin=DEFAULT_ORIGIN)
    return None


def _default_rule(name: str, *, is_directory: bool) -> Rule | None:
    last = name.rpartition("/")[2]
    if is_directory:
        if last in _DIRECTORIES or last.endswith(_DIRECTORY_SUFFIXES) or name in _ROOT_DIRECTORIES:
            return Rule(pattern=f"{last}/", origin=DEFAULT_ORIGIN)
    elif last in _FILES:
        return Rule(pattern=last, origin=DEFAULT_ORIGIN)
    elif last.endswith(_SUFFIXES):
        return Rule(pattern=f"*.{last.rpartition('.')[2]}", origin=DEFAULT_ORIGIN)
    return None


def _directories_up_to_repository(root: Path) -> list[Path]:
    """Return the directories strictly above ``root`` up to the top of its git repository; none outside of one."""
    if (root / ".git").exists():
        return []
    above: list[Path] = []
    for directory in root.parents:
        above.append(directory)
        if (directory / ".git").exists():
            return above
    return []


def _read(path: Path, base: str, above: str) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise PackagingError(
            f"The ignore file {path} cannot be read: {error.strerror}.",
            hint="Set hydra.launcher.workflow.ignore to an existing file in gitignore syntax.",
        ) from error
    texts = [line for line in text.splitlines() if line]
    lines = [_Line(line, pattern) for line, pattern in zip(texts, _patterns(texts), strict=True) if _counts(pattern)]
    name = path.name if not base else f"{base}/{path.name}"
    return _Layer(base=base, above=above, lines=tuple(lines), origin=name)


def _patterns(lines: Sequence[str]) -> Sequence[RegexPattern]:
    return list(GitIgnoreSpec.from_lines(lines).patterns)


def _counts(pattern: RegexPattern) -> bool:
    return pattern.include is not None  # None: a comment, or nothing
