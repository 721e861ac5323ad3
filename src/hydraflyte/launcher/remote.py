"""The Flyte API as the launcher needs it: a small Protocol and its adapter over gRPC.

flyteidl messages in, flyteidl messages out, and ``HydraFlyteError`` for everything that goes wrong. flytekit builds
the channel; its own client is not used because it sends every failing call four times. Knows nothing of Hydra.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import grpc
import urllib3
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, project_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2, dataproxy_pb2_grpc
from google.protobuf.message import Message

from hydraflyte.errors import BackendRefusedError, BackendUnavailableError, HydraFlyteError, LoginError
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.login import LOGIN_FAILURES, open_channel

CALL_TIMEOUT_S = 9.0
"""Longest wait for an answer."""
CONNECT_TIMEOUT_S = 4.0
"""Longest wait for a connection: with the imports of a program, an endpoint that is silent is reported within 10 s."""
REGISTER_TIMEOUT_S = 60.0
_RESERVE_S = 5.0
"""The embedded backend holds GetExecution back until the execution ends, or 5 s before the call's deadline."""

_PAGE = 100
_EXECUTIONS_PAGE = 500
_UPLOAD_TIMEOUT = urllib3.Timeout(connect=CALL_TIMEOUT_S, read=600.0)
_CHANNEL_OPTIONS = (
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.max_receive_message_length", -1),  # whatever the backend has to say; what it takes is its own affair
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_OTHER_PROTOCOL = "http1.x server"
"""What gRPC says of a web server (grpcio 1.7x)."""
_LOCKED_OUT = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_T = TypeVar("_T")


class Creation(Enum):
    """What creating an entity did."""

    CREATED = "created"
    UNCHANGED = "unchanged"  # it was there, with the same content


class Upload(NamedTuple):
    """A file to upload: where it is, and the MD5 of its bytes."""

    path: Path
    digest_md5: bytes


class LaunchPlanPlace(NamedTuple):
    """Where to look for launch plans; without a name, all of the project and domain."""

    project: str
    domain: str
    name: str = ""


class ExecutionQuery(NamedTuple):
    """Which executions to list: Flyte's filter grammar, and the most to return (0: all)."""

    project: str
    domain: str
    filters: str
    limit: int = 0


class FlyteClient(Protocol):
    """A Flyte backend. Every method raises ``BackendUnavailableError`` if none answers."""

    @property
    def endpoint(self) -> Endpoint:
        """Where this backend is."""
        ...

    def fetch(self, identifier: identifier_pb2.Identifier) -> Message | None:
        """Return the registered Task, Workflow or LaunchPlan, or None if there is none."""
        ...

    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> Creation:
        """Register a TaskSpec, WorkflowSpec or LaunchPlanSpec.

        Raises:
            BackendRefusedError: it is not valid, or the version is taken by other content (INVALID_ARGUMENT).
        """
        ...

    def launch_plans(
        self, place: LaunchPlanPlace, *, only_active: bool = False
    ) -> Iterator[launch_plan_pb2.LaunchPlan]:
        """Yield the launch plans of a place, the newest first; fetched page by page."""
        ...

    def set_active(self, launch_plan: identifier_pb2.Identifier, *, active: bool) -> None:
        """Activate this version (and so deactivate the active one of its name), or deactivate it.

        Raises:
            BackendRefusedError: there is none.
        """
        ...

    def projects(self) -> tuple[str, ...]:
        """Return the names of the projects that are not archived."""
        ...

    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains that projects have; empty if the backend has no project."""
        ...

    def upload(self, project: str, domain: str, file: Upload) -> str:
        """Store the file unless the backend has it; returns its URI as tasks will read it."""
        ...

    def create_execution(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Start an execution; one of that name that is already there is returned as it is.

        Raises:
            BackendRefusedError: the inputs or the launch plan are not accepted.
        """
        ...

    def get_execution(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier, *, patience_s: float
    ) -> execution_pb2.Execution:
        """Return the execution's state; one that is not over may be answered only after ``patience_s``."""
        ...

    def list_executions(self, query: ExecutionQuery) -> Iterator[execution_pb2.Execution]:
        """Yield the executions that the query means, the newest first; fetched page by page."""
        ...

    def get_outputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        """Return the outputs of an execution that has succeeded."""
        ...

    def get_inputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        """Return the inputs of an execution, those by default included."""
        ...

    def terminate(self, execution: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        """Ask for an end; an execution that has ended is left as it is."""
        ...


class GrpcFlyteClient:
    """The real thing: AdminService and DataProxyService over one gRPC channel."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._channel = open_channel(endpoint, list(_CHANNEL_OPTIONS))
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._data = dataproxy_pb2_grpc.DataProxyServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._has_connected = endpoint.is_embedded  # a Unix socket answers or refuses, it is never silent
        self._connecting = 0
        self._lock = Lock()

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    @contextmanager
    def service(self) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
        """Give the service itself, for calls that the protocol above has not; refusals become errors.

        Raises:
            BackendUnavailableError: the backend does not answer.
            BackendRefusedError: the backend refuses.
        """
        self.connect()
        try:
            yield self._admin
        except grpc.RpcError as error:
            raise _as_our_own(error, self._endpoint) from error

    def fetch(self, identifier: identifier_pb2.Identifier) -> Message | None:
        request = common_pb2.ObjectGetRequest(id=identifier)
        rpc = {
            identifier_pb2.TASK: self._admin.GetTask,
            identifier_pb2.WORKFLOW: self._admin.GetWorkflow,
            identifier_pb2.LAUNCH_PLAN: self._admin.GetLaunchPlan,
        }[identifier.resource_type]
        try:
            found: Message = self._call(rpc, request)
        except BackendRefusedError as error:
            if error.code == grpc.StatusCode.NOT_FOUND.name:
                return None
            raise
        return found

    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> Creation:
        try:
            self._call(*self._creation(identifier, spec), timeout_s=REGISTER_TIMEOUT_S)
        except BackendRefusedError as error:
            if error.code == grpc.StatusCode.ALREADY_EXISTS.name:
                return Creation.UNCHANGED
            raise
        return Creation.CREATED

    def launch_plans(
        self, place: LaunchPlanPlace, *, only_active: bool = False
    ) -> Iterator[launch_plan_pb2.LaunchPlan]:
        where = common_pb2.NamedEntityIdentifier(project=place.project, domain=place.domain, name=place.name)
        newest_first = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
        request = common_pb2.ResourceListRequest(
            id=where, limit=_PAGE, sort_by=newest_first, filters="eq(state,1)" if only_active else ""
        )
        while True:
            page = self._call(self._admin.ListLaunchPlans, request)
            yield from page.launch_plans
            if not page.token or not page.launch_plans:
                return
            request.token = page.token

    def set_active(self, launch_plan: identifier_pb2.Identifier, *, active: bool) -> None:
        state = launch_plan_pb2.ACTIVE if active else launch_plan_pb2.INACTIVE
        self._call(self._admin.UpdateLaunchPlan, launch_plan_pb2.LaunchPlanUpdateRequest(id=launch_plan, state=state))

    def projects(self) -> tuple[str, ...]:
        every = project_pb2.ProjectListRequest()  # without a limit: all of them
        return tuple(project.id for project in self._call(self._admin.ListProjects, every).projects)

    def domains(self) -> tuple[str, ...]:
        found = self._call(self._admin.ListProjects, project_pb2.ProjectListRequest(limit=1)).projects
        return tuple(domain.id for domain in found[0].domains) if found else ()

    def upload(self, project: str, domain: str, file: Upload) -> str:
        request = dataproxy_pb2.CreateUploadLocationRequest(
            project=project,
            domain=domain,
            filename=file.path.name,
            content_md5=file.digest_md5,
            add_content_md5_metadata=True,
        )
        request.expires_in.FromTimedelta(timedelta(minutes=55))  # flyteadmin refuses more than an hour
        location = self._call(self._data.CreateUploadLocation, request)
        uri: str = location.native_url
        if not (self._endpoint.is_embedded and Path(uri).is_file()):
            _put(file, location.signed_url, dict(location.headers), self._endpoint)
        return uri

    def create_execution(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        try:
            created: identifier_pb2.WorkflowExecutionIdentifier = self._call(self._admin.CreateExecution, request).id
        except BackendRefusedError as error:
            named = identifier_pb2.WorkflowExecutionIdentifier(
                project=request.project, domain=request.domain, name=request.name
            )
            is_taken = error.code == grpc.StatusCode.ALREADY_EXISTS.name and bool(request.name)
            if not is_taken or not self._is_there(named):
                raise
            return named
        return created

    def _is_there(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> bool:
        """Tell whether it exists: Flyte says so too if its launch plan allows no more executions at a time."""
        try:
            self.get_execution(execution, patience_s=0)
        except BackendRefusedError as error:
            if error.code != grpc.StatusCode.NOT_FOUND.name:
                raise
            return False
        return True

    def get_execution(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier, *, patience_s: float
    ) -> execution_pb2.Execution:
        request = execution_pb2.WorkflowExecutionGetRequest(id=execution)
        found: execution_pb2.Execution = self._call(
            self._admin.GetExecution, request, timeout_s=patience_s + _RESERVE_S
        )
        return found

    def list_executions(self, query: ExecutionQuery) -> Iterator[execution_pb2.Execution]:
        where = common_pb2.NamedEntityIdentifier(project=query.project, domain=query.domain)
        newest_first = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
        request = common_pb2.ResourceListRequest(
            id=where,
            limit=min(query.limit or _EXECUTIONS_PAGE, _EXECUTIONS_PAGE),
            filters=query.filters,
            sort_by=newest_first,
        )
        left = query.limit or sys.maxsize
        while True:
            page = self._call(self._admin.ListExecutions, request, timeout_s=REGISTER_TIMEOUT_S)
            yield from page.executions[:left]
            left -= len(page.executions)
            if left <= 0 or not page.token or not page.executions:
                return
            request.token = page.token

    def get_outputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=execution)
        outputs: literals_pb2.LiteralMap = self._call(self._admin.GetExecutionData, request).full_outputs
        return outputs

    def get_inputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=execution)
        inputs: literals_pb2.LiteralMap = self._call(self._admin.GetExecutionData, request).full_inputs
        return inputs

    def terminate(self, execution: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        request = execution_pb2.ExecutionTerminateRequest(id=execution, cause=cause)
        try:
            self._call(self._admin.TerminateExecution, request)
        except BackendRefusedError as error:
            if error.code != grpc.StatusCode.FAILED_PRECONDITION.name:
                raise

    def relaunch(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier, *, overwrite_cache: bool = False
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Begin the same again, all of it; returns the new execution."""
        request = execution_pb2.ExecutionRelaunchRequest(id=execution, overwrite_cache=overwrite_cache)
        created: identifier_pb2.WorkflowExecutionIdentifier = self._call(self._admin.RelaunchExecution, request).id
        return created

    def recover(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Begin the same again, but for what ended well; returns the new execution."""
        request = execution_pb2.ExecutionRecoverRequest(id=execution)
        created: identifier_pb2.WorkflowExecutionIdentifier = self._call(self._admin.RecoverExecution, request).id
        return created

    def _creation(
        self, identifier: identifier_pb2.Identifier, spec: Message
    ) -> tuple[Callable[..., Any], Message]:  # Any: gRPC's stubs are not typed by their messages
        match spec:
            case task_pb2.TaskSpec():
                return self._admin.CreateTask, task_pb2.TaskCreateRequest(id=identifier, spec=spec)
            case workflow_pb2.WorkflowSpec():
                return self._admin.CreateWorkflow, workflow_pb2.WorkflowCreateRequest(id=identifier, spec=spec)
            case launch_plan_pb2.LaunchPlanSpec():
                return self._admin.CreateLaunchPlan, launch_plan_pb2.LaunchPlanCreateRequest(id=identifier, spec=spec)
            case _:
                raise AssertionError(f"no such entity: {type(spec).__name__}")

    def _call(self, rpc: Callable[..., _T], request: Message, *, timeout_s: float = CALL_TIMEOUT_S) -> _T:
        self.connect()
        try:
            return rpc(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _as_our_own(error, self._endpoint) from error
        except LOGIN_FAILURES as error:  # those of a proxy come through flytekit's own interceptor
            if self._endpoint.platform is None or not self._endpoint.platform.proxy_command:
                raise
            raise LoginError(
                f"The proxy before {self._endpoint.target} ({self._endpoint.origin}) asks who this is, and the login "
                f"failed: {error}",
                hint="run admin.proxyCommand of the Flyte client config by hand: it has to print a token.",
            ) from error

    def connect(self) -> None:
        """Wait for the first connection; calls do so by themselves. One that fails is left to the call to tell why.

        Raises:
            BackendUnavailableError: whatever is there says nothing.
        """
        if self._has_connected:
            return
        decided = Event()

        def look(state: grpc.ChannelConnectivity) -> None:
            if state not in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
                decided.set()

        with self._lock:
            self._connecting += 1
            is_first = self._connecting == 1
        # Two wishes to connect at a time would leave gRPC a thread that still asks when the channel has been closed.
        self._channel.subscribe(look, try_to_connect=is_first)
        try:
            if not decided.wait(CONNECT_TIMEOUT_S):
                raise BackendUnavailableError(
                    f"No Flyte backend answers at {_where(self._endpoint)}: no connection within "
                    f"{CONNECT_TIMEOUT_S:g} s, whatever is there says nothing.",
                    hint=_hint_unreachable(self._endpoint),
                )
        finally:
            self._channel.unsubscribe(look)
            with self._lock:
                self._connecting -= 1
        self._has_connected = True


def _as_our_own(error: grpc.RpcError, endpoint: Endpoint) -> HydraFlyteError:
    """Turn a gRPC error into ours: one table for the whole launcher."""
    code = error.code()
    details = str(error.details() or "").strip()
    where = _where(endpoint)
    backend = "The embedded backend" if endpoint.is_embedded else f"The Flyte backend at {where}"
    if _OTHER_PROTOCOL in details:
        return BackendUnavailableError(
            f"No Flyte backend answers at {where}: what is there serves web pages (HTTP/1.1), and no gRPC.",
            hint=f"give the address of the API, which has a port of its own; check {endpoint.names.endpoint}.",
        )
    if code in _UNREACHABLE:
        return BackendUnavailableError(
            f"No Flyte backend answers at {where}: {code.name}, {details}", hint=_hint_unreachable(endpoint)
        )
    if code in _LOCKED_OUT:
        return BackendUnavailableError(
            f"{backend} does not let this user in: {code.name}, {details}",
            hint="ask whoever runs the backend what this user may do; the Flyte client config names the user.",
        )
    hint = "the text above is the backend's own answer."
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        hint = "pass large values as files (FlyteFile) instead of in the config, or have the backend's limit raised."
    return BackendRefusedError(f"{backend} refused: {code.name}, {details}", hint=hint, code=code.name)


def _where(endpoint: Endpoint) -> str:
    return endpoint.place if endpoint.is_embedded else f"{endpoint.target} ({endpoint.origin})"


def _hint_unreachable(endpoint: Endpoint) -> str:
    if endpoint.is_embedded:
        return "see `hydraflyte status` and `hydraflyte doctor`."
    transport = "plain text" if endpoint.insecure else "TLS"
    names = endpoint.names
    what = f"{names.endpoint} and {names.insecure}" if names.insecure else names.endpoint
    return f"tried with {transport}; check {what}, or set {names.endpoint}=embedded."


def _put(file: Upload, url: str, headers: dict[str, str], endpoint: Endpoint) -> None:
    """Send the file to a signed address, with the headers that flytekit sends too."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise _upload_failed(file, url, "the backend named no http address", endpoint)
    md5 = base64.b64encode(file.digest_md5).decode("ascii")
    sent = {"Content-Length": str(file.path.stat().st_size), "Content-MD5": md5, **headers}
    try:
        with _http(endpoint) as pool, file.path.open("rb") as content:
            answer = pool.request("PUT", url, body=content, headers=sent, retries=False, timeout=_UPLOAD_TIMEOUT)
    except urllib3.exceptions.HTTPError as error:
        raise _upload_failed(file, url, str(error), endpoint) from error
    if answer.status not in (200, 201):  # some object stores answer 201
        text = answer.data.decode(errors="replace")[:2000]
        raise _upload_failed(file, url, f"{answer.status} {text or answer.reason}", endpoint)


def _http(endpoint: Endpoint) -> urllib3.PoolManager:
    platform = endpoint.platform
    if platform is not None and platform.insecure_skip_verify:
        return urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
    return urllib3.PoolManager(ca_certs=None if platform is None else platform.ca_cert_file_path)


def _upload_failed(file: Upload, url: str, why: str, endpoint: Endpoint) -> BackendUnavailableError:
    place = urlsplit(url).netloc or url
    return BackendUnavailableError(
        f"The code bundle {file.path.name} cannot be uploaded to {place}: {why.strip()}",
        hint=f"the address comes from the backend at {endpoint.place}; check that this machine reaches it "
        "and that it has space left.",
    )
