"""Tasks that say what they need of the machine, and tasks that use more than they said."""

import mmap
import os
import subprocess
import sys
import time
from functools import partial

from flytekit import PodTemplate, Resources, eager, map_task, task, workflow
from kubernetes.client import V1Container, V1EnvVar, V1PodSpec, V1ResourceRequirements

MEBIBYTE = 1024 * 1024


def _wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.02)


@task(requests=Resources(cpu="1", gpu="1"))
def hold_device(number: int, folder: str) -> str:
    """Hold the device alone for as long as the next task needs to come in, if one may."""
    device = os.environ["CUDA_VISIBLE_DEVICES"]
    lock = os.path.join(folder, f"device-{device}")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))  # raises if another task has the same device now
    if number < 2:  # the first two hold one each until both are there
        open(os.path.join(folder, f"here-{number}"), "w").close()
        _wait_for(os.path.join(folder, f"here-{1 - number}"))
    os.unlink(lock)
    return device


@workflow
def share_devices(numbers: list[int], folder: str) -> list[str]:
    return map_task(partial(hold_device, folder=folder))(number=numbers)


@task
def see_device() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "the variable is not set")


@workflow
def asks_for_no_device() -> str:
    return see_device()


@workflow
def asks_for_two_devices() -> str:
    return see_device().with_overrides(requests=Resources(gpu="2"))


@task(requests=Resources(cpu="1", gpu="2"))
def hold_all_devices(until: str) -> str:
    _wait_for(until)
    return os.environ["CUDA_VISIBLE_DEVICES"]


@workflow
def holds_all_devices(until: str) -> str:
    return hold_all_devices(until=until)


@task(requests=Resources(cpu="1", gpu="1"))
def want_a_device() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


@workflow
def wants_a_device() -> str:
    return want_a_device()


@eager(requests=Resources(gpu="2"))
async def keeps_all_devices_while_it_waits() -> str:
    return want_a_device()


@eager(requests=Resources(gpu="1"))
async def keeps_one_device_while_it_waits() -> str:
    return want_a_device()


@task(requests=Resources(cpu="64", mem="1Ti", gpu="3"))
def want_everything() -> int:
    return 1


@workflow
def never_fits() -> int:
    return want_everything()


@workflow
def fits_when_overridden() -> int:
    return want_everything().with_overrides(requests=Resources(cpu="1", mem="100Mi"))


@task(requests=Resources(mem="3Gi", cpu="100m"), limits=Resources(mem="3Gi", cpu="1"))
def take_turns(number: int, folder: str) -> int:
    """Fail if another one of these runs at the same time: two do not fit into memory."""
    lock = os.path.join(folder, "turn")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    time.sleep(0.05)
    os.unlink(lock)
    return number


@workflow
def one_at_a_time(numbers: list[int], folder: str) -> list[int]:
    return map_task(partial(take_turns, folder=folder))(number=numbers)


@task(limits=Resources(mem="300Mi"), retries=1)
def use_in_a_child(mebibytes: int) -> int:
    """Have a process of its own use the memory."""
    program = "import sys, time; data = b'x' * (int(sys.argv[1]) << 20); print('filled', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, str(mebibytes)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        time.sleep(1.0 if mebibytes < 300 else 60.0)
        child.kill()
    return mebibytes


@workflow
def uses_memory(mebibytes: int) -> int:
    return use_in_a_child(mebibytes=mebibytes)


@task(requests=Resources(mem="400Mi"))
def reserve_and_share() -> int:
    """Reserve far more than the limit without using it, and use much of it in many processes that share it."""
    reserved = mmap.mmap(-1, 8192 * MEBIBYTE)
    data = b"x" * (150 * MEBIBYTE)
    children = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            time.sleep(1.0)
            os._exit(data[0] != ord("x"))
        children.append(pid)
    codes = [os.waitpid(pid, 0)[1] for pid in children]
    reserved.close()
    return sum(codes)


@workflow
def shares_memory() -> int:
    return reserve_and_share()


POD = PodTemplate(
    primary_container_name="primary",
    pod_spec=V1PodSpec(
        containers=[
            V1Container(
                name="primary",
                env=[V1EnvVar(name="FROM_THE_POD", value="yes")],
                resources=V1ResourceRequirements(requests={"cpu": "1", "nvidia.com/gpu": "1"}),
            )
        ]
    ),
)


@task(pod_template=POD, environment={"FROM_THE_TASK": "yes"})
def look_around() -> list[str]:
    names = ("FROM_THE_POD", "FROM_THE_TASK")
    return [os.environ.get(name, "no") for name in names] + [str(len(os.environ["CUDA_VISIBLE_DEVICES"].split(",")))]


@workflow
def runs_in_a_pod() -> list[str]:
    return look_around()


@task
def want_nothing() -> int:
    return 1


@workflow
def asks_for_nothing() -> int:
    return want_nothing()
