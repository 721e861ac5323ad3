"""Nothing leaves the machine: a launch on the embedded backend, in processes that may only talk to themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hydra.programs import NO_YAML, run_program, write_program

GUARD = '''
"""Imported by every Python process of the launch: refuses, and notes, whatever would leave this machine."""

import os
import sys

_HERE = ("127.0.0.1", "::1", "localhost", "", None)


def _watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host in _HERE or host == os.uname().nodename:
        return
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{event} {host}\\n")
    raise OSError(f"this machine only: {host}")


with open(os.environ["NOTES"] + ".processes", "a") as file:
    file.write(f"{os.getpid()}\\n")
sys.addaudithook(_watch)
'''


def test_a_first_launch_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    notes = tmp_path / "notes"
    own_path = [str(tmp_path / "guard"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {
        "PYTHONPATH": os.pathsep.join(own_path),
        "NOTES": str(notes),
        "HYDRAFLYTE_HOME": str(tmp_path / "hf"),
        "HOME": str(tmp_path),
    }
    (tmp_path / "work").mkdir()
    outward = [sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"]
    assert subprocess.run(outward, env={**os.environ, **environ}, capture_output=True, check=False).returncode == 1
    assert notes.read_text() == "socket.getaddrinfo 192.0.2.1\n"  # the guard guards
    notes.unlink()

    try:
        result = run_program(
            write_program(tmp_path / "work", NO_YAML), "-m", "+x=3", environ={**environ, "FLYTECTL_CONFIG": ""}
        )
    finally:
        subprocess.run(["hydraflyte", "down"], env={**os.environ, **environ}, capture_output=True, check=False)

    assert result.stdout.startswith("started the embedded backend; it stays until `hydraflyte down` stops it\n")
    assert "job 0 [+x=3] SUCCEEDED" in result.stdout, result.stdout + result.stderr
    assert len((tmp_path / "notes.processes").read_text().split()) >= 2  # the launcher and the backend at least
    assert not notes.exists(), notes.read_text()
