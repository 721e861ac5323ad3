"""Runs a task that has no container but a connector: a sensor, a query, a job of some service.

Rule: what the connector says is written down as a task's own process would write it (``outputs.pb``, ``error.pb``), so
nobody else needs to know of connectors. It stands alone: it is also run as a script, where a fork would be wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

_POLL_S = 1.0
_FAILED_CODE = "TaskFailedWithError"  # flyteplugins (go/tasks/plugins/webapi/connector)


def run(args: Sequence[str]) -> None:
    """Hand the task to its connector and follow it to its end.

    Args:
        args: paths of the task's template and of its inputs, then the prefixes of outputs and of raw outputs.
    """
    asyncio.run(_run(*args))


async def _run(template_path: str, inputs_path: str, output_prefix: str, raw_prefix: str) -> None:
    from flyteidl.core.literals_pb2 import LiteralMap
    from flyteidl.core.tasks_pb2 import TaskTemplate
    from flytekit.exceptions.system import FlyteConnectorNotFound

    template = TaskTemplate.FromString(_read(template_path))
    inputs = LiteralMap.FromString(_read(inputs_path))
    os.makedirs(output_prefix, mode=0o700, exist_ok=True)
    try:
        connector = _find(template)
    except FlyteConnectorNotFound:
        text = (
            f"a task of type {template.type!r} has no container to run, and {sys.executable} has no connector for it:"
            " install the flytekit plugin that brings one there"
        )
        _fail(output_prefix, code="BadTaskDefinition", message=text, may_be_tried_again=False)
        return
    with _raw_outputs_below(raw_prefix):
        resource = await _resource_of(connector, template, inputs, output_prefix)
        await _keep(resource, output_prefix)


def _find(template: Any) -> Any:
    import flytekit.sensor  # noqa: F401  (registers the connector of sensors; plugins come with flytekit itself)
    from flytekit.extend.backend.base_connector import ConnectorRegistry

    return ConnectorRegistry.get_connector(template.type, template.task_type_version)


async def _resource_of(connector: Any, template: Any, inputs: Any, output_prefix: str) -> Any:
    """Return what the connector gives at last."""
    from flytekit.extend.backend.base_connector import SyncConnectorBase
    from flytekit.extend.backend.utils import mirror_async_methods
    from flytekit.models.literals import LiteralMap
    from flytekit.models.task import TaskTemplate

    asked = {
        "task_template": TaskTemplate.from_flyte_idl(template),
        "inputs": LiteralMap.from_flyte_idl(inputs),
        "output_prefix": output_prefix,
    }
    if isinstance(connector, SyncConnectorBase):
        return await mirror_async_methods(connector.do, **asked)
    job = await mirror_async_methods(connector.create, **asked, task_execution_metadata=_who_asks(template))
    return await _follow(connector, job)


async def _follow(connector: Any, job: Any) -> Any:
    """Ask for the job until it has ended; if this process is told to end, the job is deleted first."""
    from flytekit.extend.backend.utils import is_terminal_phase, mirror_async_methods

    asking = asyncio.current_task()
    assert asking is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asking.cancel)
    try:
        while True:
            resource = await mirror_async_methods(connector.get, resource_meta=job)
            _show(resource)
            if is_terminal_phase(resource.phase):
                return resource
            await asyncio.sleep(_POLL_S)
    except asyncio.CancelledError:
        await mirror_async_methods(connector.delete, resource_meta=job)
        raise SystemExit(128 + signal.SIGTERM) from None


def _show(resource: Any) -> None:
    """Print what the job says, for the log of the attempt."""
    links = [f"{link.name}: {link.uri}" for link in resource.log_links or ()]
    for line in (*filter(None, [resource.message]), *links):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


async def _keep(resource: Any, output_prefix: str) -> None:
    from flyteidl.core.execution_pb2 import TaskExecution

    given = await resource.to_flyte_idl()
    if given.phase == TaskExecution.SUCCEEDED:
        if resource.outputs is not None:
            _write(output_prefix, "outputs.pb", given.outputs.SerializeToString(deterministic=True))
        return
    message = (
        "failed to run the job with aborted phase."
        if given.phase == TaskExecution.ABORTED
        else f"failed to run the job: {given.message}"
    )
    retryable = given.phase == TaskExecution.RETRYABLE_FAILED
    _fail(output_prefix, code=_FAILED_CODE, message=message, may_be_tried_again=retryable)


def _fail(output_prefix: str, *, code: str, message: str, may_be_tried_again: bool) -> None:
    from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
    from flyteidl.core.execution_pb2 import ExecutionError

    kind = ContainerError.RECOVERABLE if may_be_tried_again else ContainerError.NON_RECOVERABLE
    error = ContainerError(code=code, message=message, kind=kind, origin=ExecutionError.USER)
    _write(output_prefix, "error.pb", ErrorDocument(error=error).SerializeToString())


def _who_asks(template: Any) -> Any:
    """Return what a connector is told of the execution."""
    from flytekit.models.core.identifier import (
        Identifier,
        NodeExecutionIdentifier,
        TaskExecutionIdentifier,
        WorkflowExecutionIdentifier,
    )
    from flytekit.models.task import TaskExecutionMetadata

    project, domain, name, attempt = (
        os.environ.get(variable, "")
        for variable in (
            "FLYTE_INTERNAL_EXECUTION_PROJECT",
            "FLYTE_INTERNAL_EXECUTION_DOMAIN",
            "FLYTE_INTERNAL_EXECUTION_ID",
            "FLYTE_ATTEMPT_NUMBER",
        )
    )
    execution = WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    attempt_id = TaskExecutionIdentifier(
        task_id=Identifier.from_flyte_idl(template.id),
        node_execution_id=NodeExecutionIdentifier(node_id="", execution_id=execution),
        retry_attempt=int(attempt or 0),
    )
    return TaskExecutionMetadata(
        task_execution_id=attempt_id,
        namespace=f"{project}-{domain}",
        labels={},
        annotations={},
        k8s_service_account="",
        environment_variables=dict(os.environ),
        identity=None,
    )


@contextlib.contextmanager
def _raw_outputs_below(prefix: str) -> Any:
    """Let values that become files be kept where those of other tasks are."""
    from flytekit import FlyteContextManager
    from flytekit.core.data_persistence import FileAccessProvider

    context = FlyteContextManager.current_context()
    access = FileAccessProvider(local_sandbox_dir=context.file_access.local_sandbox_dir, raw_output_prefix=prefix)
    with FlyteContextManager.with_context(context.with_file_access(access)):
        yield


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(folder: str, name: str, content: bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)


if __name__ == "__main__":
    run(sys.argv[1:])
