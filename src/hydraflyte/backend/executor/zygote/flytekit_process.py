"""Makes a forked copy of a process that imported flytekit indistinguishable from one that just started.

Rule: what the import computed from the environment, the temporary directory or the process is computed again; where
that cannot be done, ``needs_fresh_interpreter`` says so and the attempt is executed instead of forked.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from . import command, connectors

# Read when an interpreter, the C library, numpy's libraries or flytekit are loaded: too late in a forked child.
_READ_AT_START = ("LD_PRELOAD", "GLIBC_TUNABLES", "FLYTE_PYTHON_PACKAGE_ROOT")
_READ_AT_START_PREFIXES = ("PYTHON", "FLYTE_SDK_", "DYLD_", "MALLOC_", "GRPC_")
_HONOURED_IN_CHILD = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHON_KEYRING_BACKEND")


def load() -> str | None:
    """Import what a task needs of flytekit; return why that failed, or None."""
    os.environ["FLYTE_INTERNAL_EXECUTION_ID"] = "zygote"  # flytekit then logs as it does in a task
    try:
        importlib.import_module("flytekit.bin.entrypoint")
    except BaseException as error:  # the border of a foreign package: any failure becomes text
        return f"{type(error).__name__}: {error}"
    finally:
        del os.environ["FLYTE_INTERNAL_EXECUTION_ID"]
    return None


def needs_fresh_interpreter(env: Mapping[str, str], work: str) -> str | None:
    """Return why this attempt cannot run in a forked child, or None."""
    for name in env:
        if name in _HONOURED_IN_CHILD:
            continue
        if name in _READ_AT_START or name.startswith(_READ_AT_START_PREFIXES):
            return f"the variable {name} is read when an interpreter starts"
    return _find_shadowed_module(work, env.get("PYTHONPATH", ""))


def _find_shadowed_module(work: str, python_path: str) -> str | None:
    """Find a module of the user that has the name of one that is already loaded."""
    for folder in {work, *filter(None, python_path.split(os.pathsep))}:
        for entry in _list(folder):
            name = entry[:-3] if entry.endswith(".py") else entry
            if name in sys.modules and (entry != name or os.path.isfile(os.path.join(folder, name, "__init__.py"))):
                return f"{os.path.join(folder, entry)} has the name of a module that is already loaded"
    return None


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def run_command(program: str, args: list[str]) -> None:
    """Call flytekit's own command of this name with ``args``, as its console script does. May raise SystemExit."""
    if program == command.CONNECTOR:
        renew()
        connectors.run(args)
        return
    entrypoint = sys.modules["flytekit.bin.entrypoint"]
    commands = {"pyflyte-execute": entrypoint.execute_task_cmd, "pyflyte-map-execute": entrypoint.map_execute_task_cmd}
    renew()
    sys.argv = [program, *args]
    commands[program].main(args=args, prog_name=program)


def renew() -> None:
    """Compute again what depends on the environment or on the process."""
    if hasattr(time, "tzset"):
        time.tzset()
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    tempfile.tempdir = None
    _renew_connector_loop(sys.modules.get("flytekit.extend.backend.base_connector"))
    _renew_context(
        sys.modules["flytekit.core.context_manager"],
        sys.modules["flytekit.core.data_persistence"],
        sys.modules["flytekit.configuration"],
    )
    _renew_transport(sys.modules.get("hydraflyte.transport.plugin"))


def _renew_transport(plugin: Any) -> None:
    """Hydraflyte's plugin of flytekit, where it is installed, reads its settings and the job of Hydra on import."""
    if plugin is not None:
        plugin.read_environment()


def _renew_connector_loop(module: Any) -> None:
    """flytekit makes an event loop on import; its selector would be shared between all children."""
    loop = getattr(module, "local_connector_loop", None)
    if loop is not None:
        module.local_connector_loop = asyncio.new_event_loop()


def _renew_context(context_manager: Any, data_persistence: Any, configuration: Any) -> None:
    """Point flytekit's default file access and context at this attempt's temporary directory.

    flytekit 1.16 makes both on import (core/data_persistence.py, core/context_manager.py, configuration/__init__.py).
    """
    folder = tempfile.mkdtemp(prefix="flyte-")
    access = data_persistence.FileAccessProvider(
        local_sandbox_dir=os.path.join(folder, "sandbox"),
        raw_output_prefix=os.path.join(folder, "raw"),
        data_config=configuration.DataConfig.auto(),
    )
    data_persistence.default_local_file_access_provider = access
    context_manager.default_local_file_access_provider = access
    *others, _sandbox = configuration.Config.__init__.__defaults__  # local_sandbox_path is the last field
    configuration.Config.__init__.__defaults__ = (*others, tempfile.mkdtemp(prefix="flyte"))
    context_manager.FlyteContextManager.initialize()
