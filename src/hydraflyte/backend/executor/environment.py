"""The environment of an attempt and the interpreter that it runs on.

Rule: a task sees a small, named part of the backend's environment, never all of it: a pod would see none. Pure but
for the look at the interpreter's file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hydraflyte.errors import HydraFlyteError

PYTHON_VARIABLE = "HYDRAFLYTE_PYTHON"
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_INHERITED_NAMES = """
    PATH HOME USER LOGNAME LANG LANGUAGE TZ SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy
    LD_LIBRARY_PATH
"""
_INHERITED = frozenset(_INHERITED_NAMES.split())


class InterpreterError(HydraFlyteError):
    """The interpreter named for an attempt cannot be used."""


def select_inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the backend's own environment that every attempt may see."""
    return {name: text for name, text in environ.items() if name in _INHERITED or name.startswith("LC_")}


def build_environment(
    inherited: Mapping[str, str], own: Mapping[str, str], *, python: str, tmp: Path
) -> dict[str, str]:
    """Return the whole environment of an attempt: the inherited part, overridden by the attempt's own variables.

    The folder of ``python`` comes first on PATH, so that ``python`` and ``pip`` are those of the task's interpreter.
    """
    env = {**inherited, "TMPDIR": str(tmp), **own}
    env["PATH"] = os.pathsep.join((os.path.dirname(python), env.get("PATH") or _DEFAULT_PATH))
    return env


def choose_interpreter(own: Mapping[str, str], *, default: str) -> str:
    """Return the path of the interpreter that the attempt's environment asks for, else ``default``.

    Raises:
        InterpreterError: it is not the absolute path of an executable file.
    """
    python = own.get(PYTHON_VARIABLE) or default
    origin = PYTHON_VARIABLE if own.get(PYTHON_VARIABLE) else "the backend's --python"
    if not os.path.isabs(python):
        problem = "is not an absolute path"
    elif not os.path.isfile(python):
        problem = "does not exist"
    elif not os.access(python, os.X_OK):
        problem = "is not executable"
    else:
        return python
    raise InterpreterError(
        f"the interpreter {python!r} ({origin}) {problem}",
        hint=f"Set {PYTHON_VARIABLE} in the task's environment to the path of a Python that has flytekit installed.",
    )
