"""Entry of the zygote program: gives this folder a package name of its own and runs it.

Rule: leaves no trace a task could trip over. The folder is taken off ``sys.path``, and the package name is one that
no user module has. Must not import hydraflyte: it may not exist in this interpreter.
"""

import importlib.util
import os
import sys

PACKAGE = "_hydraflyte_zygote"


def _adopt_folder(folder: str) -> None:
    """Make ``folder`` importable as ``PACKAGE``, and under that name only."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != os.path.realpath(folder)]
    location = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(PACKAGE, location, submodule_search_locations=[folder])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _adopt_folder(os.path.dirname(os.path.abspath(__file__)))
    importlib.import_module(PACKAGE + ".server").main(sys.argv[1:])
