"""A sweep of 20 jobs whose backend and launcher are killed halfway: 20 of 20, and no success is computed twice.

What holds: a job that had succeeded is never run again. An attempt that was running when the backend died may be
repeated, as its own next attempt, inside the same execution; a job never gets a second execution for that.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hydraflyte.embedded import stop_backend
from hydraflyte.home import Home

PROGRAM = """
import os
import time

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig

HERE = {here!r}


@task
def square(x: int) -> int:
    with open(os.path.join(HERE, "began"), "a") as file:
        file.write(f"{{x}}\\n")
    while x >= 8 and not os.path.exists(os.path.join(HERE, "go")):
        time.sleep(0.05)
    with open(os.path.join(HERE, "ended"), "a") as file:
        file.write(f"{{x}}\\n")
    return x * x


@workflow
def squares(x: int) -> int:
    return square(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> int:
    return squares(**cfg)


if __name__ == "__main__":
    main()
"""
QUIET = ("-W", "ignore:The version_base parameter", "-W", "ignore::DeprecationWarning")


@pytest.fixture
def home(tmp_path):
    home = Home(root=tmp_path / "home")
    yield home
    stop_backend(home)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(PROGRAM.format(here=str(tmp_path)))
    return folder


def environment(home):
    kept = {name: text for name, text in os.environ.items() if name != "FLYTECTL_CONFIG"}
    return {**kept, "HYDRAFLYTE_HOME": str(home.root), "HOME": str(home.root.parent), "PYTHONUNBUFFERED": "1"}


def wait_for(condition, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def values_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def hydraflyte(home, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "hydraflyte", *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    ).stdout


def succeeded(home):
    (sweep,) = json.loads(hydraflyte(home, "sweeps", "list", "--json"))
    return sweep["phases"].get("SUCCEEDED", 0)


def test_twenty_jobs_survive_the_death_of_backend_and_launcher(home, project, tmp_path):
    command = [sys.executable, *QUIET, "train.py", "-m", "+x=range(20)"]
    hydraflyte(home, "up", "--port", "0")
    running = home.running()
    first = subprocess.Popen(
        command, cwd=project, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(lambda: len(values_in(tmp_path / "ended")) == 8 and succeeded(home) == 8)
    interrupted = [x for x in values_in(tmp_path / "began") if x >= 8]

    os.kill(running.pid, signal.SIGKILL)
    away = next(line for line in first.stdout if "is away" in line)
    first.kill()
    first.communicate()
    wait_for(lambda: not home.is_locked())
    (tmp_path / "go").touch()
    hydraflyte(home, "up", "--port", "0")
    again = subprocess.run(
        [*command, "hydra.launcher.resume=last", "hydra.sweep.dir=resumed"],
        cwd=project,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert away == "the embedded backend is away; waiting for it for 120 s: `hydraflyte up` brings it back\n"
    assert again.returncode == 0, again.stdout + again.stderr
    rows = json.loads((project / "resumed" / "results.json").read_text())
    assert [row["outputs"]["o0"] for row in rows] == [x * x for x in range(20)]
    assert again.stdout.count("found SUCCEEDED") >= 8
    ended = Counter(values_in(tmp_path / "ended"))
    assert ended == dict.fromkeys(range(20), 1)
    began = Counter(values_in(tmp_path / "began"))
    assert {x for x, count in began.items() if count > 1} <= set(interrupted)
    shown = json.loads(hydraflyte(home, "sweeps", "show", "last", "--json"))
    assert shown["phases"] == {"SUCCEEDED": 20}
    assert {job["executions"] for job in shown["jobs_list"]} == {1}
