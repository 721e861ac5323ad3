"""Whole launches: a program in a process of its own, a real embedded backend."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from omegaconf import OmegaConf
from tests.hydra.programs import NO_YAML, QUIET, run_program, write_program
from tests.unit.launcher.terminal import FakeTerminal

from hydraflyte.home import RunningBackend

pytestmark = pytest.mark.usefixtures("flyte_backend")

SLOW = """
import time

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def rest(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workflow
def resting(seconds: float) -> float:
    return rest(seconds=seconds)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> float:
    return resting(**cfg)


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_program(tmp_path, f"{NO_YAML}\n# of {tmp_path}: no other test's version\n")


def executions_in(text: str) -> list[str]:
    return re.findall(r"submitted: (http://\S+)", text)


def sweep_page(backend: RunningBackend, link: str) -> list[list[str]]:
    """Return the cells of the table on a sweep's page, those with links empty."""
    with httpx2.Client(follow_redirects=True) as browser:
        browser.get(backend.console_url)
        page = browser.get(link).text
    return [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in page.split("<tr>")[1:]]


def test_a_sweep_ends_with_a_table_of_results_and_status_zero(program: Path, flyte_backend: RunningBackend) -> None:
    result = run_program(program, "-m", "+x=1,3")

    assert result.returncode == 0, result.stdout + result.stderr
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "|" in line]
    assert [row[:3] for row in table] == [
        ["job", "overrides", "phase"],
        ["0", "+x=1", "SUCCEEDED"],
        ["1", "+x=3", "SUCCEEDED"],
    ]
    assert [row[4] for row in table] == ["output", "1.0", "9.0"]
    for number, link in enumerate(executions_in(result.stdout)):
        assert link.startswith(f"{flyte_backend.http_url}/console/projects/")
        assert f"job {number}  {link}" in result.stdout or f"job {1 - number}  {link}" in result.stdout
        assert link.rpartition("/")[2] in [row[5] for row in table]
    assert f"console: {flyte_backend.http_url}/console" in result.stdout
    [sweep] = re.findall(r"^sweep  (http://\S+)$", result.stdout, re.MULTILINE)
    shown = sweep_page(flyte_backend, sweep)
    assert [row[:3] + row[4:] for row in shown] == [
        ["job", "x", "phase", "o0", "execution"],
        ["0", "1", "SUCCEEDED", "1.0", ""],
        ["1", "3", "SUCCEEDED", "9.0", ""],
    ]


def test_each_job_has_hydras_own_folder(program: Path) -> None:
    run_program(program, "-m", "+x=1,3", "hydra.sweep.dir=sweep")

    job = program.parent / "sweep" / "1"
    assert OmegaConf.load(job / ".hydra" / "config.yaml") == {"x": 3}
    assert OmegaConf.load(job / ".hydra" / "overrides.yaml") == ["+x=3"]
    saved = OmegaConf.load(job / ".hydra" / "hydra.yaml").hydra
    assert (saved.job.id, saved.job.num) == ("1", 1)
    assert saved.runtime.output_dir == str(job)


def test_a_failed_job_shows_the_users_own_frames_and_the_status_is_one(program: Path) -> None:
    result = run_program(program, "-m", "+x=-1,3")

    assert result.returncode == 1
    assert "job 1 [+x=3] SUCCEEDED" in result.stdout
    assert "ValueError: -1.0 is negative" in result.stdout
    assert f'File "{program}", line 10, in square' in result.stdout
    assert "flytekit/core" not in result.stdout
    assert result.stdout.index("|0   | +x=-1     | FAILED") > 0
    assert "Error executing job with overrides: ['+x=-1']" in result.stderr
    assert "job 0 [+x=-1] FAILED: ValueError: -1.0 is negative" in result.stderr.splitlines()
    assert "hint: hydraflyte executions logs squares-" in result.stdout
    assert "Traceback" not in result.stderr
    assert "site-packages" not in result.stderr


def test_the_second_launch_of_the_same_code_sends_nothing(program: Path) -> None:
    first = run_program(program, "-m", "+x=1")
    second = run_program(program, "-m", "+x=2")

    assert "registered program.squares: 3 entities created, 0 unchanged" in first.stdout
    assert "is registered already" in second.stdout
    assert "code bundle" not in second.stdout
    assert second.returncode == 0


def test_changed_code_is_another_version(program: Path) -> None:
    first = run_program(program, "-m", "+x=3")
    program.write_text(program.read_text().replace("return x * x", "return x + x"))
    second = run_program(program, "-m", "+x=3")

    assert "SUCCEEDED" in first.stdout
    assert ": 9.0" in first.stdout
    assert ": 6.0" in second.stdout


def test_a_version_that_is_named_and_registered_runs_as_it_is(program: Path) -> None:
    run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=fixed-1")
    program.write_text(program.read_text().replace("return x * x", "return x + x"))

    result = run_program(program, "-m", "+x=3", "hydra.launcher.workflow.version=fixed-1")

    assert "version fixed-1 is registered: it runs as it is, nothing is sent" in result.stdout
    assert ": 9.0" in result.stdout


def test_without_waiting_links_are_shown_and_no_results(program: Path) -> None:
    result = run_program(program, "-m", "+x=1,2", "hydra.launcher.wait=false")

    assert len(executions_in(result.stdout)) == 2
    assert "SUCCEEDED" not in result.stdout
    assert result.returncode == 0


def test_registering_only_starts_nothing(program: Path) -> None:
    result = run_program(program, "-m", "+x=1", "hydra.launcher.run=false")

    assert "registered program.squares: 3 entities created" in result.stdout
    assert executions_in(result.stdout) == []
    assert result.returncode == 0


