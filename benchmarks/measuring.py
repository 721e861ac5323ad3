"""What the benchmarks share: running commands, summing up times, facts of the machine, result files.

Only public tools are measured: commands and unmodified clients. Times are wall seconds unless a name says otherwise.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("hydraflyte", "flytekit", "hydra-core", "omegaconf", "grpcio", "protobuf")


def timed(command: Sequence[str | Path], *, environment: Mapping[str, str], cwd: Path) -> float:
    """Return how long the command took; raises RuntimeError with its output if it failed."""
    started = time.perf_counter()
    ended = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - started
    if ended.returncode != 0:
        raise RuntimeError(f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return elapsed


def summary(values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """Return median, least, greatest and all values."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "n": len(values),
        "values": [round(value, digits) for value in values],
    }


@contextmanager
def backend(*options: str) -> Iterator[dict[str, Any]]:
    """Start an embedded backend in a new home; gives its status and stops it."""
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as folder:
        environment = {**environment_without_flyte(), "HYDRAFLYTE_HOME": folder}
        verb = [sys.executable, "-m", "hydraflyte"]
        subprocess.run([*verb, "up", *options], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            status = subprocess.run([*verb, "status", "--json"], env=environment, check=True, capture_output=True)
            yield json.loads(status.stdout)
        finally:
            subprocess.run([*verb, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def environment_without_flyte() -> dict[str, str]:
    """Return this process's environment without what would lead a client to another backend."""
    return {name: text for name, text in os.environ.items() if name not in ("FLYTECTL_CONFIG", "HYDRAFLYTE_HOME")}


def memory_mb(pid: int, kind: str) -> float:
    """Return the process's memory in MiB: ``Rss``, or ``Pss``, which shares out what is shared. Linux only."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    match = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def report(name: str, figures: Mapping[str, Any]) -> None:
    """Print the figures and keep them, with the facts of this machine, as ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    result = {"benchmark": name, "machine": machine(), **figures}
    text = json.dumps(result, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def machine() -> dict[str, Any]:
    return {
        "measured_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "fixed_loop_ms": round(fixed_loop_ms(), 1),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
    }


def fixed_loop_ms() -> float:
    """Return how long a million turns take: figures of two runs are comparable only if these are alike."""

    def turn() -> float:
        started = time.perf_counter()
        for _ in range(1_000_000):
            pass
        return 1000 * (time.perf_counter() - started)

    return statistics.median(turn() for _ in range(7))
