"""The composition root: builds the backend's parts by hand, starts them in order, stops them in reverse.

The one place that chooses implementations. Order matters: the executor's warm process is started before gRPC
is loaded into action, open executions are taken up before the first request is served, and the home says that
somebody serves only once somebody does.
"""

from __future__ import annotations

import asyncio
import gc
import getpass
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import grpc
import uvicorn
from starlette.applications import Starlette

from hydraflyte import __version__
from hydraflyte.backend.addresses import Addresses, reserve
from hydraflyte.backend.admin.children import ChildExecutions
from hydraflyte.backend.admin.dynamics import compile_futures
from hydraflyte.backend.admin.ordered import OrderedExecutions
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.scheduled import ScheduledExecutions
from hydraflyte.backend.admin.service import build_server
from hydraflyte.backend.admin.signing import verify
from hydraflyte.backend.cleaning import Cleaner
from hydraflyte.backend.console.app import HttpParts, build_app
from hydraflyte.backend.console.cleaning import Cleaning
from hydraflyte.backend.console.connection import http_config
from hydraflyte.backend.console.forms import FormTokens
from hydraflyte.backend.console.guard import OwnerCheck, console_key
from hydraflyte.backend.console.logs import Logs
from hydraflyte.backend.console.orders import Orders
from hydraflyte.backend.console.outbox import Outbox
from hydraflyte.backend.console.pages import Pages
from hydraflyte.backend.console.sessions import Sessions
from hydraflyte.backend.console.sweeps import SweepPages
from hydraflyte.backend.console.transfer import Transfers
from hydraflyte.backend.executor.attempts import log_path
from hydraflyte.backend.executor.containerised import ContainerExecutor, end_leftovers
from hydraflyte.backend.executor.echo import EchoingExecutor
from hydraflyte.backend.executor.forkserver import ForkServerExecutor
from hydraflyte.backend.executor.machine import survey
from hydraflyte.backend.executor.queued import QueuedExecutor
from hydraflyte.backend.executor.runtimes import find_runtime
from hydraflyte.backend.gateway.routes import gateway_routes
from hydraflyte.backend.loop import ExecutionLoop
from hydraflyte.backend.notify.courier import Courier
from hydraflyte.backend.notify.mail import read_mail_settings
from hydraflyte.backend.notify.notifier import Notifier
from hydraflyte.backend.scheduler.scheduler import Scheduler
from hydraflyte.backend.store.blobs import Blobs
from hydraflyte.backend.store.database import Database
from hydraflyte.backend.store.executions import ExecutionStore
from hydraflyte.clock import SystemClock
from hydraflyte.embedded import BackendOptions
from hydraflyte.errors import BackendStartError
from hydraflyte.home import Home, RunningBackend, write_private
from hydraflyte.task_runtime import TaskRuntime

log = logging.getLogger(__name__)

_GRACE_S = 1.0


