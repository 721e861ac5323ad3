"""Schedules through FlyteRemote: registered, activated, fired, caught up with after a crash, deactivated."""

import os
import signal
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from flytekit import LaunchPlan
from flytekit.configuration import Config, FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.models.schedule import Schedule
from flytekit.remote import FlyteRemote
from flytekit.remote.remote import FastPackageOptions
from scheduled_flows import stamps

from hydraflyte.catch_up import CatchUp
from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def home(tmp_path):
    home = Home(root=tmp_path / "home")
    yield home
    stop_backend(home)


@pytest.fixture
def start(home):
    def run(**options):
        running = start_backend(home, BackendOptions(port=0, **options))
        config = Config.auto(config_file=running.config)
        remote = FlyteRemote(config, default_project="flytesnacks", default_domain="development")
        return running, remote

    return run


def register(remote, expression):
    """Register and activate a launch plan of ``stamps``; returns the FlyteLaunchPlan."""
    _, destination = remote.fast_package(str(FLOWS), options=FastPackageOptions([]))
    settings = SerializationSettings(
        image_config=ImageConfig.auto(img_name="unused:1"),
        project="flytesnacks",
        domain="development",
        version="v1",
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, destination_dir=".", distribution_location=destination
        ),
    )
    remote.register_workflow(stamps, serialization_settings=settings)
    schedule = Schedule("at", cron_schedule=Schedule.CronSchedule(expression, None))  # croniter knows no CRON_TZ
    plan = LaunchPlan.get_or_create(stamps, f"stamped at {expression}", schedule=schedule)
    registered = remote.register_launch_plan(plan, version="v1", serialization_settings=settings)
    remote.activate_launchplan(registered.id)
    return registered


def scheduled(remote):
    executions, _ = remote.client.list_executions_paginated("flytesnacks", "development", limit=100)
    return sorted(executions, key=lambda execution: execution.closure.created_at)


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)
    return found


def test_an_active_schedule_fires_until_it_is_deactivated(start):
    _, remote = start()
    plan = register(remote, "@every 1s")

    wait_for(lambda: len(scheduled(remote)) >= 2)
    remote.deactivate_launchplan(plan.id)
    fired = scheduled(remote)
    ended = [remote.wait(remote.fetch_execution(name=each.id.name)) for each in fired[:2]]

    times = [each.spec.metadata.scheduled_at for each in fired]
    assert [each.spec.metadata.mode for each in fired[:2]] == [1, 1]  # SCHEDULED
    assert times[1] - times[0] == timedelta(seconds=1)
    assert [each.outputs["o0"] for each in ended] == [f"fired at {at:%Y-%m-%d %H:%M:%S}" for at in times[:2]]
    time.sleep(1.5)  # that nothing fires can only be seen by waiting
    assert len(scheduled(remote)) == len(fired)


@pytest.mark.parametrize(("catch_up", "expected"), [("none", 0), ("last", 1), ("all", 3)])
def test_fire_times_missed_while_the_backend_was_down_are_caught_up_with_once(home, start, catch_up, expected):
    running, remote = start()
    register(remote, "0 * * * *")
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not home.is_locked())
    hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    pretend_activation(home.database, hour - timedelta(hours=2, minutes=30))

    running, remote = start(catch_up=CatchUp(catch_up))
    if expected:
        wait_for(lambda: len(scheduled(remote)) == expected)
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not home.is_locked())
    _, remote = start(catch_up=CatchUp(catch_up))
    time.sleep(1)  # that nothing fires can only be seen by waiting

    times = [each.spec.metadata.scheduled_at.replace(tzinfo=timezone.utc) for each in scheduled(remote)]
    assert times == [hour - timedelta(hours=back) for back in range(expected - 1, -1, -1)]


def pretend_activation(database, at):
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM schedules")
        connection.execute(
            "UPDATE launch_plans SET updated_at = ? WHERE state = 1", (at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),)
        )
    connection.close()
