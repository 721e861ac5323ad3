"""The packages of a lock file as a layer, for the platform and the Python of the image that it is put on.

uv resolves, or pip where this machine is of the same kind. Only wheels are taken: nothing of a package runs here. One
rule: the layer depends on the lock file and the base, not on this machine. Pushes nothing.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.below import PlatformImage
from hydraflyte.launcher.images.building import Say, never
from hydraflyte.launcher.images.commands import CommandLine, CommandTimeoutError, run_command
from hydraflyte.launcher.images.layers import Entry, Layer, write_layer
from hydraflyte.launcher.images.pythons import BasePython, find_python
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import Platform

PACKAGES = "/opt/hydraflyte/packages"
PROGRAMS = f"{PACKAGES}/bin"
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC_MINOR = 28  # Debian 10, RHEL 8, Ubuntu 20.04: what images of today have at least
_OLDER_MANYLINUX = ("manylinux2014", "manylinux2010", "manylinux1")
_DIVERTING = frozenset(
    {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON"}
)
_SCRIPT = """#!{python}
import sys

from {module} import {first}

sys.exit({call}())
"""
_SAID_LINES = 15
_INSTALLERS_OWN = (".pyc", "/INSTALLER", "/REQUESTED", "/direct_url.json", "/uv_cache.json")
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)


def lock_content(lock: Path) -> str:
    """Return the digest of a lock file and of those that it includes.

    Raises:
        ImageError: one cannot be read.
    """
    hasher = hashlib.sha256()
    waiting, seen = [lock], set()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ImageError(
                f"The file with the dependencies {path} cannot be read: {error.strerror}.",
                hint="Set dependencies to a uv.lock, requirements.txt or pylock.toml; the path counts from the script.",
            ) from error
        hasher.update(hashlib.sha256(content).digest())
        if path.suffix == ".txt":
            waiting += [path.parent / name for name in _INCLUDE.findall(content.decode(errors="replace"))]
    return hasher.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The packages of one lock file, to be installed for images.

    Attributes:
        lock: ``uv.lock``, ``pylock.toml``, or requirements with any other name.
        scratch: a folder for the layers' files and what is needed on the way.
        say: told what happens.
        timeout_s: for each run of the installer.
        is_cancelled: once it says yes, the installer is stopped.
    """

    lock: Path
    scratch: Path
    say: Say
    timeout_s: float
    is_cancelled: Callable[[], bool] = never

    def layer_for(self, registry: Registry, image: PlatformImage) -> Layer:
        """Return the layer with the packages for ``image``.

        Args:
            registry: where the layers of ``image`` are; read if its config does not tell the Python.
            image: what the layer is put on.

        Raises:
            ImageError: the image has no Python, or a package has no wheel for it.
        """
        python = find_python(registry, image)
        self.say(f"installing {self.lock.name} for {image.platform}, Python {python.version}")
        folder = Path(tempfile.mkdtemp(dir=self.scratch, prefix="packages-"))
        self._install(image.platform, python, folder)
        path = self.scratch / f"{folder.name}.tar.gz"
        created_by = f"hydraflyte: packages of {self.lock.name}"
        layer = write_layer(package_entries(folder, python.path), path, created_by=created_by)
        shutil.rmtree(folder)  # the disk may be small, and there may be another platform to come
        return layer

    def _install(self, platform: Platform, python: BasePython, into: Path) -> None:
        if platform.os != "linux" or platform.architecture not in _ARCHITECTURES:
            raise ImageError(
                f"There are no wheels for {platform}.",
                hint="Dependencies can be put on linux/amd64 and linux/arm64 only.",
            )
        doing, uv = f"Installing the dependencies in {self.lock}", find_uv()
        if uv is None:
            self._run(self._with_pip(platform, python, into), doing)
            return
        requirements = self.lock
        if self.lock.name == "uv.lock":
            requirements = into.with_suffix(".txt")
            export = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
            export += ["--format", "requirements-txt", "--output-file", str(requirements)]
            self._run([*export, "--project", str(self.lock.parent)], f"Reading {self.lock}")
        install = [uv, "pip", "install", "--quiet", "--no-progress", "--only-binary", ":all:", "--target", str(into)]
        install += ["--python", sys.executable, "--python-version", python.version]
        install += ["--python-platform", _uv_platform(platform, python), "--requirements", str(requirements)]
        self._run(install, doing)

    def _with_pip(self, platform: Platform, python: BasePython, into: Path) -> list[str]:
        """Return pip's command line.

        Raises:
            ImageError: it would install for another Python or system than the image's.
        """
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        if self.lock.suffix != ".txt" or sys.platform != "linux" or own != python.version:
            raise ImageError(
                f"{self.lock} cannot be installed for {platform} and Python {python.version} without uv: "
                f"pip reads requirements alone, and takes this machine's system and Python {own} for the image's.",
                hint="Install it: pip install 'hydraflyte[images]', or uv by itself.",
            )
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-compile", "--only-binary", ":all:", "--implementation", "cp"]
        command += ["--python-version", python.version, "--target", str(into), "--requirement", str(self.lock)]
        return command + [f"--platform={tag}" for tag in _pip_platforms(platform, python)]

    def _run(self, arguments: Sequence[str], doing: str) -> None:
        command = CommandLine(
            arguments=arguments,
            environment=_installers_environment(),
            folder=self.lock.parent,
            is_cancelled=self.is_cancelled,
        )
        try:
            ended = run_command(command, deadline=time.monotonic() + self.timeout_s, say=self.say)
        except CommandTimeoutError as error:
            raise ImageError(
                f"{doing} did not end within {self.timeout_s:g} s.",
                hint="Check the package index and your network, or raise build_timeout_s.",
            ) from error
        if ended.code != 0:
            said = "\n".join(ended.last_lines[-_SAID_LINES:])
            raise ImageError(f"{doing} failed:\n{said}", hint=_install_hint(said))


