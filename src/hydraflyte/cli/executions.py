"""``executions list | show | logs | cancel``: what runs and ran on the backend. ``again`` has the other verbs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hydraflyte.cli import again
from hydraflyte.cli.clients import Service, add_endpoint, service_of
from hydraflyte.cli.logs import Follower, Stream, copy_log, log_text
from hydraflyte.cli.lookups import TIMEOUT_S, get_execution, identifier_of, nodes_of, phase_of, tasks_of
from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json, print_table
from hydraflyte.errors import ExecutionError
from hydraflyte.labels import notes_of

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from flyteidl.admin.execution_pb2 import Execution
    from flyteidl.admin.node_execution_pb2 import NodeExecution
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

_ENDED = frozenset({"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "SKIPPED", "RECOVERED"})
"""Phases of executions and nodes of which nothing more is to come."""


def add_verbs(verbs: Verbs) -> None:
    """Add the noun ``executions`` and its verbs."""
    noun = verbs.add_parser("executions", help="executions on the backend")
    actions = noun.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="the newest executions")
    listing.add_argument("--limit", type=int, default=20, help="most to show (default: %(default)s)")
    listing.set_defaults(run=run_list)

    show = actions.add_parser("show", help="one execution: phase, nodes, error, outputs")
    show.set_defaults(run=run_show)

    logs = actions.add_parser("logs", help="what its tasks printed")
    logs.add_argument("--node", metavar="ID", help="only this node")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the execution ends")
    logs.set_defaults(run=run_logs)

    cancel = actions.add_parser("cancel", help="terminate it")
    cancel.add_argument("--cause", default="cancelled from the command line", help="reason to record")
    cancel.set_defaults(run=run_cancel)

    relaunch, recover, evict = again.add_actions(actions)

    for action in (listing, show, logs, cancel, relaunch, recover, evict):
        if action is not listing:
            action.add_argument("name", metavar="EXECUTION", help="name of the execution")
        if action is evict:  # the catalog's own service, which clusters do not show to clients
            action.add_argument("--project", default="flytesnacks", help="default: %(default)s")
            action.add_argument("--domain", default="development", help="default: %(default)s")
        else:
            add_endpoint(action, default="embedded")
        add_home(action)
        add_json(action)
    again.add_changes(relaunch)


def run_list(options: argparse.Namespace) -> int:
    """Print the newest executions, newest first."""
    from flyteidl.admin.common_pb2 import NamedEntityIdentifier, ResourceListRequest, Sort

    request = ResourceListRequest(
        id=NamedEntityIdentifier(project=options.project, domain=options.domain),
        limit=options.limit,
        sort_by=Sort(key="created_at", direction=Sort.DESCENDING),
    )
    with service_of(options) as backend:
        found = backend.admin.ListExecutions(request, timeout=TIMEOUT_S).executions
    executions = [_execution_facts(execution) for execution in found]
    if options.json:
        print_json(executions)
    else:
        print_table(("name", "phase", "workflow", "started_at", "duration_s"), executions)
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print one execution with its nodes, attempts, error and outputs."""
    from hydraflyte.launcher.handles import execution_link

    with service_of(options) as backend:
        execution = backend.execution(options)
        facts: dict[str, Any] = _execution_facts(execution)
        facts["console_url"] = execution_link(backend.console_url, execution.id)
        facts["provenance"] = notes_of(execution.spec.annotations.values)
        facts["inputs"], facts["outputs"] = _data(backend.admin, execution)
        facts["nodes"] = [_node_facts(backend.admin, node) for node in nodes_of(backend.admin, execution)]
    if options.json:
        print_json(facts)
    else:
        _print_execution(facts)
    return 0


def run_logs(options: argparse.Namespace) -> int:
    """Print what every attempt wrote, each block under a heading; with ``-f`` as it is written."""
    with service_of(options) as backend:
        execution = backend.execution(options)
        if options.follow:
            _follow_logs(backend, options)
            return 0
        streams = list(_streams(backend.admin, execution, options.node))
    if options.node is not None and not streams:
        raise ExecutionError(
            f"Node {options.node!r} of {options.name} has no logs.",
            hint=f"`hydraflyte executions show {options.name}` lists its nodes.",
        )
    if backend.is_embedded:
        _print_logs(streams, home_of(options).token(), as_json=options.json)
    else:
        _print_links(streams, as_json=options.json)
    return 0


