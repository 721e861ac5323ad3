"""Where the launcher is not the one that runs: plain Python without ``-m``, or one sentence if it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hydra.programs import NO_YAML, WITH_CONFIG, run_program, write_program

CHOSEN_IN_DEFAULTS = "defaults:\n  - override hydra/launcher: flyte\n  - _self_\nlr: 1\n"
PLAIN = "lr: 1\n"
ALWAYS_A_SWEEP = "lr: 1\nhydra:\n  mode: MULTIRUN\n  launcher:\n    execution_environment: local\n"


def test_the_program_without_a_yaml_file_runs_as_plain_python(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, NO_YAML), "+x=3.0")

    assert result.stdout == "value: 9.0\n"
    assert result.stderr == ""
    assert result.returncode == 0


def test_settings_of_the_launcher_change_nothing_for_plain_python(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, NO_YAML), "hydra.launcher.workflow.name=squares")

    assert result.stdout == "value: 4.0\n"
    assert result.returncode == 0


def test_the_launcher_chosen_in_the_programs_own_config_runs_as_plain_python(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, WITH_CONFIG, config=CHOSEN_IN_DEFAULTS), "lr=2")

    assert result.stdout == "ran here: {'lr': 2}\n"
    assert result.returncode == 0


@pytest.mark.parametrize("name", ["flyte", "hydraflyte"])
@pytest.mark.parametrize("config", [PLAIN, CHOSEN_IN_DEFAULTS])
def test_the_launcher_chosen_on_the_command_line_stops_with_one_sentence(
    tmp_path: Path, name: str, config: str
) -> None:
    result = run_program(write_program(tmp_path, WITH_CONFIG, config=config), f"hydra/launcher={name}")

    assert result.stdout == ""
    assert result.stderr == (
        f"hydra/launcher={name} launches only sweeps, also of one job: add -m (or hydra.mode=MULTIRUN); "
        f"leave hydra/launcher={name} out to run here as plain Python.\n"
    )
    assert result.returncode == 1
    assert not (tmp_path / "outputs").exists()


def test_it_stops_also_where_the_program_sets_its_own_run_folder(tmp_path: Path) -> None:
    program = write_program(tmp_path, WITH_CONFIG, config="lr: 1\nhydra:\n  run:\n    dir: mine\n")

    result = run_program(program, "hydra/launcher=flyte")

    assert "ran here" not in result.stdout
    assert "add -m" in result.stderr
    assert result.returncode == 1


def test_the_launcher_in_the_program_without_a_yaml_file_stops_too(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, NO_YAML), "hydra/launcher=flyte")

    assert "add -m" in result.stderr
    assert result.returncode == 1


def test_a_config_that_always_sweeps_needs_no_flag(tmp_path: Path) -> None:
    program = write_program(tmp_path, WITH_CONFIG, config=ALWAYS_A_SWEEP)

    result = run_program(program, "hydra/launcher=flyte")

    assert "ran here: {'lr': 1}" in result.stdout
    assert result.returncode == 0


def test_looking_at_the_config_is_not_running(tmp_path: Path) -> None:
    program = write_program(tmp_path, WITH_CONFIG, config=PLAIN)

    result = run_program(program, "hydra/launcher=flyte", "--cfg", "job")

    assert result.stdout == "lr: 1\n"
    assert result.returncode == 0


def test_other_launchers_are_none_of_our_business(tmp_path: Path) -> None:
    result = run_program(write_program(tmp_path, WITH_CONFIG, config=PLAIN), "hydra/launcher=basic")

    assert result.stdout == "ran here: {'lr': 1}\n"
    assert result.returncode == 0


EXPERIMENT = "# @package _global_\ndefaults:\n  - override /hydra/launcher: flyte\nlr: {lr}\n"


@pytest.fixture
def with_experiments(tmp_path: Path) -> Path:
    program = write_program(tmp_path, WITH_CONFIG, config=PLAIN)
    (tmp_path / "conf" / "experiment").mkdir()
    for name, lr in (("a", 2), ("b", 3)):
        (tmp_path / "conf" / "experiment" / f"{name}.yaml").write_text(EXPERIMENT.format(lr=lr))
    return program


def test_the_launcher_chosen_by_what_is_swept_over_stops_before_any_job(with_experiments: Path) -> None:
    result = run_program(with_experiments, "-m", "+experiment=a,b")

    assert "ran here" not in result.stdout
    assert "command line" in result.stderr  # where to choose it; Hydra 1.4 says it in its own words
    assert "hydra/launcher" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("arguments", [("+experiment=a",), ("+experiment=a,b", "hydra/launcher=flyte")])
def test_the_launcher_chosen_before_the_sweep_runs_it(with_experiments: Path, arguments: tuple[str, ...]) -> None:
    here = "hydra.launcher.execution_environment=local"

    result = run_program(with_experiments, "-m", here, *arguments)

    assert "in this process" in result.stdout
    assert "ran here: {'lr': 2}" in result.stdout
    assert result.returncode == 0