def package_entries(folder: Path, python: str) -> Iterator[Entry]:
    """Yield what was installed into ``folder`` as it lies in the image; commands are started by its ``python``.

    What an installer writes of itself and of this machine is left out or made neutral.
    """
    top = PACKAGES.strip("/")
    for name, path in sorted(_files(folder)):
        if name.startswith("bin/") or name.endswith(_INSTALLERS_OWN) or name == ".lock":
            continue
        if name.endswith(".dist-info/RECORD"):
            yield Entry(name=f"{top}/{name}", source=_neutral_record(path))
        else:
            yield Entry(name=f"{top}/{name}", source=path, is_executable=os.access(path, os.X_OK))
    yield from _programs(folder, python)


def _programs(folder: Path, python: str) -> Iterator[Entry]:
    """Yield the commands: made anew from the entry points, else as they are, with the image's interpreter."""
    top = PROGRAMS.strip("/")
    made: dict[str, bytes] = {}
    for file in sorted(folder.glob("*.dist-info/entry_points.txt")):
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of commands keep their case
        parser.read_string(file.read_text(encoding="utf-8"))
        if parser.has_section("console_scripts"):
            for name, target in parser.items("console_scripts"):
                made[name] = _script(target, python)
    for path in sorted((folder / "bin").glob("*")):
        if path.is_file() and path.name not in made:
            made[path.name] = _with_interpreter(path.read_bytes(), python)
    for name, content in made.items():
        yield Entry(name=f"{top}/{name}", source=content, is_executable=True)


def _script(target: str, python: str) -> bytes:
    module, _, attribute = target.partition("[")[0].strip().partition(":")
    call = attribute.strip()
    return _SCRIPT.format(python=python, module=module.strip(), first=call.partition(".")[0], call=call).encode()


def _with_interpreter(content: bytes, python: str) -> bytes:
    first, newline, rest = content.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        return b"#!" + python.encode() + newline + rest
    return content


def _neutral_record(path: Path) -> bytes:
    """Return a RECORD without what differs between machines and installers: commands and installers' own files."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        name = line.partition(",")[0]
        if not name.startswith(("../", "bin/")) and not name.endswith(_INSTALLERS_OWN):
            kept.append(line)
    return ("\n".join(sorted(kept)) + "\n").encode()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory, name)
            yield path.relative_to(folder).as_posix(), path


def find_uv() -> str | None:
    """Return the uv beside this interpreter, or on PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def _uv_platform(platform: Platform, python: BasePython) -> str:
    architecture = _ARCHITECTURES[platform.architecture]
    return f"{architecture}-unknown-linux-musl" if python.is_musl else f"{architecture}-manylinux_2_{_GLIBC_MINOR}"


def _pip_platforms(platform: Platform, python: BasePython) -> list[str]:
    """Return all tags that will do: pip takes wheels of the named ones only."""
    architecture = _ARCHITECTURES[platform.architecture]
    if python.is_musl:
        return [f"musllinux_1_{minor}_{architecture}" for minor in (2, 1)]
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in range(_GLIBC_MINOR, 4, -1)]
    return tags + [f"{name}_{architecture}" for name in _OLDER_MANYLINUX]


def _installers_environment() -> dict[str, str]:
    """Return this environment without what sends packages elsewhere, and never to fetch another Python."""
    kept = {name: text for name, text in os.environ.items() if name not in _DIVERTING}
    return kept | {"UV_PYTHON_DOWNLOADS": "never"}


def _install_hint(said: str) -> str:
    if "No space left" in said or "os error 28" in said:
        return f"Free some space in {tempfile.gettempdir()}, or set TMPDIR to a folder with more."
    if re.search(
        r"no wheel|no usable wheel|only-binary|no matching|not found in the|--no-build|No solution|source distribution",
        said,
        re.I,
    ):
        return (
            "A package must have a wheel for the image's platform and Python; "
            "for one that has to be compiled, use a Dockerfile."
        )
    return "Run the installation by hand to see more; index and proxy settings of uv and pip are honoured."
