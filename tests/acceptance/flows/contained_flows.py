"""Tasks that tell where they ran: in an image that has flytekit and nothing of hydraflyte."""

import importlib.util
import json
import os
import time
from datetime import timedelta

from flytekit import ContainerTask, Resources, Secret, current_context, kwtypes, task, workflow
from flytekit.types.file import FlyteFile

NOWHERE = "localhost:1/no/such:1"
say = ContainerTask(
    name="say",
    image="{{.image.shell.fqn}}:{{.image.shell.version}}",
    inputs=kwtypes(text=str),
    command=["/bin/sh", "-c", "echo said {{.inputs.text}}"],
)

count = ContainerTask(
    name="count",
    image="{{.image.shell.fqn}}:{{.image.shell.version}}",
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
    inputs=kwtypes(text=FlyteFile, factor=int),
    outputs=kwtypes(total=int, copy=FlyteFile),
    command=[
        "/bin/sh",
        "-c",
        "cd /var/outputs; cp /var/inputs/text copy; echo $(($(wc -c < copy) * $(cat /var/inputs/factor))) > total",
    ],
)


@task
def write() -> FlyteFile:
    with open("written.txt", "w") as file:
        file.write("by a container")
    return FlyteFile("written.txt")


@task(secret_requests=[Secret(group="db", key="password")], environment={"GREETING": "hello\nworld"})
def describe(file: FlyteFile) -> str:
    with open(file) as opened:
        read = opened.read()
    context = current_context()
    facts = {
        "read": read,
        "has_hydraflyte": importlib.util.find_spec("hydraflyte") is not None,
        "secret": context.secrets.get("db", "password"),
        "greeting": os.environ["GREETING"],
        "user": os.getuid(),
        "execution": context.execution_id.name == os.environ["FLYTE_INTERNAL_EXECUTION_ID"],
        "backends_variables": [name for name in os.environ if name.startswith(("CONTAINERS_", "DOCKER_", "PYTEST_"))],
    }
    return json.dumps(facts)


@workflow
def crosses_two_containers() -> str:
    return describe(file=write())


@task(requests=Resources(mem="200Mi"))
def hoard() -> int:
    return len(b"x" * 1024**3)


@task(container_image=NOWHERE)
def never_start() -> int:
    return 1


@task(timeout=timedelta(seconds=5))
def linger() -> int:
    time.sleep(600)
    return 1


@workflow
def wants_too_much() -> int:
    return hoard()


@workflow
def has_no_image() -> int:
    return never_start()


@workflow
def takes_too_long() -> int:
    return linger()


@task
def length(file: FlyteFile) -> int:
    with open(file) as opened:
        return len(opened.read())


@workflow
def exchanges_files(factor: int) -> tuple[int, int]:
    total, copy = count(text=write(), factor=factor)
    return total, length(file=copy)


@workflow
def says(text: str) -> None:
    say(text=text)
