"""Under which name each module can be imported elsewhere, and from which directory.

One rule: the process that runs now is the truth. A module keeps the name it was imported under, and its source root is
the directory that makes this name importable; only `__main__` needs a name of its own. Imports no user module.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydraflyte
from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.code.files import is_too_broad

_PROJECT_MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<origin>\.*[\w.]*)[ \t]+import\b|import[ \t]+(?P<names>[\w. ,\t]+))", re.M
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePlace:
    """A module as a new process would import it.

    Attributes:
        name: dotted name.
        file: absolute path of its source.
        root: the directory that must be on ``sys.path``.
        mapped: the directory of its outermost package if that bears another name; an editable installation maps it.
    """

    name: str
    file: Path
    root: Path
    mapped: Path | None = None


def place_of_namespace(namespace: Mapping[str, Any]) -> ModulePlace:
    """Return the place of the module whose globals are given; ``__main__`` gets the name that it can be imported by.

    Raises:
        DiscoveryError: it has no file (a notebook, ``python -c``), or no name can be given to the file.
    """
    file = namespace.get("__file__")
    if file is None:
        raise DiscoveryError(
            "The task function is defined in an interactive session (a notebook or `python -c`), not in a file.",
            hint="Move the workflow and the task function into a .py file and run it with `python file.py -m`.",
        )
    path = _absolute(file)
    if not path.is_file():
        raise DiscoveryError(
            f"The task function's file {path} does not exist as a file of its own (a zip archive?).",
            hint="Run the program from its unpacked source.",
        )
    spec = namespace.get("__spec__")
    name = namespace.get("__name__") if namespace.get("__name__") != "__main__" else spec.name if spec else None
    root = _root(name, path) if isinstance(name, str) else None
    if isinstance(name, str) and root is not None:
        return ModulePlace(name=name, file=path, root=root)
    return _place_of_script(path)


def place_of(name: str) -> ModulePlace | None:
    """Return the place of an imported module, or ``None`` if it is not imported or has no source under its name."""
    file = module_globals(name).get("__file__")
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    path = _absolute(file)
    root = _root(name, path)
    if root is not None:
        return ModulePlace(name=name, file=path, root=root)
    mapped = _mapped_package(name, path)
    return None if mapped is None else ModulePlace(name=name, file=path, root=mapped.parent, mapped=mapped)


def _mapped_package(name: str, file: Path) -> Path | None:
    """Return the directory that stands for the outermost package of ``name``, which has another name, or ``None``."""
    top, *below = name.split(".")
    places = _spec_paths(top)
    directory = Path(places[0]) if len(places) == 1 else None
    if directory is None or not (directory / "__init__.py").is_file():
        return None
    expected = directory.joinpath(*below)
    return directory if file in (expected / "__init__.py", expected.with_suffix(".py")) else None


def module_globals(name: str) -> Mapping[str, Any]:
    """Return the globals of an imported module as they are; empty if it is not imported, or waits to be loaded."""
    module = sys.modules.get(name)
    try:
        namespace = object.__getattribute__(module, "__dict__")  # getattr would load flytekit's lazy modules
    except AttributeError:
        return {}
    return namespace if isinstance(namespace, dict) else {}


def is_installed(file: Path) -> bool:
    """Tell whether ``file`` belongs to the interpreter or to an installed package, not to the user's own code."""
    if "site-packages" in file.parts or "dist-packages" in file.parts:
        return True
    return any(file.is_relative_to(directory) for directory in _installed_directories())


def user_modules(start: Iterable[ModulePlace]) -> tuple[ModulePlace, ...]:
    """Return the user's own modules that ``start`` imports, directly or not, ``start`` included; sorted by name.

    Reads the import statements of the sources, so that constants and imports inside functions count, too.
    """
    found: dict[str, ModulePlace] = {}
    waiting = list(start)
    while waiting:
        place = waiting.pop()
        if place.name in found:
            continue
        found[place.name] = place
        for name in _imported_names(place):
            imported = _locate(name)
            if imported is not None and imported.name not in found and not is_installed(imported.file):
                waiting.append(imported)
    return tuple(found[name] for name in sorted(found))


def top_level(place: ModulePlace) -> tuple[str, Path]:
    """Return name and path of what must be taken along for ``place``: its outermost regular package, or its file."""
    parts = place.name.split(".")
    if place.mapped is not None:
        return parts[0], place.mapped
    directory = place.root
    for at, part in enumerate(parts):
        directory = directory / part
        if (directory / "__init__.py").is_file():
            return ".".join(parts[: at + 1]), directory
    return place.name, place.file


