"""Traps of Hydra that launchers have fallen into; docs/reference/known-defects.md has the list."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from tests.hydra.programs import NO_YAML, QUIET, run_program, write_program

import hydraflyte
from hydraflyte.config import LauncherConfig

SOURCES = [
    *Path(hydraflyte.__file__).parent.rglob("*.py"),
    *Path(hydraflyte.__file__).parents[1].glob("hydra_plugins/hydraflyte_launcher/*.py"),
]
REPOSITORY = Path(__file__).parents[2]

PROGRAM = '''
"""A launch whose config nobody may write to, with callbacks, variables and an exception that no pickle can hold."""

import os
import threading

import hydra
import hydraflyte.launcher.launch as story
from flytekit import task, workflow
from omegaconf import DictConfig, OmegaConf

whole_story = story.launch


def watched(request):
    OmegaConf.set_readonly(request.config, True)  # as Hydra 1.4 hands it out
    before = OmegaConf.to_yaml(request.config)
    try:
        return whole_story(request)
    finally:
        assert OmegaConf.to_yaml(request.config) == before, "the launcher wrote into the sweep's config"
        print("the config is as it was")


story.launch = watched


class Unpicklable(Exception):
    def __init__(self, x):
        super().__init__(f"{x} is too low")
        self.lock = threading.Lock()


@task
def rated(x: float) -> str:
    if x < 0:
        raise Unpicklable(x)
    return os.environ["RATE"]


@workflow
def rating(x: float = 2.0) -> str:
    return rated(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> str:
    return rating(**cfg)


if __name__ == "__main__":
    main()
'''

TOLD = """
from pathlib import Path

from hydra.experimental.callback import Callback


class Told(Callback):
    def _note(self, text):
        with open(Path(__file__).with_name("told.txt"), "a") as file:
            file.write(f"{text}\\n")

    def on_multirun_start(self, config, **kwargs):
        self._note("multirun starts")

    def on_multirun_end(self, config, **kwargs):
        self._note("multirun ends")

    def on_job_start(self, config, **kwargs):
        self._note(f"job {config.hydra.job.num} starts")

    def on_job_end(self, config, job_return, **kwargs):
        self._note(f"job {config.hydra.job.num} ends {job_return.status.name}")
