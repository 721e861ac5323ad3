"""The map of a package is whole: its docstring names every module and every folder in it."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest


@pytest.mark.parametrize("package", ["hydraflyte.launcher", "hydraflyte.backend", "hydraflyte.backend.admin"])
def test_a_package_names_each_of_its_modules(package: str) -> None:
    found = importlib.import_module(package)
    map_of_it = found.__doc__ or ""

    modules = [module.name for module in pkgutil.iter_modules(found.__path__)]

    assert [name for name in modules if not re.search(rf"\b{name}\b", map_of_it)] == []