def _place_of_script(file: Path) -> ModulePlace:
    if file.suffix != ".py" or "." in file.stem:
        raise DiscoveryError(
            f"{file.name} cannot be imported by Python under its name, so no task process could load its tasks.",
            hint="Rename it to a name that ends in .py and has no other dot.",
        )
    root = _root_of_script(file)
    name = ".".join([*file.parent.relative_to(root).parts, file.stem])
    return ModulePlace(name=name, file=file, root=root)


def _root_of_script(file: Path) -> Path:
    """Return the root for a script: the one that its own package was imported from, else flytekit's convention.

    A script that imports its neighbours as top-level modules needs its own directory as the root; flytekit's convention
    (the first directory upwards without ``__init__.py``) would give names that do not import.
    """
    directory = file.parent
    tops = {name.partition(".")[0] for name in _names_in(file)}
    for ancestor in directory.parents:
        top = directory.relative_to(ancestor).parts[0]
        if top in tops and _is_imported_from(top, ancestor / top):
            return ancestor
    if any(_is_imported_from(top, directory / top) for top in tops):
        return directory
    outermost = directory
    while (outermost / "__init__.py").is_file() and not any((outermost / mark).exists() for mark in _PROJECT_MARKERS):
        outermost = outermost.parent
    return directory if is_too_broad(outermost) else outermost


def _is_imported_from(name: str, path: Path) -> bool:
    """Tell whether the top-level module ``name`` is the one at ``path`` (a directory, or a file without its suffix)."""
    place = _spec_paths(name)
    return any(os.path.abspath(found) in (f"{path}.py", str(path)) for found in place)


def _spec_paths(name: str) -> list[str]:
    spec = module_globals(name).get("__spec__")
    if spec is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return []
    if spec is None:
        return []
    locations = list(spec.submodule_search_locations or ())
    return locations or ([spec.origin] if spec.origin else [])


def _locate(name: str) -> ModulePlace | None:
    """Return the place of a module that is loaded, or of a top-level one that could be."""
    if name in sys.modules:
        return place_of(name)
    if "." in name:
        return None
    for path in _spec_paths(name):
        file = Path(path, "__init__.py") if os.path.isdir(path) else Path(path)
        if file.suffix == ".py" and file.is_file():
            root = file.parent.parent if file.name == "__init__.py" else file.parent
            mapped = _mapped_package(name, file) if _root(name, file) is None else None
            return ModulePlace(name=name, file=file, root=root, mapped=mapped)
    return None


def _imported_names(place: ModulePlace) -> set[str]:
    """Return the dotted names that ``place`` may import, and all their parents; relative ones made absolute."""
    package = place.name.split(".") if place.file.name == "__init__.py" else place.name.split(".")[:-1]
    names: set[str] = set()
    for name in _names_in(place.file):
        level = len(name) - len(name.lstrip("."))
        kept = package[: len(package) - level + 1] if level else []
        parts = [*kept, *[part for part in name.lstrip(".").split(".") if part]]
        names.update(".".join(parts[: at + 1]) for at in range(len(parts)))
        prefix = ".".join(parts) + "."
        names.update(loaded for loaded in _loaded_below(prefix))
    return names


def _loaded_below(prefix: str) -> list[str]:
    """Return loaded modules directly below a package: ``from package import module`` does not tell them from values."""
    if prefix == ".":
        return []
    return [name for name in list(sys.modules) if name.startswith(prefix) and "." not in name[len(prefix) :]]


def _names_in(file: Path) -> set[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    names: set[str] = set()
    for match in _IMPORT.finditer(text):
        if match["origin"]:
            names.add(match["origin"])
        else:
            listed = (match["names"] or "").split(",")
            names.update(part.split()[0] for part in listed if part.split())
    return names


def _absolute(file: str) -> Path:
    """Return an absolute path without ``..``, and with one leading slash (POSIX lets ``//`` stand)."""
    return Path("/" + os.path.abspath(file).lstrip("/"))


def _root(name: str, file: Path) -> Path | None:
    """Return ``file`` without the path that ``name`` stands for, or ``None`` if they do not fit."""
    parts = name.split(".")
    path = file.parent if file.name == "__init__.py" and parts[-1] != "__init__" else file.with_suffix("")
    if list(path.parts[-len(parts) :]) != parts or len(path.parts) <= len(parts):
        return None
    return path.parents[len(parts) - 1]


@cache
def _installed_directories() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    own = Path(os.path.dirname(os.path.abspath(hydraflyte.__file__)))
    return (*(Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")), own)
