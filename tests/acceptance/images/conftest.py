"""What the tests of images share: a proxy that fails on demand, a small tree of code, and short patience."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.images.faulty import FaultyProxy, run_proxy
from tests.image_tools import push_image, tar_of

from hydraflyte.launcher.code.files import FileSet, SourceTree, collect_files
from hydraflyte.launcher.images.registry.patience import Patience

NO_CREDENTIALS = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}


@pytest.fixture
def proxy(registry: str) -> Iterator[FaultyProxy]:
    """A proxy before ``registry``."""
    with run_proxy(registry) as proxy:
        yield proxy


@pytest.fixture
def hasty() -> Patience:
    """Patience that tries three times and does not wait in between."""
    return Patience(attempts=3, silence_s=5, connect_s=2, pause=lambda seconds: None)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with a script and a module."""
    folder = tmp_path / "code"
    (folder / "model").mkdir(parents=True)
    (folder / "train.py").write_text("import model.net\nprint(model.net.NAME)\n")
    (folder / "model" / "__init__.py").write_text("")
    (folder / "model" / "net.py").write_text("NAME = 'first'\n")
    return folder


@pytest.fixture(scope="session")
def tiny_image(registry: str) -> str:
    """Reference of an image of a few bytes, with two layers; nothing in it can run."""
    layers = [tar_of({"etc/os-release": b"ID=tiny\n"}), tar_of({"usr/bin/tool": b"#!/bin/sh\n"})]
    return push_image(registry, "base/tiny", "1", layers=layers, environment=["PATH=/usr/bin"])


def files_in(folder: Path) -> FileSet:
    return collect_files(SourceTree(source_root=folder))
