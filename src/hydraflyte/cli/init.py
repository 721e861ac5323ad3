"""``init DIR``: a project that works, to put one's own code into. Writes new files only, never over others."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from hydraflyte import __version__
from hydraflyte.cli.options import Verbs, add_json, print_json
from hydraflyte.errors import ConfigError

_TEMPLATES = Path(__file__).with_name("new_project")
_SUFFIX = ".template"
_HIDDEN = ("dockerignore", "flyteignore", "github", "gitignore")
"""Names that get a dot in front: with it, git and other tools would take them for this project's own."""
_PYTHON = "3.11"


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module."""
    init = verbs.add_parser("init", help="make a project that works: script, config tree, Dockerfile, CI files, tests")
    init.add_argument("directory", metavar="DIR", type=Path, help="folder to make; it may exist if it is empty")
    add_json(init)
    init.set_defaults(run=run_init)


def run_init(options: argparse.Namespace) -> int:
    """Write the files and say what to do with them."""
    directory = options.directory.expanduser().absolute()
    files = write_project(directory)
    if options.json:
        print_json({"directory": str(directory), "files": files})
        return 0
    for file in files:
        print(f"  {file}")
    print(f"\n$ cd {shlex.quote(str(options.directory))}\n$ python train.py -m model=small,large")
    return 0


def write_project(directory: Path) -> list[str]:
    """Write the project's files into ``directory``; returns their paths relative to it, sorted.

    Raises:
        ConfigError: there is something already, or it cannot be written.
    """
    _refuse_what_is_there(directory)
    values = {
        "@project@": re.sub(r"[^a-z0-9]+", "-", directory.name.lower()).strip("-") or "project",
        "@hydraflyte@": f"hydraflyte>={__version__}",
        "@python@": _PYTHON,
    }
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for template in sorted(_TEMPLATES.rglob(f"*{_SUFFIX}")):
            name = _name_of(template)
            text = template.read_text(encoding="utf-8")
            for mark, value in values.items():
                text = text.replace(mark, value)
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
            written.append(name)
    except OSError as error:
        raise ConfigError(
            f"The project cannot be written to {directory}: {error.strerror}.", hint="choose another folder."
        ) from error
    return sorted(written)


def _refuse_what_is_there(directory: Path) -> None:
    if directory.is_dir():
        found = sorted(path.name for path in directory.iterdir())
        if found:
            raise ConfigError(
                f"{directory} is not empty: it holds {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}.",
                hint="name a folder that does not exist yet, or an empty one.",
            )
    elif directory.exists() or directory.is_symlink():
        raise ConfigError(f"{directory} is there already and is no folder.", hint="name a folder.")


def _name_of(template: Path) -> str:
    """Return the path in the project of what a template is for."""
    parts = template.relative_to(_TEMPLATES).with_suffix("").parts
    return "/".join(f".{part}" if part in _HIDDEN else part for part in parts)