def _print_logs(streams: Iterable[Stream], token: str, *, as_json: bool) -> None:
    if as_json:
        print_json([_stream_facts(stream) | {"text": log_text(stream.uri, token)} for stream in streams])
        return
    for stream in streams:
        print(stream.heading, flush=True)
        copy_log(stream.uri, token, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _print_links(streams: Iterable[Stream], *, as_json: bool) -> None:
    """Print where the logs are: a cluster's log pages open in a browser, signed in there."""
    if as_json:
        print_json([_stream_facts(stream) for stream in streams])
        return
    for stream in streams:
        print(f"{stream.heading}\n{stream.uri}")


def _follow_logs(backend: Service, options: argparse.Namespace) -> None:
    """Print logs as they are written, until the execution ends.

    Raises:
        ExecutionError: the backend only links to its logs.
    """
    from flyteidl.core.execution_pb2 import WorkflowExecution as CoreExecution

    if not backend.is_embedded:
        raise ExecutionError(
            f"The logs of {options.name} cannot be followed: the backend at {options.endpoint} only links to them.",
            hint="leave out -f (--follow) to see the links.",
        )
    admin, follower = backend.admin, Follower(home_of(options).token(), as_json=options.json)
    ended = {CoreExecution.SUCCEEDED, CoreExecution.FAILED, CoreExecution.ABORTED, CoreExecution.TIMED_OUT}
    execution = get_execution(admin, identifier_of(options))
    follower.follow(
        lambda: _streams(admin, execution, options.node),
        lambda: get_execution(admin, identifier_of(options)).closure.phase in ended,
    )


def run_cancel(options: argparse.Namespace) -> int:
    """Terminate one execution."""
    from flyteidl.admin.execution_pb2 import ExecutionTerminateRequest

    with service_of(options) as backend:
        request = ExecutionTerminateRequest(id=backend.execution(options).id, cause=options.cause)
        backend.admin.TerminateExecution(request, timeout=TIMEOUT_S)
    if options.json:
        print_json({"name": options.name, "cancelled": True})
    else:
        print(f"{options.name} is being terminated")
    return 0


def _streams(admin: AdminServiceStub, execution: Execution, only_node: str | None) -> Iterator[Stream]:
    from flyteidl.core.execution_pb2 import TaskExecution as CoreTask

    ended = {CoreTask.SUCCEEDED, CoreTask.FAILED, CoreTask.ABORTED}
    for node in nodes_of(admin, execution):
        if only_node not in (None, node.id.node_id):
            continue
        for task in tasks_of(admin, node):
            for link in task.closure.logs:
                yield Stream(
                    node=node.id.node_id,
                    attempt=task.id.retry_attempt,
                    name=link.name,
                    uri=link.uri,
                    is_complete=task.closure.phase in ended,
                )


def _stream_facts(stream: Stream) -> dict[str, Any]:
    return {"node": stream.node, "attempt": stream.attempt, "stream": stream.name, "uri": stream.uri}


def _data(admin: AdminServiceStub, execution: Execution) -> tuple[dict[str, Any], dict[str, Any]]:
    from flyteidl.admin.execution_pb2 import WorkflowExecutionGetDataRequest

    from hydraflyte.transport.readable import readable_map

    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=execution.id))
    return readable_map(data.full_inputs), readable_map(data.full_outputs)


def _execution_facts(execution: Execution) -> dict[str, Any]:
    closure = execution.closure
    return {
        "name": execution.id.name,
        "phase": phase_of(execution),
        "workflow": closure.workflow_id.name,
        "version": closure.workflow_id.version,
        "started_at": _text(closure.started_at.ToDatetime(timezone.utc)) if closure.HasField("started_at") else "",
        "duration_s": _duration_s(closure, phase_of(execution)),
        "error": closure.error.message if closure.HasField("error") else "",
    }


def _node_facts(admin: AdminServiceStub, node: NodeExecution) -> dict[str, Any]:
    from flyteidl.core.catalog_pb2 import CatalogCacheStatus
    from flyteidl.core.execution_pb2 import NodeExecution as CoreNode
    from flyteidl.core.execution_pb2 import TaskExecution as CoreTask

    phase = CoreNode.Phase.Name(node.closure.phase)
    return {
        "node": node.id.node_id,
        "phase": phase,
        "duration_s": _duration_s(node.closure, phase),
        "error": node.closure.error.message if node.closure.HasField("error") else "",
        "cache_status": CatalogCacheStatus.Name(node.closure.task_node_metadata.cache_status),
        "attempts": [
            {
                "attempt": task.id.retry_attempt,
                "task": task.id.task_id.name,
                "phase": CoreTask.Phase.Name(task.closure.phase),
                "waits": task.closure.reason if task.closure.phase == CoreTask.WAITING_FOR_RESOURCES else "",
                "logs": {link.name: link.uri for link in task.closure.logs},
            }
            for task in tasks_of(admin, node)
        ],
    }


def _print_execution(facts: dict[str, Any]) -> None:
    for key in ("name", "phase", "workflow", "version", "started_at", "duration_s", "console_url"):
        print(f"{key:<12} {_told(facts[key])}")
    for key, value in facts["provenance"].items():
        print(f"{'provenance':<12} {key} = {value}")
    for side in ("inputs", "outputs"):
        for name, value in facts[side].items():
            print(f"{side:<12} {name} = {value}")
    for node in facts["nodes"]:
        tasks = sorted({attempt["task"] for attempt in node["attempts"]})
        attempts = f"{len(node['attempts'])} attempt(s) of {', '.join(tasks)}" if tasks else ""
        print(f"  {node['node']:<20} {node['phase']:<10} {_told(node['duration_s']):>8} s  {attempts}".rstrip())
        for attempt in node["attempts"]:
            if attempt["waits"]:
                print(f"    attempt {attempt['attempt']} {attempt['waits']}")
    if facts["error"]:
        print(f"\n{facts['error']}")


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration_s(closure: Any, phase: str) -> float | None:  # Any: of an execution or a node
    """Return how long it took, or has taken so far; None if it has not begun."""
    if phase in _ENDED:
        span = closure.duration.ToTimedelta()
    elif closure.HasField("started_at"):
        span = datetime.now(timezone.utc) - closure.started_at.ToDatetime(timezone.utc)
    else:
        return None
    return float(round(span.total_seconds(), 3))


def _told(value: object) -> object:
    return "-" if value is None else value
