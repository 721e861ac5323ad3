"""What attempts take of the machine, and what the machine has."""

import doctest

import pytest
from flyteidl.core.tasks_pb2 import Resources, TaskTemplate
from tests.contract.executor.bench import attempt_id

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.executor import machine
from hydraflyte.backend.executor.demands import Demand, Needs, needs_of, shortfalls
from hydraflyte.backend.executor.machine import find_devices, read_devices, survey
from hydraflyte.errors import BackendStartError

MIB, GIB = 1 << 20, 1 << 30
NAMES = {"cpu": Resources.CPU, "mem": Resources.MEMORY, "gpu": Resources.GPU, "disk": Resources.EPHEMERAL_STORAGE}


def task(requests=None, limits=None, **metadata):
    template = TaskTemplate(metadata=metadata)
    template.container.image = "image"
    for side, amounts in (("requests", requests or {}), ("limits", limits or {})):
        for name, text in amounts.items():
            getattr(template.container.resources, side).add(name=NAMES[name], value=text)
    return template


def needs(template, *, defaults=None, most=None):
    spec = AttemptSpec(
        attempt=attempt_id(),
        argv=(),
        env={},
        task=template,
        inputs_uri="",
        output_prefix="",
        raw_output_prefix="",
        resource_defaults=defaults or {},
        resource_limits=most or {},
    )
    return needs_of(spec)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (task(), Needs(demand=Demand(cpu_millis=1000))),
        (task({"cpu": "500m"}), Needs(demand=Demand(cpu_millis=500), cpu_limit_millis=500)),
        (task({"cpu": "1m"}), Needs(demand=Demand(cpu_millis=100), cpu_limit_millis=1)),
        (task(None, {"cpu": "2"}), Needs(demand=Demand(cpu_millis=2000), cpu_limit_millis=2000)),
        (task({"cpu": "1"}, {"cpu": "2"}), Needs(demand=Demand(cpu_millis=1000), cpu_limit_millis=2000)),
        (task({"mem": "1Gi"}), Needs(demand=Demand(cpu_millis=1000, memory_bytes=GIB), memory_limit_bytes=GIB)),
        (
            task({"mem": "1Gi"}, {"mem": "2Gi"}),
            Needs(demand=Demand(cpu_millis=1000, memory_bytes=GIB), memory_limit_bytes=2 * GIB),
        ),
        (
            task(None, {"mem": "512Mi"}),
            Needs(demand=Demand(cpu_millis=1000, memory_bytes=512 * MIB), memory_limit_bytes=512 * MIB),
        ),
        (task({"gpu": "2", "disk": "9Pi"}), Needs(demand=Demand(cpu_millis=1000, gpus=2))),
        (task({"cpu": "0", "mem": "0"}), Needs(demand=Demand(cpu_millis=1000))),
        (
            task({"cpu": "4", "mem": "1Gi", "gpu": "1"}, is_eager=True),
            Needs(demand=Demand(gpus=1), memory_limit_bytes=GIB, cpu_limit_millis=4000),
        ),
    ],
)
def test_a_request_stands_for_a_missing_limit_and_a_limit_for_a_missing_request(template, expected):
    assert needs(template) == expected


def test_defaults_count_where_a_task_states_nothing_and_limits_cut_down_what_it_states():
    assert needs(task(), defaults={"cpu": "2", "memory": "1Gi"}).demand == Demand(cpu_millis=2000, memory_bytes=GIB)
    assert needs(task({"cpu": "8", "mem": "8Gi"}), most={"cpu": "1", "memory": "2Gi"}) == Needs(
        demand=Demand(cpu_millis=1000, memory_bytes=2 * GIB), memory_limit_bytes=2 * GIB, cpu_limit_millis=1000
    )


def test_the_primary_container_of_a_pod_is_read_too_whatever_it_holds():
    template = TaskTemplate()
    template.k8s_pod.primary_container_name = "main"
    template.k8s_pod.pod_spec.update(
        {
            "containers": [
                {"name": "side", "resources": {"requests": {"cpu": "9"}}},
                {"name": "main", "resources": {"limits": {"cpu": 2, "memory": "nonsense", "nvidia.com/gpu": 1}}},
            ]
        }
    )

    assert needs(template) == Needs(demand=Demand(cpu_millis=2000, gpus=1), cpu_limit_millis=2000)


def test_only_what_can_never_be_had_is_named():
    capacity = Demand(cpu_millis=2000, memory_bytes=4 * GIB, gpus=1)

    assert shortfalls(Demand(cpu_millis=2000, memory_bytes=4 * GIB, gpus=1), capacity) == ()
    assert shortfalls(Demand(cpu_millis=2500, memory_bytes=GIB, gpus=2), capacity) == (
        "2.5 of CPU, of 2",
        "2 GPU(s), of 1",
    )


def test_the_examples_of_the_machine_are_true():
    assert doctest.testmod(machine).failed == 0


def test_a_machine_is_found_and_may_be_declared_to_be_another():
    found = survey({}, gpus="0")
    declared = survey({}, cpus="500m", memory="2Gi", gpus="GPU-1,GPU-2")

    assert found.cpu_millis >= 1000
    assert found.memory_bytes > 100 * MIB
    assert found.gpus == ()
    assert declared.capacity == Demand(cpu_millis=500, memory_bytes=2 * GIB, gpus=2)


@pytest.mark.parametrize(
    "declared",
    [
        {"cpus": "many"},
        {"cpus": "0"},
        {"cpus": "-1"},
        {"memory": "1"},
        {"gpus": "0,0"},
        {"gpus": "9999"},
        {"gpus": "a b"},
    ],
)
def test_an_amount_that_is_none_is_named_with_what_to_give(declared):
    ((option, text),) = declared.items()

    with pytest.raises(BackendStartError, match=f"--{option} {text} cannot be used") as caught:
        survey({}, **declared)

    assert caught.value.hint.startswith("give ")


def test_nvidias_devices_are_found_by_their_files(tmp_path):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()

    assert find_devices({}, tmp_path) == ("0", "2", "10")
    assert find_devices({"CUDA_VISIBLE_DEVICES": "2,GPU-5a"}, tmp_path) == ("2", "GPU-5a")
    assert find_devices({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert find_devices({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == ()
    assert find_devices({}, tmp_path / "nowhere") == ()


def test_a_list_of_one_device_is_told_from_a_number_by_its_comma():
    assert (read_devices("3"), read_devices("3,")) == (("0", "1", "2"), ("3",))