def serve(home: Home, options: BackendOptions, announce: Callable[[RunningBackend], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``announce`` is called once, when the backend serves.

    Raises:
        BackendStartError: it cannot start; nothing is left running.
    """
    os.umask(0o077)
    home.prepare()
    _log_to_stderr()
    with _held(home):
        asyncio.run(_serve(home, options, announce))


async def _serve(home: Home, options: BackendOptions, announce: Callable[[RunningBackend], None]) -> None:
    stopping = _stop_on_signals()
    async with _backend(home, options) as running:
        gc.freeze()  # what is there now stays: looking through it again and again would hold up calls for 50 ms
        home.announce(running)
        announce(running)
        log.info("serving %s, console %s", running.endpoint, running.http_url)
        await stopping.wait()
        log.info("stopping")


@asynccontextmanager
async def _backend(home: Home, options: BackendOptions) -> AsyncIterator[RunningBackend]:
    """Build and run every part; what was started is stopped in reverse order, also when a later part fails."""
    clock = SystemClock()
    token = home.token() if options.auth else None
    signing_key = (home.token() + "/uploads").encode()
    async with AsyncExitStack() as stack:
        last = home.last_announced()
        last_port = int(last.endpoint.rpartition(":")[2]) if last else None
        http_socket, addresses = reserve(options.host, options.port, last_port=last_port)
        stack.callback(http_socket.close)
        python = options.python or sys.executable
        executor, runtime = _executor(home, options, python=python, platform=_platform(home, addresses))
        database = Database.open(home.database)
        stack.callback(database.close)
        blobs = Blobs(home.blobs)
        notifier = Notifier(
            database=database,
            clock=clock,
            courier=Courier(
                folder=home.root,
                environ=os.environ,
                mail_settings=lambda: read_mail_settings(home.mail_settings, os.environ),
            ),
            console_url=lambda: f"{addresses.http_url}/console",
        )
        stack.push_async_callback(notifier.close)
        loop = ExecutionLoop(
            store=ExecutionStore(database=database, blobs=blobs),
            executor=EchoingExecutor(executor),
            clock=clock,
            ended=notifier.wake,
        )
        stack.push_async_callback(loop.close)
        scheduler = Scheduler(database=database, clock=clock, catch_up=options.catch_up)
        stack.push_async_callback(scheduler.close)

        control_plane = ControlPlaneParts(
            database=database,
            blobs=blobs,
            control=loop,
            clock=clock,
            new_name=_new_name,
            signing_key=signing_key,
            http_base_url=lambda: addresses.http_url,
            console_url=f"{addresses.http_url}/console",
            principal=_owner_name(),
            token=token,
            schedules_changed=scheduler.wake,
            why_waiting=executor.why_waiting,
        )
        await loop.open(children=ChildExecutions(control_plane), compile_futures=partial(compile_futures, database))
        scheduler.open(ScheduledExecutions(control_plane))
        notifier.open()
        server = build_server(control_plane)
        _listen(server, f"unix:{home.socket}", hint="remove the file if no backend runs.")
        _listen(server, addresses.endpoint, hint="choose another port with --port, or stop what listens there.")
        await server.start()
        home.socket.chmod(0o600)
        stack.push_async_callback(server.stop, _GRACE_S)

        def signature_holds(method: str, path: str, query: str) -> bool:
            return verify(signing_key, method, path, query, clock.now())

        owner, tokens = OwnerCheck(token), FormTokens(secrets.token_bytes())
        parts = HttpParts(
            transfers=Transfers(blobs=blobs, verify=signature_holds),
            logs=Logs(
                find=lambda attempt, stream: log_path(home.root, attempt, stream), database=database, owner=owner
            ),
            pages=Pages(database=database, blobs=blobs, owner=owner, tokens=tokens, why_waiting=executor.why_waiting),
            sweeps=SweepPages(database=database, blobs=blobs, owner=owner),
            orders=Orders(
                orders=OrderedExecutions(control_plane), database=database, blobs=blobs, owner=owner, tokens=tokens
            ),
            hosts=addresses.http_hosts,
            sessions=Sessions(owner=owner),
            outbox=Outbox(database=database, clock=clock, owner=owner, changed=notifier.wake),
            further=gateway_routes(control_plane),
            cleaning=Cleaning(cleaner=Cleaner(home=home.root, database=database), owner=owner, clock=clock),
        )
        await stack.enter_async_context(_http_server(build_app(parts), http_socket))
        write_private(home.client_config, _client_config(home, addresses, with_token=options.auth))
        yield RunningBackend(
            pid=os.getpid(),
            endpoint=addresses.endpoint,
            socket=str(home.socket),
            http_url=addresses.http_url,
            console_url=f"{addresses.http_url}/console" + (f"?key={console_key(token)}" if token else ""),
            config=str(home.client_config),
            home=str(home.root),
            python=python,
            auth=options.auth,
            version=__version__,
            runtime=runtime,
            host=options.host,
            catch_up=options.catch_up.value,
            cpus=options.cpus,
            memory=options.memory,
            gpus=options.gpus,
        )


def _executor(
    home: Home, options: BackendOptions, *, python: str, platform: Mapping[str, str]
) -> tuple[QueuedExecutor, str]:
    """Return what runs tasks, and its name.

    Raises:
        BackendStartError: a declared amount cannot be used, or the container runtime does not answer.
    """
    machine = survey(os.environ, cpus=options.cpus, memory=options.memory, gpus=options.gpus)
    end_leftovers(home, os.environ)
    if options.runtime is TaskRuntime.PROCESS:
        processes = ForkServerExecutor(
            home=home.root, python=python, machine=machine, environ=os.environ, platform=platform
        )
        return processes, options.runtime.value
    runtime = find_runtime(options.runtime, os.environ)
    containers = ContainerExecutor(
        home=home.root, runtime=runtime, machine=machine, environ=os.environ, platform=platform
    )
    return containers, str(runtime)


def _listen(server: grpc.aio.Server, address: str, *, hint: str) -> None:
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise BackendStartError(f"gRPC cannot listen on {address}: {error}", hint=hint) from error
    if bound == 0:
        raise BackendStartError(f"gRPC cannot listen on {address}: it is taken.", hint=hint)


@asynccontextmanager
async def _http_server(app: Starlette, bound: socket.socket) -> AsyncIterator[None]:
    server = _SignallessServer(http_config(app))
    task = asyncio.create_task(server.serve(sockets=[bound]), name="http-server")
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _SignallessServer(uvicorn.Server):
    """uvicorn inside a process that handles signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _platform(home: Home, addresses: Addresses) -> dict[str, str]:
    """Return what makes a FlyteRemote inside a task, as eager ones have, talk to this backend with its token."""
    return {
        "FLYTE_PLATFORM_URL": addresses.endpoint,
        "FLYTE_PLATFORM_INSECURE": "true",
        "FLYTECTL_CONFIG": str(home.client_config),
    }


def _client_config(home: Home, addresses: Addresses, *, with_token: bool) -> str:
    """Return a Flyte client config (YAML) for pyflyte, FlyteRemote and flytectl."""
    lines = ["admin:", f"  endpoint: {addresses.endpoint}", "  insecure: true"]
    if with_token:
        lines += ["  authType: ExternalCommand", f'  command: ["cat", {_quoted(home.token_file)}]']
    lines += ["console:", f"  endpoint: {addresses.http_url}", ""]
    return "\n".join(lines)


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _new_name() -> str:
    """Return a name for an execution: ``a`` and 19 characters of Kubernetes' alphabet (flyteadmin's form)."""
    return "a" + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(19))


def _owner_name() -> str:
    """Return the user's name, or the number where a container's user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError until Python 3.12
        return f"uid-{os.getuid()}"


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


@contextmanager
def _held(home: Home) -> Iterator[None]:
    descriptor = home.lock()
    home.socket.unlink(missing_ok=True)  # left by a process that was killed; nobody can hold it now
    try:
        yield
    finally:
        os.close(descriptor)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