"""

SLOW = NO_YAML.replace("    if x < 0:\n", "    import time\n    time.sleep(x)\n    if x < 0:\n")
TELLS = "+hydra.callbacks.told._target_=told.Told"


@pytest.fixture(scope="module")
def launched(flyte_backend: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """One launch of two jobs, of which the second fails; its folder, and how it ended."""
    folder = tmp_path_factory.mktemp("traps")
    (folder / "told.py").write_text(TOLD)
    (folder / "temporary").mkdir()
    program = write_program(folder, PROGRAM)
    ended = run_program(
        program,
        "-m",
        "+x=1.5,-1",
        "+hydra.job.env_set.RATE='rate of ${x}'",
        TELLS,
        "hydra.sweep.dir=sweep",
        environ={"TMPDIR": str(folder / "temporary")},
    )
    return folder, ended


def test_the_sweeps_config_may_be_read_only_and_is_left_as_it_was(launched: tuple[Path, Any]) -> None:
    _, ended = launched

    assert "the config is as it was" in ended.stdout
    assert "ReadonlyConfigError" not in ended.stderr
    assert "job 0 [+x=1.5] SUCCEEDED" in ended.stdout


def test_variables_of_a_job_are_interpolated_and_reach_its_tasks(launched: tuple[Path, Any]) -> None:
    folder, _ = launched

    rows = json.loads((folder / "sweep" / "results.json").read_text())
    assert rows[0]["outputs"] == {"o0": "rate of 1.5"}


def test_an_exception_that_no_pickle_can_hold_keeps_its_frames(launched: tuple[Path, Any]) -> None:
    folder, ended = launched

    assert "Unpicklable: -1.0 is too low" in ended.stdout
    assert f'File "{folder}/program.py", line 37, in rated' in ended.stdout
    assert ended.returncode == 1


def test_a_failure_is_in_its_jobs_own_log(launched: tuple[Path, Any]) -> None:
    folder, _ = launched

    log = (folder / "sweep" / "1" / "program.log").read_text()
    assert "Unpicklable: -1.0 is too low" in log


def test_callbacks_hear_of_every_job(launched: tuple[Path, Any]) -> None:
    folder, _ = launched

    told = (folder / "told.txt").read_text().splitlines()
    assert told[0] == "multirun starts"
    jobs = sorted(line for line in told if line.startswith("job"))
    assert jobs == ["job 0 ends COMPLETED", "job 0 starts", "job 1 ends FAILED", "job 1 starts"]


def test_a_launch_leaves_no_temporary_files(launched: tuple[Path, Any]) -> None:
    folder, _ = launched

    assert sorted((folder / "temporary").rglob("*")) == []


@pytest.mark.usefixtures("flyte_backend")
@pytest.mark.usefixtures("flyte_backend")
def test_callbacks_hear_of_a_sweep_that_the_user_leaves(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(TOLD)
    program = write_program(tmp_path, SLOW)
    process = subprocess.Popen(
        [sys.executable, *QUIET, program.name, "-m", "+x=30", TELLS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    next(line for line in process.stdout if "submitted" in line)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 130, errors
    assert (tmp_path / "told.txt").read_text().splitlines() == ["multirun starts", "job 0 starts", "multirun ends"]


def test_settings_of_the_launcher_cannot_be_swept_and_hydra_says_so(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, NO_YAML), "-m", "hydra.launcher.max_concurrency=1,2")

    assert (
        "Sweeping over Hydra's configuration is not supported : 'hydra.launcher.max_concurrency=1,2'" in result.stderr
    )
    assert result.returncode == 1


def nested_schemas(kind: type) -> Iterator[type]:
    hints = get_type_hints(kind)
    for each in fields(kind):
        for part in (hints[each.name], *get_args(hints[each.name])):
            if isinstance(part, type) and is_dataclass(part):
                yield part
                yield from nested_schemas(part)


def test_no_part_of_the_launchers_config_names_something_to_instantiate() -> None:
    """Hydra 1.4 instantiates a launcher's config without what is in it, and takes no target but the launcher."""
    schemas = list(nested_schemas(LauncherConfig))

    assert len(schemas) >= 3
    assert [schema for schema in schemas if any(each.name == "_target_" for each in fields(schema))] == []


def names_in(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                yield name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cloudpickle", "it corrupts structured configs (hydra-zen#58), and nothing is pickled here"),
        ("pickle", "code and values of the user travel as code and typed literals"),
        ("docker", "neither ignore files nor a registry need the SDK of Docker"),
        ("instantiate", "Hydra 1.4 wants a whitelist for every target"),
    ],
)
def test_no_source_uses(name: str, why: str) -> None:
    assert SOURCES
    assert [source.name for source in SOURCES if name in names_in(source)] == [], why


def test_every_program_that_we_show_takes_hydras_own_defaults() -> None:
    """``version_base`` is deprecated in Hydra 1.4, and its old values are gone there."""
    pages = [*REPOSITORY.glob("examples/*/*.py"), *REPOSITORY.glob("src/hydraflyte/cli/new_project/*.template")]
    pages += [page for page in REPOSITORY.glob("docs/**/*.md") if "@hydra.main(" in page.read_text(encoding="utf-8")]
    calls = [line for page in pages for line in page.read_text().splitlines() if line.startswith("@hydra.main(")]

    assert len(calls) >= 8
    assert [call for call in calls if "version_base=None" not in call] == []


def test_both_hydra_lines_and_the_oldest_python_are_part_of_ci() -> None:
    steps = (REPOSITORY / ".ci" / "run").read_text()
    project = (REPOSITORY / "pyproject.toml").read_text()

    assert "hydra-core>=1.4.0rc1,<1.5" in steps
    assert "for version in 3.10 3.11 3.12" in steps
    assert 'requires-python = ">=3.10,<3.13"' in project
