"""An execution once more: the same code, config and inputs, on the backend or in a folder; and what differs is said."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import arithmetic_flows
import pytest
from tests.hydra.programs import run_program

from hydraflyte.cli.main import main
from hydraflyte.home import RunningBackend

pytestmark = pytest.mark.usefixtures("flyte_backend")

PROGRAM = """
import time

import hydra
from flytekit import task, workflow
from flytekit.types.file import FlyteFile
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from helpers import times


@task
def fit(cfg: DictConfig, data: FlyteFile) -> tuple[float, str]:
    number = int(open(data).read())
    if cfg.model.layers == 0:
        raise ValueError("no layers")
    noise = time.time() if cfg.model.layers == 4 else 0.0
    return times(number, cfg.model.layers) + noise, f"{HydraConfig.get().job.num} {cfg.started}"


@workflow
def train(cfg: DictConfig, data: FlyteFile) -> tuple[float, str]:
    return fit(cfg=cfg, data=data)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    train(cfg=cfg, data=cfg.data)


if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/launcher: flyte
model: {layers: 2}
started: ${now:%S%f}
data: ???
"""


@pytest.fixture(scope="module")
def executions(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four jobs: two of them well, one that fails, one that is never the same; their code is deleted."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONFIG)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "helpers.py").write_text("def times(x: float, by: float) -> float:\n    return x * by\n")
    (folder / "data.txt").write_text("21")
    environ = {"GIT_CEILING_DIRECTORIES": os.fspath(folder.parent)}
    jobs = "model.layers=2,0,3,4", f"data={folder / 'data.txt'}", "hydra.sweep.dir=out"

    ended = run_program(folder / "program.py", "-m", *jobs, environ=environ)

    names = [part.split()[0].rpartition("/")[2] for part in ended.stdout.split("submitted: ")[1:]]
    assert len(names) == 4, ended.stdout + ended.stderr
    shutil.rmtree(folder)
    return sorted(names)


def reproduce(*arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main(("reproduce", *arguments))
    return status, output.getvalue(), errors.getvalue()


def show(name: str) -> dict[str, object]:
    command = [sys.executable, "-m", "hydraflyte", "executions", "show", name, "--json"]
    shown: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return shown


def test_it_runs_again_with_the_same_outcome_without_the_code_at_hand(executions: list[str]) -> None:
    status, output, errors = reproduce(executions[0], "--wait", "--json")

    assert status == 0, errors
    told = json.loads(output)
    assert told["phase"] == "SUCCEEDED"
    assert told["inputs"]["cfg"]["model"] == {"layers": 2}
    assert [(each["name"], each["verdict"]) for each in told["outputs"]] == [("o0", "SAME"), ("o1", "SAME")]
    assert told["outputs"][0]["text"] == "42.0"
    assert told["outputs"][1]["text"].startswith("'0 ")  # Hydra's job number, and the frozen ${now:}
    assert {each["kind"] for each in told["differences"]} >= {"clock"}
    assert show(told["name"])["provenance"]["reproduces"].endswith(f"/{executions[0]}")  # type: ignore[index]


def test_it_is_no_job_of_the_sweep_and_nobody_is_told_of_its_end(
    executions: list[str], flyte_backend: RunningBackend
) -> None:
    from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

    from hydraflyte.launcher.endpoint import endpoint_of
    from hydraflyte.launcher.remote import GrpcFlyteClient

    _, output, _ = reproduce(executions[0], "--json")
    client = GrpcFlyteClient(endpoint_of(flyte_backend))
    identifier = WorkflowExecutionIdentifier(
        project="flytesnacks", domain="development", name=json.loads(output)["name"]
    )
    spec = client.get_execution(identifier, patience_s=0).spec
    client.close()

    labels = dict(spec.labels.values)
    assert "hydraflyte-version" in labels
    assert not {"hydraflyte-sweep", "hydraflyte-job", "hydraflyte-round"} & labels.keys()
    assert spec.disable_all


def test_files_among_the_inputs_are_kept_by_the_backend(executions: list[str], flyte_backend: RunningBackend) -> None:
    _, output, _ = reproduce(executions[0], "--dry-run", "--json")

    data = Path(json.loads(output)["inputs"]["data"])
    assert data.is_relative_to(flyte_backend.home)
    assert data.read_text() == "21"


def test_a_failure_that_fails_again_is_reproduced(executions: list[str]) -> None:
    status, output, _ = reproduce(executions[1], "--wait")

    assert status == 0
    assert "ended FAILED, as before" in output
    assert "no layers" in output


def test_another_outcome_is_shown_and_is_no_success(executions: list[str]) -> None:
    status, output, _ = reproduce(executions[3], "--wait")

    assert status == 1
    assert "ended SUCCEEDED, as before" in output
    assert "o0: different (" in output
    assert "o1: the same (" in output


def test_a_folder_holds_everything_for_a_run_here(executions: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "again"

    status, output, errors = reproduce(executions[2], "--into", str(folder))

    assert status == 0, errors
    assert f"written to {folder}; run it with: {sys.executable} {folder / 'run.py'}" in output
    assert (folder / "code" / "helpers.py").read_text().startswith("def times")
    assert "layers: 3" in (folder / "config" / "config.yaml").read_text()
    assert (folder / "config" / "overrides.yaml").read_text().startswith("- model.layers=3\n")
    about = json.loads((folder / "execution.json").read_text())
    assert about["outputs"]["o0"] == 63.0
    assert about["packages"]["flytekit"] == "1.16.31"
    ended = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "o0: the same (63.0)" in ended.stdout
    assert "o1: the same ('2 " in ended.stdout


def test_a_folder_in_use_is_left_alone(executions: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")

    status, _, errors = reproduce(executions[2], "--into", str(tmp_path))

    assert status == 1
    assert f"{tmp_path} is not empty" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_input_that_has_changed_or_is_gone_is_named(executions: list[str]) -> None:
    _, output, _ = reproduce(executions[0], "--dry-run", "--json")
    data = Path(json.loads(output)["inputs"]["data"])
    before = data.read_text()

    data.write_text("22")
    _, changed, _ = reproduce(executions[0], "--dry-run")
    data.unlink()
    status, _, gone = reproduce(executions[0])
    data.write_text(before)

    assert f"not as it was:\n  - input: {data} was changed at " in changed
    assert status == 1
    assert f"cannot be run again; these are gone:\n  - the input {data}" in gone


def test_code_that_is_gone_is_named_before_anything_is_started(executions: list[str], tmp_path: Path) -> None:
    _, output, _ = reproduce(executions[0], "--dry-run", "--json")
    (code,) = map(Path, json.loads(output)["code"])
    content = code.read_bytes()

    code.unlink()
    status, _, errors = reproduce(executions[0])
    into, _, into_errors = reproduce(executions[0], "--into", str(tmp_path / "x"))
    code.write_bytes(content)

    assert (status, into) == (1, 1)
    assert f"these are gone:\n  - the code bundle {code}" in errors
    assert f"{code} is gone" in into_errors


def test_what_another_client_ran_is_reproduced_with_what_is_known(run: Callable[..., Any], tmp_path: Path) -> None:
    name = run(arithmetic_flows.arithmetic, x=7).id.name

    status, output, errors = reproduce(name, "--wait")
    into, _, _ = reproduce(name, "--into", str(tmp_path / "x"))

    assert status == 0, errors
    assert "packages: installed packages were not recorded" in output
    assert output.count("the same (") == 2
    assert into == 0
    assert (tmp_path / "x" / "code" / "arithmetic_flows.py").is_file()


def test_an_execution_that_is_not_there_is_named() -> None:
    status, _, errors = reproduce("nothing-of-that-name")

    assert status == 1
    assert "There is no execution nothing-of-that-name in flytesnacks/development" in errors
