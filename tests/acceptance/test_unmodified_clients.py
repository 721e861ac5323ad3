"""Unmodified clients on the embedded backend: pyflyte, FlyteRemote, and a client that knows only reflection."""

import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from arithmetic_flows import arithmetic, double
from flytekit.exceptions.user import FlyteEntityNotExistException, FlyteInvalidInputException

FLOWS = Path(__file__).parent / "flows"
BIN = Path(sys.executable).parent


def pyflyte(backend, *arguments, cwd=FLOWS):
    command = [str(BIN / "pyflyte"), "--config", backend.config, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=90)


def hydraflyte(backend, *arguments):
    command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", backend.home]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def execution_name(output):
    return re.search(r"executions/([a-z0-9-]+)", output.replace("\n", "")).group(1)


def test_pyflyte_run_remote_registers_runs_and_waits(flyte_backend):
    done = pyflyte(flyte_backend, "run", "--remote", "--wait", "arithmetic_flows.py", "arithmetic", "--x", "7")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "has succeeded" in done.stdout


def test_pyflyte_run_remote_runs_a_single_task(flyte_backend):
    done = pyflyte(flyte_backend, "run", "--remote", "--wait", "arithmetic_flows.py", "double", "--x", "21")
    shown = hydraflyte(flyte_backend, "executions", "show", execution_name(done.stdout), "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(shown.stdout)["outputs"] == {"o0": 42}


def test_pyflyte_register_then_fetch_and_execute_by_name(flyte_backend, remote):
    done = pyflyte(flyte_backend, "register", "--version", "by-pyflyte-register", "arithmetic_flows.py")
    again = pyflyte(flyte_backend, "register", "--version", "by-pyflyte-register", "arithmetic_flows.py")

    workflow = remote.fetch_workflow(name="arithmetic_flows.arithmetic", version="by-pyflyte-register")
    execution = remote.execute(workflow, inputs={"x": 4}, wait=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert execution.outputs == {"o0": 4, "o1": 0}


def test_flyteremote_fetches_what_it_registered(remote):
    registered = remote.register_script(arithmetic, source_path=str(FLOWS), module_name="arithmetic_flows")
    version = registered.id.version

    assert remote.fetch_task(name="arithmetic_flows.double", version=version).id.name == "arithmetic_flows.double"
    assert remote.fetch_workflow(name="arithmetic_flows.halves", version=version).interface.inputs.keys() == {"x"}
    assert remote.fetch_launch_plan(name="arithmetic_flows.arithmetic", version=version).id.version == version
    assert remote.fetch_workflow(name="arithmetic_flows.arithmetic").id.name == "arithmetic_flows.arithmetic"


def test_flyteremote_executes_and_syncs_every_node(remote, run):
    execution = run(arithmetic, x=7)

    synced = remote.sync(remote.fetch_execution(name=execution.id.name), sync_nodes=True)

    assert synced.outputs == {"o0": 7, "o1": 0}
    assert set(synced.node_executions) == {"start-node", "n0", "n1", "end-node"}
    assert synced.node_executions["n0"].outputs == {"o0": 14}
    assert set(synced.node_executions["n1"].subworkflow_node_executions) == {
        "n1-0-start-node",
        "n1-0-n0",
        "n1-0-end-node",
    }


def test_flyteremote_executes_a_task_on_its_own(remote):
    registered = remote.register_script(double, source_path=str(FLOWS), module_name="arithmetic_flows")

    execution = remote.execute(registered, inputs={"x": 21}, wait=True)

    assert execution.outputs == {"o0": 42}


def test_recent_executions_come_newest_first(remote, run):
    first, second = run(arithmetic, x=1), run(arithmetic, x=2)

    recent = [execution.id.name for execution in remote.recent_executions(limit=2)]

    assert recent == [second.id.name, first.id.name]


def test_an_input_of_the_wrong_type_is_refused_by_name(remote, flyte_backend):
    done = pyflyte(flyte_backend, "register", "--version", "wrong-input", "arithmetic_flows.py")
    assert done.returncode == 0, done.stderr
    plan = remote.fetch_launch_plan(name="arithmetic_flows.arithmetic", version="wrong-input")

    with pytest.raises(FlyteInvalidInputException) as refusal:
        remote.execute(plan, inputs={"x": "seven"}, type_hints={"x": str})

    assert "x" in refusal.value.__cause__.details()


def test_what_does_not_exist_is_not_found(remote):
    with pytest.raises(FlyteEntityNotExistException):
        remote.fetch_workflow(name="nobody.wrote_this", version="v1")


def test_a_client_without_the_token_is_not_let_in(flyte_backend):
    from flyteidl.admin.version_pb2 import GetVersionRequest
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

    with (
        grpc.insecure_channel(flyte_backend.endpoint) as channel,
        pytest.raises(grpc.RpcError, match="UNAUTHENTICATED") as refusal,
    ):
        AdminServiceStub(channel).GetVersion(GetVersionRequest())

    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_the_owner_needs_no_token_on_the_socket_and_learns_the_services_by_reflection(flyte_backend):
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(f"unix:{flyte_backend.socket}") as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("flyteidl.service.AdminService").FindMethodByName("GetVersion")
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/flyteidl.service.AdminService/GetVersion", request.SerializeToString, answer.FromString
        )
        version = call(request())

    assert version.control_plane_version.Build == "hydraflyte"


def test_executions_are_listed_shown_logged_and_cancelled_from_the_command_line(flyte_backend, run):
    name = run(arithmetic, x=3).id.name

    listed = json.loads(hydraflyte(flyte_backend, "executions", "list", "--json").stdout)
    shown = hydraflyte(flyte_backend, "executions", "show", name)
    logs = hydraflyte(flyte_backend, "executions", "logs", name, "--node", "n0")
    no_logs = hydraflyte(flyte_backend, "executions", "logs", name, "--node", "n7")
    cancelled = hydraflyte(flyte_backend, "executions", "cancel", name)

    assert listed[0]["name"] == name
    assert listed[0]["phase"] == "SUCCEEDED"
    assert "inputs       x = 3\noutputs      o0 = 3\noutputs      o1 = 0\n" in shown.stdout
    assert "1 attempt(s) of arithmetic_flows.divide" in shown.stdout
    assert "==> n0 attempt 0 stdout <==\n" in logs.stdout
    assert "doubling 3\n" in logs.stdout
    assert f"error: Node 'n7' of {name} has no logs." in no_logs.stderr
    assert cancelled.returncode == 1
    assert "error: The backend refused:" in cancelled.stderr
    assert "hint:" in cancelled.stderr
