"""Schedules from the launcher's config: registered, activated, shown, taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import launch_plan_pb2
from tests.hydra.programs import run_program, write_program

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.register import launch_plan_id
from hydraflyte.launcher.remote import GrpcFlyteClient

PROGRAM = """
from datetime import datetime

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def note(x: float, kickoff_time: datetime) -> str:
    return f"{x} at {kickoff_time}"


@workflow
def nightly(x: float, kickoff_time: datetime) -> str:
    return note(x=x, kickoff_time=kickoff_time)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> str:
    return nightly(x=cfg.x, kickoff_time=datetime.now())


if __name__ == "__main__":
    main()
"""
CRON = (
    "hydra.launcher.workflow.cron_schedule='30 6 * * 1-5'",
    "hydra.launcher.workflow.schedule_timezone=Europe/Zurich",
)
EACH = "hydra.launcher.workflow.schedule_each_job=true"


@pytest.fixture
def program(tmp_path: Path, flyte_backend: RunningBackend) -> Path:
    return write_program(tmp_path, PROGRAM)


def program_of(tmp_path: Path, workflow: str) -> Path:
    return write_program(tmp_path, PROGRAM.replace("nightly", workflow))


def schedules(workflow: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "hydraflyte", "schedules", *arguments, "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert isinstance(found, list)
    return [facts for facts in found if facts["workflow"] == f"program.{workflow}"]


def launch_plan_of(backend: RunningBackend, facts: dict[str, Any]) -> launch_plan_pb2.LaunchPlan:
    identifier = launch_plan_id(facts["name"], project="flytesnacks", domain="development", version=facts["version"])
    client = GrpcFlyteClient(resolve_endpoint("embedded", None, {"HYDRAFLYTE_HOME": backend.home}))
    found = client.fetch(identifier)
    client.close()
    assert isinstance(found, launch_plan_pb2.LaunchPlan)
    return found


def test_jobs_of_a_sweep_have_schedules_of_their_own_until_a_launch_does_not_ask_for_them(
    tmp_path: Path, flyte_backend: RunningBackend
) -> None:
    program = program_of(tmp_path, "nightly")

    both = run_program(program, "-m", "+x=1,2", *CRON, EACH)

    assert both.returncode == 0, both.stdout + both.stderr
    assert "submitted" not in both.stdout
    assert "cron CRON_TZ=Europe/Zurich 30 6 * * 1-5, active" in both.stdout
    assert both.stdout.count(" UTC (06:30 CE") == 3
    active = schedules("nightly", "list")
    assert [facts["name"].rpartition("-")[0] for facts in active] == [
        "program.nightly.schedule.x-1",
        "program.nightly.schedule.x-2",
    ]
    assert {facts["kickoff_input"] for facts in active} == {"kickoff_time"}
    assert [len(facts["next"]) for facts in active] == [3, 3]
    fixed = launch_plan_of(flyte_backend, active[0]).spec.fixed_inputs.literals
    assert {name: literal.scalar.primitive.float_value for name, literal in fixed.items()} == {"x": 1.0}

    one = run_program(program, "-m", "+x=2", *CRON, EACH)

    assert f"schedule {active[0]['name']} deactivated: this launch does not ask for it" in one.stdout
    assert [facts["name"] for facts in schedules("nightly", "list")] == [active[1]["name"]]

    without = run_program(program, "-m", "+x=2")
    activated = schedules("nightly", "activate", *(facts["name"] for facts in active))
    deactivated = schedules("nightly", "deactivate", "--workflow", "program.nightly")

    assert "kickoff_time: missing in the config" in without.stderr
    assert "to take schedules back, `hydraflyte schedules deactivate --workflow NAME`" in without.stderr
    assert [facts["state"] for facts in activated] == ["active", "active"]
    assert [facts["state"] for facts in deactivated] == ["inactive", "inactive"]


def test_without_running_a_schedule_is_registered_and_switched_from_the_command_line(
    tmp_path: Path, flyte_backend: RunningBackend
) -> None:
    program = program_of(tmp_path, "hourly")

    result = run_program(program, "-m", "+x=2", "hydra.launcher.workflow.fixed_rate=6h", "hydra.launcher.run=false")

    assert "every 6 hours, registered, inactive" in result.stdout, result.stderr
    assert schedules("hourly", "list") == []
    assert [facts["state"] for facts in schedules("hourly", "list", "--all")] == ["inactive"]
    (activated,) = schedules("hourly", "activate", "program.hourly.schedule")
    assert (activated["schedule"], activated["state"]) == ("every 6 hours", "active")
    assert [facts["next"] for facts in schedules("hourly", "list")] == [activated["next"]]  # however late it is asked
    activated_at = launch_plan_of(flyte_backend, activated).closure.updated_at.ToDatetime()
    assert activated["next"][0] == (activated_at + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (deactivated,) = schedules("hourly", "deactivate", "program.hourly.schedule")
    assert deactivated["state"] == "inactive"


def test_a_launch_without_the_key_takes_the_schedule_back_and_prune_those_left_behind(
    tmp_path: Path, flyte_backend: RunningBackend
) -> None:
    program = program_of(tmp_path, "daily")
    program.write_text(program.read_text().replace("kickoff_time: datetime)", "kickoff_time: datetime = datetime.max)"))
    rate = "hydra.launcher.workflow.fixed_rate=1d"
    run_program(program, "-m", "+x=2", rate)
    program.write_text(f"{program.read_text()}# changed")
    run_program(program, "-m", "+x=2", "hydra.launcher.run=false")

    stale = schedules("daily", "prune", "--dry-run")
    without = run_program(program, "-m", "+x=2")

    assert [facts["name"] for facts in stale] == ["program.daily.schedule"]
    assert "schedule program.daily.schedule deactivated: this launch does not ask for it" in without.stdout
    assert schedules("daily", "list") == []
    assert schedules("daily", "prune") == []
    prune = [sys.executable, "-m", "hydraflyte", "schedules", "prune", "--domain", "production"]
    pruned = subprocess.run(prune, check=True, capture_output=True, text=True).stdout
    assert pruned == "nothing to prune: every schedule that a launch has made is of its newest version\n"


def test_a_sweep_with_one_schedule_says_what_to_choose(program: Path) -> None:
    result = run_program(program, "-m", "+x=1,2", *CRON)

    assert result.returncode == 1
    assert "This sweep has 2 jobs, and one schedule for them." in result.stderr
    assert EACH in result.stderr


def test_an_expression_that_cannot_be_read_stops_the_launch(program: Path) -> None:
    result = run_program(program, "-m", "+x=1", "hydra.launcher.workflow.cron_schedule='30 25 * * *'")

    assert result.returncode == 1
    assert "30 25 * * *" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
