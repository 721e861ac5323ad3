"""A real control plane for the API's contract: gRPC server, SQLite, loop and engine; only task processes are scripted.

The server runs on its own thread and loop, so that blocking clients (flytekit's) can talk to it from the test.
"""

import asyncio
import contextlib
import errno
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import grpc
import httpx2
import pytest
import uvicorn
from flyteidl.admin.execution_pb2 import ExecutionCreateRequest
from flyteidl.admin.launch_plan_pb2 import LaunchPlanCreateRequest
from flyteidl.admin.task_pb2 import TaskCreateRequest
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest
from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.core.types_pb2 import SimpleType
from flyteidl.service import admin_pb2_grpc, auth_pb2_grpc, dataproxy_pb2_grpc, identity_pb2_grpc, signal_pb2_grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware

from hydraflyte.backend.admin.children import ChildExecutions
from hydraflyte.backend.admin.dynamics import compile_futures
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.service import build_server
from hydraflyte.backend.console.connection import http_config
from hydraflyte.backend.console.guard import HostOriginGuard
from hydraflyte.backend.engine.events import AttemptAborted, AttemptFailed, AttemptStarted, AttemptSucceeded, LogLink
from hydraflyte.backend.engine.failures import ErrorKind, Failure
from hydraflyte.backend.gateway.routes import gateway_routes
from hydraflyte.backend.loop import ExecutionLoop
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.executions import ExecutionStore
from hydraflyte.clock import ManualClock
from hydraflyte.identifiers import ExecutionId

TOKEN = "the-owner's-token"
START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


class ScriptedExecutor:
    """Ends every attempt at once with the outputs of ``outputs``, unless a task's name is in ``failing`` or ``stuck``.

    A stuck attempt starts and then waits: for an abort, or for ``finish``. One that is named in ``unstartable`` meets
    a full disk.
    """

    def __init__(self, blobs):
        self._blobs = blobs
        self.outputs = {}
        self.failing = set()
        self.stuck = set()
        self.unstartable = set()
        self.running = []
        self._sink = None

    async def open(self, sink):
        self._sink = sink

    async def close(self):
        pass

    def find_result(self, spec):
        return None

    def start(self, spec):
        name, attempt = spec.task.id.name, spec.attempt
        if name in self.unstartable:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._post(AttemptStarted(attempt=attempt, logs=(LogLink(name="stdout", uri="/logs/stdout"),)))
        if name in self.stuck:
            self.running.append(spec)
        elif name in self.failing:
            failure = Failure(kind=ErrorKind.USER, code="USER:ValueError", message="it went wrong " * 20)
            self._post(AttemptFailed(attempt=attempt, failure=failure))
        else:
            self._succeed(spec)

    def abort(self, attempt, reason):
        self.running = [spec for spec in self.running if spec.attempt != attempt]
        self._post(AttemptAborted(attempt=attempt))

    def finish(self):
        running, self.running = self.running, []
        for spec in running:
            self._succeed(spec)

    def _succeed(self, spec):
        outputs = self.outputs.get(spec.task.id.name, LiteralMap())
        self._blobs.write_literals(f"{spec.output_prefix}/outputs.pb", outputs)
        self._post(AttemptSucceeded(attempt=spec.attempt, outputs=outputs))

    def _post(self, event):
        self._sink.post(event.attempt.execution, event)


@dataclass
class ControlPlane:
    """What a test sees of the running server."""

    home: Path
    parts: ControlPlaneParts
    executor: ScriptedExecutor
    loop: asyncio.AbstractEventLoop
    executions: ExecutionLoop
    address: str
    port: int
    _channels: list = field(default_factory=list)

    def channel(self, target=None, **kwargs):
        channel = grpc.insecure_channel(target or self.address, **kwargs)
        self._channels.append(channel)
        return channel

    def close(self):
        for channel in self._channels:
            channel.close()

    def do(self, action: Callable[[], None]):
        """Run ``action`` on the server's thread and wait for it."""

        async def act():
            action()

        asyncio.run_coroutine_threadsafe(act(), self.loop).result(timeout=10)

    def wait_until_ended(self, execution):
        """Wait for the end of an execution (an ExecutionId)."""
        waiting = self.executions.wait_until_ended(execution, timeout_s=10)
        assert asyncio.run_coroutine_threadsafe(waiting, self.loop).result(timeout=15)


