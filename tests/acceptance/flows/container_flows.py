"""Containers of their own, shell tasks, and nodes that want something else than their task."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from flytekit import ContainerTask, Resources, kwtypes, task, workflow
from flytekit.core.base_sql_task import SQLTask
from flytekit.exceptions.user import FlyteRecoverableException
from flytekit.extras.tasks.shell import OutputLocation, ShellTask
from flytekit.sensor.file_sensor import FileSensor
from flytekit.types.file import FlyteFile

leave_a_file = ContainerTask(
    name="leave-a-file",
    image="busybox:1.36",
    inputs=kwtypes(path=str),
    command=["/bin/sh", "-c", "echo said > {{.inputs.path}}"],
)
compute = ContainerTask(
    name="compute",
    image="busybox:1.36",
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
    inputs=kwtypes(x=int),
    outputs=kwtypes(y=int),
    command=["/bin/sh", "-c", "echo 1 > /var/outputs/y"],
)
count_lines = ShellTask(
    name="count-lines",
    script="wc -l < {inputs.text} > {outputs.count}",
    inputs=kwtypes(text=FlyteFile),
    output_locs=[OutputLocation(var="count", var_type=FlyteFile, location="count.txt")],
)


@workflow
def runs_a_program(path: str) -> None:
    leave_a_file(path=path)


@workflow
def wants_files(x: int) -> int:
    return compute(x=x)


@task
def write_lines() -> FlyteFile:
    with open("lines.txt", "w") as file:
        file.write("a\nb\nc\n")
    return FlyteFile("lines.txt")


@task
def read_number(file: FlyteFile) -> int:
    with open(file) as opened:
        return int(opened.read())


@workflow
def calls_a_shell() -> int:
    return read_number(file=count_lines(text=write_lines()))


@task
def fail_first(folder: str) -> int:
    attempts = len(os.listdir(folder))
    open(os.path.join(folder, str(attempts)), "w").close()
    if attempts < 2:
        raise FlyteRecoverableException("not yet")
    return attempts


@workflow
def is_given_retries(folder: str) -> int:
    return fail_first(folder=folder).with_overrides(retries=2, node_name="patient")


@task
def sleep_long() -> int:
    return subprocess.call([sys.executable, "-c", "import time; time.sleep(600)"])


@workflow
def is_given_a_timeout() -> int:
    return sleep_long().with_overrides(timeout=timedelta(seconds=1))


@task
def count_runs(folder: str) -> int:
    runs = len(os.listdir(folder))
    open(os.path.join(folder, str(runs)), "w").close()
    return runs


@workflow
def is_given_a_cache(folder: str) -> int:
    return count_runs(folder=folder).with_overrides(
        cache=True,
        cache_version="1",
        container_image="example.invalid/other:1",
        requests=Resources(cpu="100m"),
        limits=Resources(cpu="1"),
    )


wait_for_file = FileSensor("wait-for-file", timeout=timedelta(seconds=60))
look_it_up = SQLTask("look-it-up", query_template="SELECT 1", task_type="oracle", outputs=kwtypes(answer=int))


@task
def leave(path: str) -> str:
    Path(path).touch()
    return path


@task
def is_there(path: str) -> bool:
    return Path(path).exists()


@workflow
def waits_for_a_file(path: str) -> bool:
    leave(path=path)
    seen = wait_for_file(path=path)
    found = is_there(path=path)
    seen >> found
    return found


@workflow
def asks_an_oracle() -> int:
    return look_it_up()
