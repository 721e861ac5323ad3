"""A client for programs that run what is registered: a back-end service, a notebook, a test.

Thin: the launcher's own calls, with values instead of command lines. Needs neither the code of a workflow nor a Hydra
program. One client may be used by many threads. flytekit's own client is reachable as ``remote``.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flyteidl.admin import execution_pb2, launch_plan_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import LiteralMap

from hydraflyte import labels
from hydraflyte.config import LauncherConfig
from hydraflyte.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    ExecutionError,
    ExecutionFailedError,
    StillRunningError,
)
from hydraflyte.home import Home
from hydraflyte.launcher.endpoint import IN_PYTHON, resolve_endpoint
from hydraflyte.launcher.execute import JobIdentity, execution_name
from hydraflyte.launcher.handles import execution_link
from hydraflyte.launcher.input_files import InputFiles
from hydraflyte.launcher.provenance import annotations_of_code, this_call
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.registered import interface_of, require_version
from hydraflyte.launcher.registered_inputs import inputs_of_registered
from hydraflyte.launcher.remote import GrpcFlyteClient, LaunchPlanPlace
from hydraflyte.tracebacks import last_line, readable_failure

if TYPE_CHECKING:
    from flytekit.remote import FlyteRemote

__all__ = ["Client", "Execution", "connect"]

_Phase = core_execution_pb2.WorkflowExecution
_ENDED = frozenset({_Phase.SUCCEEDED, _Phase.FAILED, _Phase.ABORTED, _Phase.TIMED_OUT})
_MADE_UP = ".flytegen."
"""What the name of the launch plan begins with that Flyte makes up around a task that is run alone."""

_PATIENCE_OF_A_POLL_S = 2.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_PATIENCE_S = 120.0
"""How long a backend may be away while an execution is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution that was started, and the address of its page."""

    project: str
    domain: str
    name: str
    url: str


def connect(
    endpoint: str = "auto",
    *,
    insecure: bool | None = None,
    project: str = "flytesnacks",
    domain: str = "development",
) -> Client:
    """Return a client of the backend, after it has answered once.

    Args:
        endpoint: as ``hydra.launcher.endpoint``: ``embedded``, ``host:port``, a client config file, or ``auto``.
        insecure: plain text; None means: only on this machine.
        project: where launch plans and executions are looked for.
        domain: likewise.

    Raises:
        ConfigError: the endpoint is none.
        BackendUnavailableError: nobody answers there, or does not let this user in.

    Example:
        >>> import hydraflyte
        >>> client = hydraflyte.connect("embedded")  # doctest: +SKIP
        >>> execution = client.execute("train.fit", overrides=["lr=0.1"], wait=True)  # doctest: +SKIP
        >>> client.results(execution)  # doctest: +SKIP
        {'o0': 0.93}
    """
    LauncherConfig(endpoint=endpoint)  # says what is wrong with it
    flyte = GrpcFlyteClient(resolve_endpoint(endpoint, insecure, os.environ, names=IN_PYTHON))
    try:
        flyte.domains()
    except BaseException:
        flyte.close()
        raise
    return Client(flyte, project=project, domain=domain)


class Client:
    """Runs registered launch plans. Close it, or use it in a ``with`` block."""

    def __init__(self, flyte: GrpcFlyteClient, *, project: str, domain: str) -> None:
        self._flyte = flyte
        self._project, self._domain = project, domain
        self._lock = Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; executions go on."""
        self._flyte.close()

    @cached_property
    def remote(self) -> FlyteRemote:
        """flytekit's client of the same backend, with the same project and domain."""
        from flytekit.configuration import Config
        from flytekit.remote import FlyteRemote

        platform = self._flyte.endpoint.platform
        with self._lock:
            if platform is None:
                config = Config.auto(config_file=str(Home.resolve(None, os.environ).client_config))
            else:
                config = Config(platform=platform)
            return FlyteRemote(config=config, default_project=self._project, default_domain=self._domain)

    def execute(
        self,
        launch_plan: str,
        *,
        inputs: Mapping[str, Any] | None = None,  # Any: the caller's own values
        overrides: Sequence[str] = (),
        version: str | None = None,
        wait: bool = False,
    ) -> Execution:
        """Start an execution of a registered launch plan.

        Args:
            launch_plan: its full name, which is that of its workflow.
            inputs: input name -> value; those left out have the launch plan's defaults.
            overrides: in Hydra's grammar, on the registered default of the config.
            version: None or ``latest`` for the one that was registered last.
            wait: return when the execution has succeeded.

        Raises:
            NotRegisteredError: there is no such launch plan, or version.
            InputsError: an input or override does not fit.
            ExecutionError: the backend does not accept it.
            ExecutionFailedError: it was waited for, and did not succeed.
        """
        place = LaunchPlanPlace(self._project, self._domain, launch_plan)
        plan = require_version(self._flyte, place, version)
        request = execution_pb2.ExecutionCreateRequest(
            project=self._project,
            domain=self._domain,
            inputs=self._sent(inputs_of_registered(plan, dict(inputs or {}), overrides)),
        )
        request.spec.launch_plan.CopyFrom(plan.id)
        request.spec.metadata.mode = execution_pb2.ExecutionMetadata.MANUAL
        return self._start(request, plan, overrides, wait=wait)

    def relaunch(
        self,
        execution: Execution | str,
        *,
        inputs: Mapping[str, Any] | None = None,  # Any: the caller's own values
        overrides: Sequence[str] = (),
        overwrite_cache: bool = False,
        wait: bool = False,
    ) -> Execution:
        """Start the same launch plan again, with the inputs of an earlier execution and what is given anew.

        Args:
            overwrite_cache: run cached tasks too, and store their outputs anew.

        Raises:
            ExecutionError: there is no such execution, or the backend does not accept it.
            InputsError: an input or override does not fit.
            ExecutionFailedError: it was waited for, and did not succeed.
        """
        identifier = self._identifier(execution)
        before = self._get(identifier)
        place = before.spec.launch_plan
        name = place.name if place.resource_type != identifier_pb2.TASK else f"{_MADE_UP}{place.name}"
        plan = require_version(self._flyte, LaunchPlanPlace(place.project, place.domain, name), place.version)
        request = execution_pb2.ExecutionCreateRequest(
            project=identifier.project,
            domain=identifier.domain,
            inputs=self._sent(
                inputs_of_registered(plan, dict(inputs or {}), overrides, before=self._flyte.get_inputs(identifier))
            ),
        )
        request.spec.launch_plan.CopyFrom(place)
        request.spec.envs.CopyFrom(before.spec.envs)
        request.spec.overwrite_cache = overwrite_cache
        request.spec.metadata.mode = execution_pb2.ExecutionMetadata.RELAUNCH
        request.spec.metadata.reference_execution.CopyFrom(identifier)
        return self._start(request, plan, overrides, wait=wait)

    def wait(self, execution: Execution | str, *, timeout_s: float | None = None) -> Execution:
        """Return when the execution has succeeded.

        Args:
            timeout_s: longest time to wait; None means as long as it takes.

        Raises:
            ExecutionFailedError: it ended otherwise; carries the user's own traceback.
            StillRunningError: it has not ended in time, and goes on.
            BackendUnavailableError: the backend has been away for two minutes.
        """
        identifier = self._identifier(execution)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        ended = self._until_ended(identifier, deadline)
        if ended is None:
            raise StillRunningError(
                f"The execution {identifier.name} has not ended within {timeout_s:g} s.",
                hint="it goes on: wait again, or end it with `hydraflyte executions cancel`.",
            )
        if ended.closure.phase != _Phase.SUCCEEDED:
            raise self._failure(ended)
        return self._execution(identifier)

    def results(
        self, execution: Execution | str, *, timeout_s: float | None = None
    ) -> dict[str, Any]:  # Any: the workflow's own values
        """Return the outputs by name, of an execution that has succeeded; waits for it.

        Configs are ``DictConfig``s, and what has a schema comes as the class that flytekit makes of it.

        Args:
            timeout_s: longest time to wait; None means as long as it takes, 0 asks once.

        Raises:
            ExecutionFailedError: it did not succeed.
            StillRunningError: it has not ended in time, and goes on.
            ExecutionError: an output cannot be read on this machine.
        """
        identifier = self._identifier(execution)
        self.wait(execution, timeout_s=timeout_s)
        launched = self._get(identifier).spec.launch_plan
        plan = self._flyte.fetch(launched)
        assert isinstance(plan, launch_plan_pb2.LaunchPlan), "an execution's launch plan is never deleted"
        outputs = self._flyte.get_outputs(identifier)
        return _python_values(outputs, interface_of(plan).outputs)

    def _start(
        self,
        request: execution_pb2.ExecutionCreateRequest,
        plan: launch_plan_pb2.LaunchPlan,
        overrides: Sequence[str],
        *,
        wait: bool,
    ) -> Execution:
        identity = JobIdentity(sweep_id=f"c{secrets.token_hex(5)}", number=0, overrides=tuple(overrides))
        request.name = execution_name(plan.id.name, identity)
        annotations = {**annotations_of_code(plan.spec.annotations.values), **this_call().annotations()}
        if overrides:
            annotations[labels.OVERRIDES] = labels.join_overrides(shown_overrides(overrides))
        request.spec.annotations.values.update(annotations)
        request.spec.labels.values.update(plan.spec.labels.values)
        try:
            identifier = self._flyte.create_execution(request)
        except BackendRefusedError as error:
            raise ExecutionError(f"The execution was not accepted: {error.message}", hint=error.hint) from error
        execution = self._execution(identifier)
        return self.wait(execution) if wait else execution

    def _sent(self, inputs: literals_pb2.LiteralMap) -> literals_pb2.LiteralMap:
        files = InputFiles(client=self._flyte, project=self._project, domain=self._domain)
        return files.upload_all([inputs])[0]

    def _until_ended(
        self, identifier: identifier_pb2.WorkflowExecutionIdentifier, deadline: float | None
    ) -> execution_pb2.Execution | None:
        """Return the execution when it has ended, or None if the deadline comes before."""
        pause_s, answered_at = 0.0, time.monotonic()
        while True:
            left_s = _PATIENCE_OF_A_POLL_S if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                found = self._get(identifier, patience_s=min(_PATIENCE_OF_A_POLL_S, left_s))
            except BackendUnavailableError:
                if time.monotonic() - answered_at > _PATIENCE_S:
                    raise
            else:
                answered_at = time.monotonic()
                if found.closure.phase in _ENDED:
                    return found
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(pause_s if deadline is None else min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, pause_s * 1.5))

    def _get(
        self, identifier: identifier_pb2.WorkflowExecutionIdentifier, *, patience_s: float = 0.0
    ) -> execution_pb2.Execution:
        try:
            return self._flyte.get_execution(identifier, patience_s=patience_s)
        except BackendRefusedError as error:
            raise ExecutionError(
                f"The execution {identifier.project}/{identifier.domain}/{identifier.name} cannot be read: "
                f"{error.message}",
                hint="check its name, and the project and domain that were given to connect().",
            ) from error

    def _failure(self, ended: execution_pb2.Execution) -> ExecutionFailedError:
        closure, phase = ended.closure, _Phase.Phase.Name(ended.closure.phase)
        was_aborted = closure.HasField("abort_metadata")
        text = closure.abort_metadata.cause if was_aborted else readable_failure(closure.error.message, Path.cwd())
        return ExecutionFailedError(
            f"The execution {ended.id.name} ended {phase}: {last_line(text)}\n{text}",
            hint=f"see {self._execution(ended.id).url}",
            execution=f"{ended.id.project}/{ended.id.domain}/{ended.id.name}",
            phase=phase,
            traceback_text="" if was_aborted else text,
        )

    def _identifier(self, execution: Execution | str) -> identifier_pb2.WorkflowExecutionIdentifier:
        if isinstance(execution, str):
            return identifier_pb2.WorkflowExecutionIdentifier(
                project=self._project, domain=self._domain, name=execution
            )
        return identifier_pb2.WorkflowExecutionIdentifier(
            project=execution.project, domain=execution.domain, name=execution.name
        )

    def _execution(self, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> Execution:
        return Execution(
            project=identifier.project,
            domain=identifier.domain,
            name=identifier.name,
            url=execution_link(self._flyte.endpoint.console_url, identifier),
        )


def _python_values(outputs: literals_pb2.LiteralMap, types: Mapping[str, Any]) -> dict[str, Any]:  # Any: as results()
    try:
        values: dict[str, Any] = TypeEngine.literal_map_to_kwargs(
            FlyteContextManager.current_context(), LiteralMap.from_flyte_idl(outputs), dict(types)
        )
    except (TypeError, ValueError, AssertionError, KeyError, AttributeError, OSError) as error:
        raise ExecutionError(
            f"The execution succeeded, but its outputs cannot be read here: {error}",
            hint="read them with `.remote`, flytekit's own client, where their files can be reached.",
        ) from error
    return values
