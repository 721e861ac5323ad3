"""What a Python interpreter has installed: this one, or another one on this machine, which is asked in a process."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.launcher import provenance

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Version of Python, and name -> version of every package."""

    python: str
    packages: dict[str, str]


def installed_for(python: str) -> Installed | None:
    """Return what an interpreter has installed; None if it cannot be started."""
    source = Path(provenance.__file__).with_name("installed.py")
    try:
        ended = subprocess.run(
            [python, "-I", str(source)], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        answer = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Installed(python=answer["python"], packages=answer["packages"])
