"""Wheels made by hand, and an index of them on this disk: dependencies are installed in tests without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, tag: str, *, commands: str = "") -> None:
    """Write a wheel of one package with ``VERSION`` and ``main``, and the given entry points."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n\n\ndef main():\n    print({name!r}, VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if commands:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{commands}\n"
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
        for path, content in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(path, content)


def make_index(folder: Path) -> Path:
    """Fill ``folder`` with the wheels of alpha, of native for both processors and two Pythons, and of linux_only."""
    folder.mkdir()
    make_wheel(folder, "alpha", "1.0", "py3-none-any", commands="say-alpha = alpha:main")
    make_wheel(folder, "alpha", "1.1", "py3-none-any", commands="say-alpha = alpha:main")
    for python in ("310", "311", "312"):
        for processor in ("x86_64", "aarch64"):
            make_wheel(folder, "native", "2.0", f"cp{python}-cp{python}-manylinux_2_17_{processor}")
    return folder
