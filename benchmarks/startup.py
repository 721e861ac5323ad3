"""The embedded backend: from ``hydraflyte up`` to serving, and what it takes while it has nothing to do. Linux only."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from measuring import backend, environment_without_flyte, memory_mb, report, summary, timed

STARTS = 9
IDLE_S = 10
LIMITS = {"up_s": 2.0, "idle_mb": 150, "idle_cpu_percent": 1.0}


def main() -> None:
    starts = [time_of_one_start() for _ in range(STARTS)]
    with backend() as status:
        time.sleep(3)  # the warm interpreter imports flytekit beside the server
        processes = family(int(status["pid"]))
        cpu_before = cpu_s(processes)
        time.sleep(IDLE_S)
        cpu_percent = 100 * (cpu_s(processes) - cpu_before) / IDLE_S
        memory = {name: sum(memory_mb(pid, name) for pid in processes) for name in ("Rss", "Pss")}
        server_rss = memory_mb(processes[0], "Rss")
    up = summary(starts)
    report(
        "startup",
        {
            "limits": LIMITS,
            "up_s": up,
            "idle": {
                "processes": len(processes),
                "server_rss_mb": round(server_rss, 1),
                "all_rss_mb": round(memory["Rss"], 1),
                "all_pss_mb": round(memory["Pss"], 1),
                "cpu_percent": round(cpu_percent, 2),
                "over_s": IDLE_S,
            },
            "holds": {
                "up_s": up["median"] < LIMITS["up_s"],
                "idle_mb": memory["Pss"] < LIMITS["idle_mb"],
                "idle_cpu_percent": cpu_percent < LIMITS["idle_cpu_percent"],
            },
        },
    )


def time_of_one_start() -> float:
    """Return how long ``up`` takes on a home that does not exist yet: it returns when the backend serves."""
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as name:
        environment = {**environment_without_flyte(), "HYDRAFLYTE_HOME": str(Path(name) / "home")}
        verb = [sys.executable, "-m", "hydraflyte"]
        elapsed = timed([*verb, "up"], environment=environment, cwd=Path(name))
        timed([*verb, "down"], environment=environment, cwd=Path(name))
    return elapsed


def family(root: int) -> list[int]:
    """Return the process and all its descendants, the process first."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(stat.parent.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_s(processes: list[int]) -> float:
    ticks = 0
    for pid in processes:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