def test_a_dry_run_shows_the_plan_and_touches_nothing(program: Path, flyte_backend: RunningBackend) -> None:
    result = run_program(program, "-m", "+x=1,3", "hydra.launcher.dry_run=true")

    assert "dry run: nothing is built, sent or started" in result.stdout
    assert f"endpoint: the embedded backend, at {flyte_backend.http_url}\n" in result.stdout
    entities = "task program.square", "workflow program.squares", "launch plan program.squares"
    assert "entities: 3\n  {}\n  {}\n  {}\n".format(*entities) in result.stdout
    assert "program.py" in result.stdout
    assert "x = 3.0" in result.stdout
    assert executions_in(result.stdout) == []
    assert not list(program.parent.glob("multirun/**/.hydra"))
    assert result.returncode == 0


def test_what_the_program_prints_may_go_into_its_own_folder(program: Path) -> None:
    folder = program.parent
    (folder / "nohup.out").write_text("of yesterday")
    python = f"{sys.executable} {' '.join(map(shlex.quote, QUIET))} {program.name}"
    launched = f"set -o pipefail; {python} -m +x=7 2>&1 | tee run.txt"
    planned = f"{python} -m +x=7 hydra.launcher.dry_run=true > out1 2> out2"

    outcome = subprocess.run(
        ["bash", "-c", f"{launched}; echo $?; {planned}"], cwd=folder, capture_output=True, text=True
    )

    assert "job 0 [+x=7] SUCCEEDED" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "0"
    left_out = (folder / "out1").read_text().partition("left out")[2]
    assert [name for name in ("nohup.out", "out1", "out2") if name in left_out] == ["nohup.out", "out1", "out2"]


def test_the_first_failure_ends_the_sweep_where_that_was_asked_for(program: Path) -> None:
    settings = ("hydra.launcher.on_failure=fail_fast", "hydra.launcher.max_concurrency=1")

    result = run_program(program, "-m", "+x=-1,2,3", *settings)

    assert len(executions_in(result.stdout)) == 1
    assert result.stdout.count("was not started: another job of the sweep failed (on_failure=fail_fast)") == 2
    assert result.returncode == 1


def test_a_config_that_does_not_fit_stops_before_anything_is_sent(program: Path) -> None:
    result = run_program(program, "-m", "+y=1")

    assert "y: no parameter of the workflow takes this config key" in result.stderr
    assert "parameters of the workflow: x: float" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert "code bundle" not in result.stdout
    assert result.returncode == 1


def test_an_endpoint_that_does_not_answer_is_named(program: Path) -> None:
    result = run_program(program, "-m", "+x=1", "hydra.launcher.endpoint=127.0.0.1:1")

    assert "No Flyte backend answers at 127.0.0.1:1 (hydra.launcher.endpoint=127.0.0.1:1)" in result.stderr
    assert "tried with plain text" in result.stderr
    assert result.returncode == 1


def test_an_endpoint_that_says_nothing_is_given_up(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"

        result = run_program(program, "-m", "+x=1", f"hydra.launcher.endpoint={endpoint}")

    assert f"at {endpoint} (hydra.launcher.endpoint={endpoint}): no connection within 4 s" in result.stderr
    assert "tried with plain text" in result.stderr
    assert result.returncode == 1


def test_a_later_batch_goes_on_with_the_job_numbers(program: Path) -> None:
    result = run_program(program, "-m", "+x=1,2,3", "hydra.sweeper.max_batch_size=2", "hydra.sweep.dir=sweep")

    assert "job 2 [+x=3] SUCCEEDED" in result.stdout
    assert sorted(path.name for path in (program.parent / "sweep").iterdir() if path.is_dir()) == ["0", "1", "2"]


def test_an_interrupt_says_what_goes_on_and_how_to_end_it(tmp_path: Path) -> None:
    program = write_program(tmp_path, SLOW)
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+seconds=20"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    until_submitted = next(line for line in process.stdout if "submitted" in line)

    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)

    link = executions_in(until_submitted)[0]
    assert process.returncode == 130, errors
    assert "Interrupted. 1 execution(s) go on without this program:" in rest
    assert f"job 0: {link}" in rest
    assert re.search(r"follow it: hydraflyte sweeps attach (k\w+); end it: hydraflyte sweeps cancel \1", rest)
    assert errors == ""


def test_an_interrupt_before_any_job_says_so(tmp_path: Path) -> None:
    program = write_program(tmp_path, f"{SLOW}\n# of {tmp_path}\n")
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+seconds=20"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("version"))

    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)

    assert process.returncode == 130, errors
    assert "submitted:" not in rest
    assert errors == "Interrupted: no job was submitted.\n"


def test_on_a_terminal_the_live_table_gives_way_to_one_table_of_results(program: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+x=range(12)"],
        cwd=program.parent,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(follower)
    terminal = FakeTerminal(height=24)
    terminal.write(_read_until_closed(leader))

    screen = terminal.screen()
    assert process.wait(timeout=60) == 0, "\n".join(screen)
    assert terminal.erased > 0
    assert sum(line.startswith("job  overrides") for line in screen) == 1
    assert sum(" SUCCEEDED  " in line for line in screen) == 12
    assert sum("submitted: http" in line for line in screen) == 12


def _read_until_closed(descriptor: int) -> str:
    received = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # the program has ended
            break
        if not chunk:
            break
        received += chunk
    os.close(descriptor)
    return received.decode(errors="replace")