@contextlib.contextmanager
def serving(home, *, stuck=(), store_class=ExecutionStore, **changes):
    """Run a control plane below ``home`` until the block ends; tasks named in ``stuck`` are so from the start."""
    names = (f"a{number:019d}" for number in range(10_000))
    database, blobs = Database.open(home / "db.sqlite"), Blobs(home / "blobs")
    executor, started, server_loop = ScriptedExecutor(blobs), threading.Event(), asyncio.new_event_loop()
    executor.stuck.update(stuck)
    found = []

    async def serve():
        clock, store = ManualClock(START), store_class(database=database, blobs=blobs)
        loop = ExecutionLoop(store=store, executor=executor, clock=clock)
        parts = ControlPlaneParts(
            database=database,
            blobs=blobs,
            control=loop,
            clock=clock,
            new_name=lambda: next(names),
            signing_key=b"key",
            http_base_url=lambda: "http://127.0.0.1:30081",
            principal="ada",
        )
        parts = replace(parts, **changes)
        await loop.open(children=ChildExecutions(parts), compile_futures=partial(compile_futures, parts.database))
        server = build_server(parts)
        address = f"unix:{home}/api.sock"
        server.add_insecure_port(address)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stopping = asyncio.Event()
        plane = ControlPlane(
            home=home, parts=parts, executor=executor, loop=server_loop, executions=loop, address=address, port=port
        )
        found.extend((plane, stopping))
        started.set()
        await stopping.wait()
        await server.stop(0.2)
        await loop.close()
        await server_loop.shutdown_default_executor()

    thread = threading.Thread(target=lambda: server_loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(timeout=10), "the server did not start"
    plane, stopping = found
    try:
        yield plane
    finally:
        plane.close()
        server_loop.call_soon_threadsafe(stopping.set)
        thread.join(timeout=10)
        server_loop.close()
        database.close()


def gateway_app(plane, host):
    """The gateway's routes alone, behind the guard."""
    return Starlette(routes=list(gateway_routes(plane.parts)), middleware=[Middleware(HostOriginGuard, hosts={host})])


@contextlib.contextmanager
def serving_http(plane, make_app=gateway_app, **settings):
    """Serve the HTTP side of a running control plane on a free port; gives an HTTP client for it."""
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:  # for asyncio to turn Nagle off
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        server = uvicorn.Server(http_config(make_app(plane, host), **settings))
        serving = asyncio.run_coroutine_threadsafe(server.serve(sockets=[bound]), plane.loop)
        with httpx2.Client(base_url=f"http://{host}", timeout=10) as client:
            while not server.started and not serving.done():
                time.sleep(0.005)
            yield client
        server.should_exit = True
        serving.result(timeout=10)


@contextlib.contextmanager
def _short_folder():
    """A directory with a short path: addresses of Unix sockets are limited to about 100 characters."""
    folder = Path(tempfile.mkdtemp(prefix="hf-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def short_home():
    with _short_folder() as home:
        yield home


@pytest.fixture(scope="module")
def shared_plane():
    """One control plane for all tests of a module that leave nothing behind which others would see."""
    with _short_folder() as home, serving(home, hold_reads=False) as running:
        yield running


@pytest.fixture
def plane(short_home):
    """A fresh control plane that asks for no token and holds no reads."""
    with serving(short_home, hold_reads=False) as running:
        yield running


@pytest.fixture
def serve(short_home):
    """Start control planes with other parts: ``with serve(token=…) as plane``."""
    return lambda **changes: serving(short_home, **changes)


@pytest.fixture
def http(plane):
    """An HTTP client of the control plane's gateway."""
    with serving_http(plane) as client:
        yield client


@pytest.fixture
def serve_http():
    """Serve the HTTP side of any control plane: ``with serve_http(plane) as client``."""
    return serving_http


@pytest.fixture(scope="module")
def shared_http(shared_plane):
    """An HTTP client of the module's control plane."""
    with serving_http(shared_plane) as client:
        yield client


@pytest.fixture
def admin(plane):
    return admin_pb2_grpc.AdminServiceStub(plane.channel())


@pytest.fixture
def data_proxy(plane):
    return dataproxy_pb2_grpc.DataProxyServiceStub(plane.channel())


@pytest.fixture
def signals(plane):
    return signal_pb2_grpc.SignalServiceStub(plane.channel())


@pytest.fixture
def auth(plane):
    return auth_pb2_grpc.AuthMetadataServiceStub(plane.channel())


@pytest.fixture
def identity(plane):
    return identity_pb2_grpc.IdentityServiceStub(plane.channel())


@pytest.fixture
def refused():
    """Call an RPC and return the (status, message) it refuses with; fail if it does not."""

    def call(rpc, request):
        with pytest.raises(grpc.RpcError) as caught:
            rpc(request, timeout=10)
        return caught.value.code(), caught.value.details()

    return call


class Register:
    """Registers small entities in flytesnacks/development, and begins executions, by plain requests."""

    def __init__(self, admin):
        self._admin = admin

    def task_request(self, name="double", version="v1", *, image="image:1", outputs=("o0",), **template):
        return TaskCreateRequest(
            id=entity(ResourceType.TASK, name, version),
            spec={
                "template": {
                    "type": "python-task",
                    "metadata": {"retries": {}},
                    "interface": {"inputs": variables("x"), "outputs": variables(*outputs)},
                    "container": {"image": image, "args": ["pyflyte-execute"]},
                    **template,
                }
            },
        )

    def task(self, name="double", version="v1", **template):
        self._admin.CreateTask(self.task_request(name, version, **template))
        return entity(ResourceType.TASK, name, version)

    def workflow_request(self, name="main", version="v1", *, task="double", inputs=("x",)):
        def promise(node_id, variable):
            return {"promise": {"node_id": node_id, "var": variable}}

        return WorkflowCreateRequest(
            id=entity(ResourceType.WORKFLOW, name, version),
            spec={
                "template": {
                    "id": entity(ResourceType.WORKFLOW, name, version),
                    "interface": {"inputs": variables(*inputs), "outputs": variables("o0")},
                    "nodes": [
                        {
                            "id": "n0",
                            "inputs": [{"var": "x", "binding": promise("", "x")}],
                            "task_node": {"reference_id": entity(ResourceType.TASK, task, version)},
                        }
                    ],
                    "outputs": [{"var": "o0", "binding": promise("n0", "o0")}],
                }
            },
        )

    def workflow(self, name="main", version="v1", **changes):
        self._admin.CreateWorkflow(self.workflow_request(name, version, **changes))
        return entity(ResourceType.WORKFLOW, name, version)

    def launch_plan_request(self, name="main", version="v1", *, workflow="main", **spec):
        return LaunchPlanCreateRequest(
            id=entity(ResourceType.LAUNCH_PLAN, name, version),
            spec={"workflow_id": entity(ResourceType.WORKFLOW, workflow, version), **spec},
        )

    def launch_plan(self, name="main", version="v1", **spec):
        self._admin.CreateLaunchPlan(self.launch_plan_request(name, version, **spec))
        return entity(ResourceType.LAUNCH_PLAN, name, version)

    def everything(self, version="v1"):
        """Register the task ``double``, and a workflow and a launch plan ``main``; returns the launch plan's id."""
        self.task(version=version)
        self.workflow(version=version)
        return self.launch_plan(version=version)

    def execution(self, launch_plan, name="", *, inputs=None, **spec):
        """Begin an execution with ``x=3`` unless told otherwise; returns its WorkflowExecutionIdentifier."""
        request = self.execution_request(launch_plan, name, inputs=inputs, **spec)
        return self._admin.CreateExecution(request).id

    def execution_request(self, launch_plan, name="", *, inputs=None, **spec):
        literals = {"x": integer(3)} if inputs is None else inputs
        return ExecutionCreateRequest(
            project="flytesnacks",
            domain="development",
            name=name,
            spec={"launch_plan": launch_plan, **spec},
            inputs={"literals": literals},
        )


def entity(resource_type, name, version):
    return Identifier(
        resource_type=resource_type, project="flytesnacks", domain="development", name=name, version=version
    )


def variables(*names):
    return {"variables": {name: {"type": {"simple": SimpleType.INTEGER}} for name in names}}


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


@pytest.fixture
def register(admin):
    return Register(admin)


@pytest.fixture
def register_through():
    """Register through another admin service: ``register_through(admin).everything()``."""
    return Register


@pytest.fixture
def finished(plane, register):
    """Run an execution of everything to its end with ``o0=6``; returns its WorkflowExecutionIdentifier."""

    def run(name="", *, launch_plan=None, **spec):
        plane.executor.outputs["double"] = LiteralMap(literals={"o0": integer(6)})
        identifier = register.execution(launch_plan or register.everything(), name, **spec)
        plane.wait_until_ended(ExecutionId(project=identifier.project, domain=identifier.domain, name=identifier.name))
        return identifier

    return run
