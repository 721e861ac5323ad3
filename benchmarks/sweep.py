"""What a large sweep costs its launcher: ``python train.py -m +x=range(N)``, the backend killed with -9 halfway.

Prints the peak memory and threads of the launcher, the rate of submission, and whether a job was lost or run twice.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measuring import backend, environment_without_flyte, report

SCRIPT = """
import hydra
from flytekit import task, workflow
from omegaconf import DictConfig

HERE = {here!r}


@task
def count(x: int) -> int:
    with open(HERE + "/ended", "a") as file:
        file.write(f"{{x}}\\n")
    return x


@workflow
def wf(x: int) -> int:
    return count(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> int:
    return wf(**cfg)


if __name__ == "__main__":
    main()
"""
LIMIT_KB_PER_JOB = 100
"""What a job may add to the launcher's memory, beside what one job takes."""
LIMIT_THREADS = 100
LIMIT_SUBMITTED_PER_S = 110
"""The launcher keeps to 100 a second; more would be no bounded rate."""
SAMPLE_EVERY_S = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--no-kill", action="store_true", help="leave the backend alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as name, backend() as status:
        folder = Path(name)
        (folder / "project").mkdir()
        (folder / "project" / "train.py").write_text(SCRIPT.format(here=name), encoding="utf-8")
        environment = {**environment_without_flyte(), "HYDRAFLYTE_HOME": status["home"]}
        single = watch(launch(folder, 1, environment), folder, 1, None, environment)
        (folder / "ended").unlink()
        began_at = time.monotonic()
        process = launch(folder, options.jobs, environment)
        figures = watch(process, folder, options.jobs, None if options.no_kill else status, environment)
        took_s = time.monotonic() - began_at
        figures["kb_per_job"] = round(1024 * (figures["peak_mb"] - single["peak_mb"]) / options.jobs, 1)
        file = folder / "project" / f"sweep-{options.jobs}" / "results.json"
        if not file.exists():
            raise SystemExit((folder / "out").read_text(errors="replace")[-5000:])
        rows = json.loads(file.read_text())
        ended = Counter((folder / "ended").read_text().split())
    succeeded = sum(row["phase"] == "SUCCEEDED" for row in rows)
    report(
        "sweep",
        {
            "jobs": options.jobs,
            "holds": succeeded == options.jobs
            and figures["most_threads"] <= LIMIT_THREADS
            and figures["kb_per_job"] <= LIMIT_KB_PER_JOB
            and figures["submitted_per_s"] <= LIMIT_SUBMITTED_PER_S
            and figures["backend_restarts"] == int(not options.no_kill),
            "succeeded": succeeded,
            "ended_more_than_once": sum(count > 1 for count in ended.values()),
            "total_s": round(took_s, 1),
            "one_job_peak_mb": single["peak_mb"],
            **figures,
        },
    )


def launch(folder: Path, jobs: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the launcher of a sweep."""
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", f"+x=range({jobs})", f"hydra.sweep.dir=sweep-{jobs}"],
        cwd=folder / "project",
        env=environment,
        stdout=(folder / "out").open("w"),
        stderr=subprocess.STDOUT,
    )


def watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    jobs: int,
    victim: dict[str, object] | None,
    environment: dict[str, str],
) -> dict[str, float]:
    """Sample the launcher until it ends; kill and restart the backend once half of the jobs have ended."""
    threads, peak_kb, first_kb, restarts = 0, 0, 0, 0
    started_at = time.monotonic()
    first_at = last_at = 0.0
    while process.poll() is None:
        facts = _status(process.pid)
        threads, peak_kb = max(threads, facts.get("Threads", 0)), max(peak_kb, facts.get("VmHWM", 0))
        submitted = (folder / "out").read_text(errors="replace").count("submitted: ")
        if submitted and not first_at:
            first_at, first_kb = time.monotonic(), facts.get("VmRSS", 0)
        if submitted < jobs:
            last_at = time.monotonic()
        if victim is not None and _ended(folder) > jobs // 2:
            os.kill(int(str(victim["pid"])), signal.SIGKILL)
            time.sleep(2)
            subprocess.run([sys.executable, "-m", "hydraflyte", "up", "--port", "0"], env=environment, check=True)
            victim, restarts = None, 1
        time.sleep(SAMPLE_EVERY_S)
    return {
        "most_threads": threads,
        "peak_mb": round(peak_kb / 1024),
        "backend_restarts": restarts,
        "before_first_submission_s": round(first_at - started_at, 1) if first_at else 0.0,
        "rss_at_first_submission_mb": round(first_kb / 1024),
        "submitted_per_s": round(jobs / max(last_at - first_at, SAMPLE_EVERY_S), 1),
    }


def _ended(folder: Path) -> int:
    file = folder / "ended"
    return len(file.read_text().split()) if file.exists() else 0


def _status(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split()[:2] for line in lines if len(line.split()) > 1)
    return {key.rstrip(":"): int(value) for key, value in pairs if value.isdigit()}


if __name__ == "__main__":
    main()
