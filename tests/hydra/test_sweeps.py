"""Sweeps through the user's door: found again, gone on with, never run twice; a real embedded backend."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from tests.hydra.programs import QUIET, run_program, write_program

from hydraflyte.home import RunningBackend

pytestmark = pytest.mark.usefixtures("flyte_backend")

LOCAL = "hydra.launcher.execution_environment=local"
LAST = "hydra.launcher.resume=last"

COUNTING = """
import os
import time
from typing import NamedTuple

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig

HERE = {here!r}


class Scores(NamedTuple):
    loss: float
    accuracy: float
    note: str


@task
def score(x: int) -> tuple[float, float, str]:
    with open(os.path.join(HERE, "ran"), "a") as ran:
        ran.write(f"{{x}}\\n")
    while os.path.exists(os.path.join(HERE, f"hold-{{x}}")):
        time.sleep(0.05)
    if os.path.exists(os.path.join(HERE, f"fail-{{x}}")):
        raise ValueError(f"{{x}} is not wanted\\nnor was it")
    return x / 2, float(x), "ok"


@workflow
def scores(x: int, token: str = "") -> Scores:
    loss, accuracy, note = score(x=x)
    return Scores(loss=loss, accuracy=accuracy, note=note)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> Scores:
    return scores(**cfg)


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the tasks count, and look for what they are to do."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def program(tmp_path: Path, here: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return write_program(folder, COUNTING.format(here=str(here)))


def ran(here: Path) -> list[str]:
    """The values of x for which the task has begun, in order."""
    counter = here / "ran"
    return counter.read_text().split() if counter.exists() else []


def sweep_id_in(text: str) -> str:
    found = re.search(r"\b(k[0-9a-f]{8})\b", text)
    assert found is not None, text
    return found[1]


