"""``hydraflyte.connect()``: what a launch has registered, run from a program that has neither its code nor Hydra."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2
from flytekit.models.core.identifier import WorkflowExecutionIdentifier
from tests.hydra.programs import run_program, write_program

import hydraflyte
from hydraflyte.client import Client
from hydraflyte.errors import (
    BackendUnavailableError,
    ConfigError,
    ExecutionError,
    ExecutionFailedError,
    HydraFlyteError,
    InputsError,
    NotRegisteredError,
    StillRunningError,
)
from hydraflyte.home import RunningBackend

PROGRAM = """
import time

import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def describe(cfg: DictConfig, data: str) -> str:
    if data == "bad":
        raise ValueError(f"cannot read {data}")
    time.sleep(150 if data == "slow" else 0)
    return f"{cfg.model.lr} {cfg.model.same} {list(cfg.model.layers)} {data}"


@workflow
def serve(cfg: DictConfig, data: str) -> str:
    return describe(cfg=cfg, data=data)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> str:
    return serve(cfg=cfg, data=cfg.data)


if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/launcher: flyte

model:
  lr: 0.1
  same: ${model.lr}
  layers: [1, 2]
data: ???
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, flyte_backend: RunningBackend) -> Iterator[Client]:
    program = write_program(tmp_path_factory.mktemp("serve"), PROGRAM, config=CONFIG)
    result = run_program(
        program, "-m", "data=x", "model.lr=9", "hydra.launcher.run=false", "hydra.launcher.workflow.version=v-serve"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with hydraflyte.connect("embedded") as connected:
        yield connected


def test_overrides_apply_to_the_registered_default_config_and_inputs_beside_it_are_given(client: Client) -> None:
    execution = client.execute("program.serve", inputs={"data": "a"}, overrides=["model.lr=0.5"], wait=True)

    assert client.results(execution) == {"o0": "0.5 0.5 [1, 2] a"}
    assert execution.url.endswith(f"/executions/{execution.name}")


def test_without_overrides_the_registered_defaults_hold_and_not_those_of_the_launch(client: Client) -> None:
    assert client.results(client.execute("program.serve", inputs={"data": "a"})) == {"o0": "0.1 0.1 [1, 2] a"}


def test_an_input_can_come_from_an_override_as_in_a_launch(client: Client) -> None:
    execution = client.execute("program.serve", overrides=["data=b", "model.layers=[3]"], version="latest")

    assert client.results(execution) == {"o0": "0.1 0.1 [3] b"}


def test_a_whole_config_can_be_given_as_a_dict(client: Client) -> None:
    config = {"model": {"lr": 1, "same": 2, "layers": []}}

    execution = client.execute("program.serve", inputs={"cfg": config, "data": "c"}, overrides=["model.lr=3"])

    assert client.results(execution) == {"o0": "3 2 [] c"}


def test_a_relaunch_keeps_the_inputs_but_those_given_anew(client: Client) -> None:
    first = client.execute("program.serve", inputs={"data": "a"}, overrides=["model.lr=0.5"])

    again = client.relaunch(first, overrides=["model.layers=[4]"])
    other = client.relaunch(first.name, inputs={"data": "d"}, wait=True)

    assert client.results(again) == {"o0": "0.5 0.5 [4] a"}
    assert client.results(other) == {"o0": "0.5 0.5 [1, 2] d"}
    metadata = client.remote.client.get_execution(client.remote.fetch_execution(name=other.name).id).spec.metadata
    assert metadata.mode == execution_pb2.ExecutionMetadata.RELAUNCH
    assert metadata.reference_execution.name == first.name


def test_flytekits_own_client_is_reachable_and_reads_what_was_run(client: Client) -> None:
    execution = client.execute("program.serve", inputs={"data": "a"}, overrides=["model.lr=0.5"], wait=True)

    found = client.remote.sync(client.remote.fetch_execution(name=execution.name))

    assert found.outputs["o0"] == "0.5 0.5 [1, 2] a"
    assert found.spec.annotations.values["hydraflyte.org/overrides"] == "model.lr=0.5"


def test_a_failure_carries_what_the_users_code_raised(client: Client) -> None:
    with pytest.raises(ExecutionFailedError) as caught:
        client.execute("program.serve", inputs={"data": "bad"}, wait=True)

    assert caught.value.phase == "FAILED"
    assert "ValueError: cannot read bad" in caught.value.traceback_text
    assert "ValueError: cannot read bad" in caught.value.message.splitlines()[0]


def test_waiting_can_end_before_the_execution_does(client: Client) -> None:
    execution = client.execute("program.serve", inputs={"data": "slow"})

    with pytest.raises(StillRunningError, match=r"has not ended within 0\.2 s"):
        client.wait(execution, timeout_s=0.2)
    with pytest.raises(StillRunningError, match=r"has not ended within 0 s"):
        client.results(execution, timeout_s=0)

    where = identifier_pb2.WorkflowExecutionIdentifier(
        project=execution.project, domain=execution.domain, name=execution.name
    )
    client.remote.client.terminate_execution(WorkflowExecutionIdentifier.from_flyte_idl(where), "seen enough")
    with pytest.raises(ExecutionFailedError, match="ended ABORTED: seen enough"):
        client.wait(execution)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"launch_plan": "program.sreve"}, NotRegisteredError, "did you mean program.serve?"),
        ({"launch_plan": "serve"}, NotRegisteredError, "did you mean program.serve?"),
        ({"version": "v-serv"}, NotRegisteredError, "did you mean v-serve?"),
        ({"version": "77"}, NotRegisteredError, "its newest: v-serve."),
        ({"inputs": {"dta": "a"}}, InputsError, "did you mean 'data'?"),
        ({"inputs": {}}, InputsError, "needs a value for data"),
        (
            {"inputs": {"data": 3}},
            InputsError,
            "data must be str, got 3 (int)\nhint: give each input a value of the type",
        ),
        ({"overrides": ["model.lrr=1"]}, InputsError, "did you mean model.lr?"),
        ({"overrides": ["+cfg.model.lr=1"]}, InputsError, "cfg is the config itself\nhint: write +model.lr=1."),
        ({"overrides": ["cfg={model: 1}"]}, InputsError, "hint: override its keys, such as model=…."),
    ],
)
def test_what_does_not_fit_is_an_error_of_its_own_kind(
    client: Client, settings: dict[str, object], kind: type[HydraFlyteError], words: str
) -> None:
    arguments = {"launch_plan": "program.serve", "inputs": {"data": "a"}, **settings}

    with pytest.raises(kind) as caught:
        client.execute(**arguments)  # type: ignore[arg-type]  # wrong on purpose

    assert words in str(caught.value)


def test_an_execution_that_does_not_exist_is_an_error(client: Client) -> None:
    with pytest.raises(ExecutionError, match="cannot be read"):
        client.wait("no-such-execution")


def test_many_threads_share_one_client(client: Client) -> None:
    def run(number: int) -> object:
        overrides = [f"model.lr={number}"]
        return client.results(client.execute("program.serve", inputs={"data": "t"}, overrides=overrides))["o0"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [f"{number} {number} [1, 2] t" for number in range(8)]


def test_an_endpoint_that_does_not_answer_is_an_error_at_once() -> None:
    with pytest.raises(BackendUnavailableError, match=r"No Flyte backend answers at 127\.0\.0\.1:1") as caught:
        hydraflyte.connect("127.0.0.1:1")

    assert caught.value.hint == "tried with plain text; check endpoint and insecure, or set endpoint=embedded."


def test_a_misspelt_endpoint_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        hydraflyte.connect("embeded")


def test_importing_the_package_imports_neither_flytekit_nor_grpc() -> None:
    program = "import sys, hydraflyte; hydraflyte.connect; print({'flytekit', 'grpc', 'hydra'} & set(sys.modules))"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "set()"
