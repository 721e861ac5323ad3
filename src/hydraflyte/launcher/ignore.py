"""Which paths below a source root stay out of the code bundle, and which pattern says so.

Three layers, the first that has an opinion wins: the user's ignore files (`.flyteignore`), the `.gitignore` files,
hydraflyte's defaults. Inside a layer the file nearest to the path wins, and inside a file the last matching line,
as in git. Reads ignore files and nothing else; it does not walk and does not know about archives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathspec import GitIgnoreSpec

from hydraflyte.errors import PackagingError

DEFAULT_ORIGIN = "hydraflyte's defaults"

_DIRECTORIES = frozenset({
    ".git", ".hg", ".svn", ".jj",
    "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".cache", ".ipynb_checkpoints", ".hypothesis",
    ".venv", "venv", ".tox", ".nox", ".eggs", "node_modules", ".idea", ".vscode",
    ".hydra", "wandb", "mlruns", "lightning_logs",
})  # fmt: skip
_RESULTS = frozenset({"outputs", "multirun"})  # Hydra's default output folders, unless they are packages
_ROOT_DIRECTORIES = frozenset({"build", "dist"})  # deeper down they are common package names
_FILES = frozenset({".git", ".DS_Store", ".coverage", ".env", "multirun.yaml"})
"""`.git` is a file in worktrees and submodules; `.env` holds secrets, which do not travel with code."""
_SUFFIXES = (".pyc", ".pyo", ".log")  # .log: with hydra.run.dir=. every run would otherwise change the version
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One ignore file. ``base`` is its directory relative to the root; ``above`` the way from it down to the root."""

    base: str
    above: str
    spec: GitIgnoreSpec
    lines: tuple[str, ...]
    origin: str

    def opinion(self, name: str) -> tuple[bool, str] | None:
        """Return (left out?, pattern) of the last line that matches, or ``None``."""
        relative = self.above + (name[len(self.base) + 1 :] if self.base else name)
        result = self.spec.check_file(relative)
        if result.include is None or result.index is None:
            return None
        return result.include, self.lines[result.index]

    def reopens(self) -> Iterable[str]:
        """Yield the fixed leading folders of each negated pattern that names a folder."""
        for line in self.lines:
            pattern = line.strip().rstrip("/")
            if not pattern.startswith("!") or "/" not in pattern[1:]:
                continue
            fixed = []
            for part in pattern[1:].strip("/").split("/"):
                if any(character in part for character in "*?["):
                    break
                fixed.append(part)
            below_root = "/".join(fixed)
            if below_root.startswith(self.above):
                below_root = below_root[len(self.above) :]
                yield f"{self.base}/{below_root}" if self.base else below_root


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRules:
    """The rules that hold inside one directory. Use :func:`rules_for`, then :meth:`entering` on the way down."""

    user_names: tuple[str, ...]
    user: tuple[_Layer, ...] = ()
    git: tuple[_Layer, ...] = ()
    reopened: tuple[str, ...] = ()

    def entering(self, directory: Path, name: str, entries: Iterable[str]) -> IgnoreRules:
        """Return the rules inside ``directory`` (``name`` relative to the root), with its own ignore files added."""
        here = set(entries)
        user = [directory / file for file in self.user_names if file in here]
        git = [directory / ".gitignore"] if ".gitignore" in here else []
        return self._with(user, git, base=name) if user or git else self

    def why_ignored(self, name: str, *, is_directory: bool) -> Rule | None:
        """Return the rule that leaves ``name`` (relative to the root, with ``/``) out, or ``None`` if it stays in."""
        subject = f"{name}/" if is_directory else name
        for layer in (*self.user, *self.git):
            opinion = layer.opinion(subject)
            if opinion is not None:
                left_out, pattern = opinion
                return Rule(pattern=pattern, origin=layer.origin) if left_out else None
        return _default_rule(name, is_directory=is_directory)

    def reopens(self, name: str) -> bool:
        """Tell whether a negated pattern of the user names something below the ignored directory ``name``."""
        return any(kept.startswith(f"{name}/") for kept in self.reopened)

    def _with(self, user: Sequence[Path], git: Sequence[Path], *, base: str, above: str = "") -> IgnoreRules:
        new_user = tuple(_read(path, base, above) for path in user)
        new_git = tuple(_read(path, base, above) for path in git)
        reopened = tuple(kept for layer in new_user for kept in layer.reopens())
        return replace(self, user=new_user + self.user, git=new_git + self.git, reopened=self.reopened + reopened)


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
    """Return why the directory ``name`` is no source by its content: an environment, or results of earlier runs."""
    here = set(entries)
    if "pyvenv.cfg" in here or "conda-meta" in here:
        return Rule(pattern="a Python environment", origin=DEFAULT_ORIGIN)
    if name.rpartition("/")[2] in _RESULTS and "__init__.py" not in here:
        return Rule(pattern=f"{name.rpartition('/')[2]}/", origin=DEFAULT_ORIGIN)
    if ".hydra" in here and not any(entry.endswith(".py") for entry in here):
        return Rule(pattern="the output folder of a Hydra job", origin=DEFAULT_ORIGIN)
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
    lines = tuple(line for line in text.splitlines() if line)
    name = path.name if not base else f"{base}/{path.name}"
    return _Layer(base=base, above=above, spec=GitIgnoreSpec.from_lines(lines), lines=lines, origin=name)