def sweeps(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hydraflyte", "sweeps", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def sweeps_json(*arguments: str) -> Any:
    answer = sweeps(*arguments, "--json")
    assert answer.stdout, answer.stderr
    return json.loads(answer.stdout)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def launch(program: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", *arguments],
        cwd=program.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_the_results_of_a_sweep_lie_beside_its_manifest(program: Path, here: Path) -> None:
    (here / "fail-2").touch()

    launched = run_program(program, "-m", "+x=1,2", "hydra.sweep.dir=sweep")
    sweep_id = sweep_id_in(launched.stdout)
    shown = sweeps("show", sweep_id)
    asked = list(csv.DictReader(sweeps("results", sweep_id).stdout.splitlines()))

    folder = program.parent / "sweep"
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["overrides.x"] for row in rows] == ["1", "2"]
    assert [row["phase"] for row in rows] == ["SUCCEEDED", "FAILED"]
    assert [row["outputs.loss"] for row in rows] == ["0.5", ""]
    assert rows[1]["error"] == "ValueError: 2 is not wanted"
    assert asked == rows
    assert "job 1: ValueError: 2 is not wanted\n" in shown.stdout
    assert "job 0 [+x=1] SUCCEEDED after " in launched.stdout
    assert " s: {'accuracy': 1.0, 'loss': 0.5, 'note': 'ok'}\n" in launched.stdout
    assert rows[0]["link"].endswith(rows[0]["execution"])
    document = json.loads((folder / "results.json").read_text())
    assert document[0]["outputs"] == {"accuracy": 1.0, "loss": 0.5, "note": "ok"}
    assert document[0]["duration_s"] > 0
    manifest = json.loads((folder / "sweep.json").read_text())
    assert [job["executions"] for job in manifest["jobs"]] == [[row["execution"]] for row in rows]
    assert pyarrow.parquet.read_table(folder / "results.parquet")["outputs.loss"].to_pylist() == [0.5, None]


def test_results_that_cannot_be_written_cost_nothing_but_the_files(program: Path) -> None:
    for folder in ("sweep", "here"):
        (program.parent / folder / "results.csv").mkdir(parents=True)

    ended = run_program(program, "-m", "+x=1,2", "hydra.sweep.dir=sweep")
    ended_here = run_program(program, "-m", "+x=1,2", "hydra.sweep.dir=here", LOCAL)

    assert ended.returncode == ended_here.returncode == 0, ended.stderr + ended_here.stderr
    assert "results could not be written to here: Is a directory\n" in ended_here.stdout
    sweep_id = sweep_id_in(ended.stdout)
    assert "results could not be written to sweep: Is a directory; " in ended.stdout
    assert [row["outputs"]["accuracy"] for row in sweeps_json("results", sweep_id)] == [1.0, 2.0]


def test_a_sweep_in_this_process_ends_with_the_same_table_and_files(program: Path, here: Path) -> None:
    (here / "fail-2").touch()

    launched = run_program(program, "-m", "+x=1,2", "hydra.sweep.dir=sweep", LOCAL)

    assert re.search(r"^\|0 +\| \+x=1 +\| SUCCEEDED +\| [\d.]+ s +\| {'loss': 0.5, 'acc", launched.stdout, re.M), (
        launched
    )
    assert "results in sweep/results.csv\n" in launched.stdout
    with (program.parent / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["SUCCEEDED", "FAILED"]
    assert [row["outputs.loss"] for row in rows] == ["0.5", ""]
    assert rows[1]["error"].endswith("2 is not wanted")


def test_resuming_runs_only_what_has_not_succeeded(program: Path, here: Path) -> None:
    (here / "fail-2").touch()
    first = run_program(program, "-m", "+x=1,2,3", "+token=hunter2", "hydra.sweep.dir=first")
    (here / "fail-2").unlink()
    shutil.rmtree(program.parent / "first")  # as on another machine

    second = run_program(program, "-m", "+x=1,2,3", "+token=hunter2", "hydra.sweep.dir=second", LAST)

    assert first.returncode == 1
    assert second.returncode == 0, second.stdout + second.stderr
    assert sorted(ran(here)) == ["1", "2", "2", "3"]
    assert sweep_id_in(first.stdout) == sweep_id_in(second.stdout)
    assert "job 0 [+x=1 +token=***] found SUCCEEDED: http" in second.stdout
    assert "job 1 [+x=2 +token=***] submitted: http" in second.stdout
    rows = json.loads((program.parent / "second" / "results.json").read_text())
    assert [row["outputs"]["accuracy"] for row in rows] == [1.0, 2.0, 3.0]
    manifest = json.loads((program.parent / "second" / "sweep.json").read_text())
    assert [len(job["executions"]) for job in manifest["jobs"]] == [1, 2, 1]
    for name in ("sweep.json", "results.csv", "results.json", "results.parquet"):
        assert b"hunter2" not in (program.parent / "second" / name).read_bytes()
    assert "hunter2" not in second.stdout


def test_a_launcher_that_was_killed_loses_no_job(program: Path, here: Path) -> None:
    (here / "hold-2").touch()
    process = launch(program, "+x=1,2,3", "hydra.launcher.max_concurrency=2")
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if text.count("submitted:") == 3:  # the third only after one of the first two has ended
            break
    process.kill()
    process.communicate()
    wait_for(lambda: len(ran(here)) == 3)
    (here / "hold-2").unlink()

    again = run_program(program, "-m", "+x=1,2,3", "hydra.launcher.resume=last")

    assert again.returncode == 0, again.stdout + again.stderr
    assert sorted(ran(here)) == ["1", "2", "3"]
    assert "submitted:" not in again.stdout


def test_jobs_that_were_never_submitted_are_submitted_when_resumed(program: Path, here: Path) -> None:
    (here / "hold-1").touch()
    process = launch(program, "+x=1,2,3", "hydra.launcher.max_concurrency=1")
    wait_for(lambda: ran(here) == ["1"])
    process.kill()
    process.communicate()
    (here / "hold-1").unlink()

    again = run_program(program, "-m", "+x=1,2,3", "hydra.launcher.resume=last")

    assert again.returncode == 0, again.stdout + again.stderr
    assert sorted(ran(here)) == ["1", "2", "3"]
    assert again.stdout.count("submitted:") == 2


def test_another_sweep_is_not_taken_for_this_one(program: Path, here: Path) -> None:
    first = run_program(program, "-m", "+x=1,2")
    sweep_id = sweep_id_in(first.stdout)

    other_values = run_program(program, "-m", "+x=1,5", f"hydra.launcher.resume={sweep_id}")
    program.write_text(program.read_text() + "\n# another version\n")
    other_code = run_program(program, "-m", "+x=1,2", f"hydra.launcher.resume={sweep_id}")
    told = run_program(
        program, "-m", "+x=1,2", f"hydra.launcher.resume={sweep_id}", "hydra.launcher.resume_changed=true"
    )

    assert "job 1: it had [+x=2], now it has [+x=5]" in other_values.stderr
    assert re.search(r"version: it ran content-\w+, this is content-\w+", other_code.stderr)
    assert "hydra.launcher.resume_changed=true" in other_code.stderr
    assert told.returncode == 0
    assert told.stdout.count("found SUCCEEDED") == 2
    assert ran(here) == ["1", "2"] or ran(here) == ["2", "1"]


def test_a_changed_sweep_keeps_each_result_under_its_own_overrides(program: Path, here: Path) -> None:
    first = run_program(program, "-m", "+x=1,9,3")
    resume = (f"hydra.launcher.resume={sweep_id_in(first.stdout)}", "hydra.launcher.resume_changed=true")

    run_program(program, "-m", "+x=3,5,1", "hydra.sweep.dir=other", *resume)
    again = run_program(program, "-m", "+x=3,5,1", "hydra.sweep.dir=again", *resume)

    assert sorted(ran(here)) == ["1", "3", "5", "9"]
    assert again.stdout.count("found SUCCEEDED") == 3
    other, same = (json.loads((program.parent / name / "results.json").read_text()) for name in ("other", "again"))
    assert other == same
    assert {row["overrides"]["x"]: row["outputs"]["accuracy"] for row in other} == {"1": 1.0, "3": 3.0, "5": 5.0}
    shown = sweeps_json("results", sweep_id_in(first.stdout))
    assert [(row["job"], row["overrides"]["x"], row["outputs"]["accuracy"]) for row in shown] == [
        (0, "1", 1.0),
        (1, "9", 9.0),
        (2, "3", 3.0),
        (3, "5", 5.0),
    ]
    assert [row for row in shown if row["job"] != 1] == other
    manifest = json.loads((program.parent / "again" / "sweep.json").read_text())
    assert {job["executions"][-1]: job["overrides"] for job in manifest["jobs"]} == {
        row["execution"]: [f"+x={row['overrides']['x']}"] for row in shown
    }


def test_a_config_that_has_changed_is_shown_key_by_key(tmp_path: Path, here: Path) -> None:
    source = COUNTING.format(here=str(here)).replace('config_path=None, config_name="hydra/launcher/flyte"', "CONF")
    conf = 'config_path="conf", config_name="config"'
    config = "defaults:\n  - _self_\n  - override hydra/launcher: flyte\nx: 1\n"
    project = tmp_path / "project"
    project.mkdir()
    program = write_program(project, source.replace("CONF", conf), config=config)
    first = run_program(program, "-m")
    (project / "conf" / "config.yaml").write_text(config.replace("x: 1", "x: 7"))
    version = json.loads(next(project.glob("multirun/*/*/sweep.json")).read_text())["version"]

    again = run_program(program, "-m", "hydra.launcher.resume=last", f"hydra.launcher.workflow.version={version}")

    meant = run_program(program, "-m", "hydra.launcher.resume=last", "hydra.launcher.resume_changed=true")

    assert first.returncode == 0, first.stderr
    assert "job 0: its config is another one: x was 1, is 7" in again.stderr
    assert meant.returncode == 0, meant.stderr
    assert ran(here) == ["1", "7"]
    assert [row["outputs"]["accuracy"] for row in sweeps_json("results", sweep_id_in(first.stdout))] == [7.0]


def test_a_sweep_that_does_not_exist_is_named(program: Path, here: Path) -> None:
    unknown = run_program(program, "-m", "+x=1", "hydra.launcher.resume=k00000000")

    assert "There is no sweep 'k00000000' in flytesnacks/development at the embedded backend." in unknown.stderr
    assert "hydraflyte sweeps list" in unknown.stderr
    assert ran(here) == []


def test_without_waiting_a_sweep_is_followed_and_read_from_another_terminal(program: Path, here: Path) -> None:
    (here / "hold-1").touch()
    launched = run_program(program, "-m", "+x=1,2", "hydra.launcher.wait=false")
    sweep_id = sweep_id_in(launched.stdout)
    shutil.rmtree(program.parent)  # neither code nor manifest are needed, as on another machine

    command = [sys.executable, "-m", "hydraflyte", "sweeps", "attach", sweep_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attached:
        assert attached.stdout is not None
        told = next(line for line in attached.stdout if line.startswith("job 0 [+x=1] found"))
        (here / "hold-1").unlink()
        told += attached.stdout.read()
    again = sweeps("attach", sweep_id)
    shown = sweeps_json("show", sweep_id)
    listed = sweeps_json("list")
    results = sweeps("results", sweep_id)

    assert f"follow it: hydraflyte sweeps attach {sweep_id}" in launched.stdout
    assert attached.returncode == 0, told
    assert re.search(
        r"^job 0 \[\+x=1\] SUCCEEDED after [\d.]+ s: {'accuracy': 1.0, 'loss': 0.5, 'note': 'ok'}$", told, re.M
    )
    assert f"sweep {sweep_id}: 2 SUCCEEDED" in told
    assert again.stdout.count(f"sweep {sweep_id}: 2 SUCCEEDED") == 1
    assert re.search(r"^\|0 +\| \+x=1 +\| SUCCEEDED +\| [\d.]+ s +\| .*1\.0", again.stdout, re.M), again.stdout
    assert [(job["job"], job["overrides"], job["phase"]) for job in shown["jobs_list"]] == [
        (0, "+x=1", "SUCCEEDED"),
        (1, "+x=2", "SUCCEEDED"),
    ]
    assert shown["not_submitted"] == []
    assert listed[0]["sweep"] == sweep_id
    assert listed[0]["phases"] == {"SUCCEEDED": 2}
    assert [row["outputs.accuracy"] for row in csv.DictReader(results.stdout.splitlines())] == ["1.0", "2.0"]


def test_a_sweep_is_cancelled_and_its_failed_jobs_are_retried_from_another_terminal(
    program: Path, here: Path, flyte_backend: RunningBackend
) -> None:
    for x in (1, 2):
        (here / f"hold-{x}").touch()
    launched = run_program(program, "-m", "+x=1,2", "hydra.launcher.wait=false")
    sweep_id = sweep_id_in(launched.stdout)

    cancelled = sweeps_json("cancel", sweep_id)
    after_cancelling = sweeps("attach", sweep_id)
    for x in (1, 2):
        (here / f"hold-{x}").unlink()
    retried = sweeps_json("retry", sweep_id, "--home", flyte_backend.home)
    after_retrying = sweeps("attach", sweep_id)

    assert len(cancelled["cancelled"]) == 2
    assert after_cancelling.returncode == 1
    assert f"sweep {sweep_id}: 2 ABORTED" in after_cancelling.stdout
    assert sorted(retried["submitted"]) == sorted(f"{name}-r1" for name in cancelled["cancelled"])
    assert after_retrying.returncode == 0
    assert f"sweep {sweep_id}: 2 SUCCEEDED" in after_retrying.stdout


def test_results_are_written_in_the_format_of_the_file(program: Path, here: Path) -> None:
    launched = run_program(program, "-m", "+x=1")
    file = program.parent / "out.parquet"

    written = sweeps("results", sweep_id_in(launched.stdout), "--output", str(file))

    assert written.returncode == 0, written.stderr
    assert pyarrow.parquet.read_table(file)["outputs.loss"].to_pylist() == [0.5]


def test_so_many_failures_cancel_the_rest(program: Path, here: Path) -> None:
    for x in (1, 2):
        (here / f"fail-{x}").touch()

    result = run_program(
        program, "-m", "+x=1,2,3,4", "hydra.launcher.max_failures=2", "hydra.launcher.max_concurrency=1"
    )

    assert result.returncode == 1
    assert ran(here) == ["1", "2"]
    assert result.stdout.count("was not started: 2 jobs of the sweep failed (max_failures=2)") == 2


def test_an_objective_that_is_no_output_is_refused_before_anything_is_sent(program: Path, here: Path) -> None:
    result = run_program(program, "-m", "+x=1", "hydra.launcher.objective=los")

    assert "hydra.launcher.objective=los: the workflow has no such output." in result.stderr
    assert "did you mean loss?" in result.stderr
    assert "code bundle" not in result.stdout


def test_an_objective_that_is_no_number_fails_its_job(program: Path, here: Path) -> None:
    result = run_program(program, "-m", "+x=1", "hydra.launcher.objective=[loss,note]")

    assert result.returncode == 1
    assert "The objective 'note' is no number, but str: 'ok'" in result.stdout


def test_two_sweeps_that_begin_together_have_folders_of_their_own(program: Path, here: Path) -> None:
    (here / "hold-1").touch()
    first = launch(program, "+x=1", "hydra.sweep.dir=same")
    wait_for(lambda: ran(here) == ["1"])

    second = run_program(program, "-m", "+x=2", "hydra.sweep.dir=same")
    (here / "hold-1").unlink()
    first.communicate(timeout=60)

    assert second.returncode == 0, second.stderr
    overrides = {
        folder: json.loads((program.parent / folder / "sweep.json").read_text())["jobs"][0]["overrides"]
        for folder in ("same", "same_1")
    }
    assert overrides == {"same": ["+x=1"], "same_1": ["+x=2"]}
    assert (program.parent / "same_1" / "0" / ".hydra" / "config.yaml").read_text() == "x: 2\n"


@pytest.mark.parametrize(
    ("answer", "phase", "status"),
    [("c\n", "ABORTED", 1), ("wait\n", "SUCCEEDED", 0), ("leave\n", "RUNNING", 130), ("", "SUCCEEDED", 0)],
)
def test_ctrl_c_on_a_terminal_asks_what_to_do(program: Path, here: Path, answer: str, phase: str, status: int) -> None:
    (here / "hold-1").touch()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+x=1"],
        cwd=program.parent,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(follower)
    wait_for(lambda: ran(here) == ["1"])

    process.send_signal(signal.SIGINT)
    seen = _read_until(leader, "go on waiting [g]? ")
    if answer:
        os.write(leader, b"continue\n")
        seen += _read_until(leader, "go on waiting [g]? ")
        os.write(leader, answer.encode())
    if phase == "RUNNING":
        seen += _read_until(leader, "hydraflyte sweeps cancel")
    (here / "hold-1").unlink()
    seen += _read_until(leader, "")

    assert process.wait(timeout=60) == status, seen
    assert ("'continue' is none of these: type d, c or g, and Enter" if answer else "all jobs have ended") in seen
    if phase == "RUNNING":
        assert "Interrupted. 1 execution(s) go on without this program" in seen
    else:
        assert phase in seen


def _read_until(descriptor: int, text: str) -> str:
    """Read up to a text, or to the end."""
    seen = ""
    while not text or text not in seen:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # the program has ended
            return seen
        if not chunk:
            return seen
        seen += chunk.decode(errors="replace")
    return seen
