"""``executions relaunch | recover | evict-cache``: run an execution again, in whole or from where it failed."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hydraflyte.cli.clients import client_of
from hydraflyte.cli.lookups import TIMEOUT_S, get_execution, identifier_of, nodes_of, phase_of, tasks_of
from hydraflyte.cli.options import print_json, running_backend
from hydraflyte.errors import ExecutionError, ExecutionFailedError

if TYPE_CHECKING:  # imported late where used: grpc and flyteidl cost 0.1 s that `--help` need not pay
    from flyteidl.admin.execution_pb2 import Execution
    from flyteidl.admin.node_execution_pb2 import NodeExecution
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

    from hydraflyte.launcher.remote import GrpcFlyteClient

_ITEM_KEY = "catalog_key"


def add_actions(actions: Any) -> tuple[argparse.ArgumentParser, ...]:  # argparse's sub-parsers action is private
    """Add the verbs, without the options that all verbs of the noun have; returns their parsers."""
    relaunch = actions.add_parser(
        "relaunch", help="the same again, or with other inputs", description="Run all of an execution again."
    )
    relaunch.set_defaults(run=run_relaunch)
    recover = actions.add_parser(
        "recover",
        help="again, but only what did not end well",
        description="Run an execution again; nodes that ended well are taken over.",
    )
    recover.set_defaults(run=run_recover)
    evict = actions.add_parser(
        "evict-cache",
        help="forget what its tasks have cached",
        description="Have the catalog forget the outputs that an execution's tasks stored or reused.",
    )
    evict.add_argument("--node", metavar="ID", help="only this node")
    evict.set_defaults(run=run_evict_cache)
    for action in (relaunch, recover):
        action.add_argument("--wait", action="store_true", help="return when it has ended: status 1 unless well")
    return relaunch, recover, evict


def add_changes(relaunch: argparse.ArgumentParser) -> None:
    """Add what comes after the name of the execution: inputs to change."""
    relaunch.add_argument(
        "changes", nargs="*", metavar="NAME=VALUE", help="an input to change, or a key of a config, in Hydra's grammar"
    )
    relaunch.add_argument("--overwrite-cache", action="store_true", help="run cached tasks too, and store them anew")


def run_relaunch(options: argparse.Namespace) -> int:
    """Run an execution again, with some of its inputs changed if so asked."""
    with client_of(options) as flyte:
        if options.changes:
            name = _relaunch_changed(flyte, options)
        else:
            name = flyte.relaunch(identifier_of(options), overwrite_cache=options.overwrite_cache).name
        return _tell(flyte, options, name)


def run_recover(options: argparse.Namespace) -> int:
    """Run an execution again from where it failed."""
    with client_of(options) as flyte:
        return _tell(flyte, options, flyte.recover(identifier_of(options)).name)


def run_evict_cache(options: argparse.Namespace) -> int:
    """Have the catalog forget what the nodes of an execution stored or reused."""
    from hydraflyte.cli.connection import admin_of, cache_of

    running = running_backend(options)
    with admin_of(running) as admin, cache_of(running) as cache:
        execution = get_execution(admin, identifier_of(options))
        keys = {key: node for node, key in _catalog_keys(admin, execution, options.node)}
        evicted = [{"node": node, "key": key} for key, node in keys.items() if _evict(cache, key)]
    if options.json:
        print_json({"name": options.name, "evicted": evicted})
    else:
        for item in evicted:
            print(f"{item['node']:<20} {item['key']}")
        print(f"{len(evicted)} evicted" if evicted else f"nothing that {options.name} stored or reused is cached")
    return 0


def _relaunch_changed(flyte: GrpcFlyteClient, options: argparse.Namespace) -> str:
    from hydraflyte.client import Client

    client = Client(flyte, project=options.project, domain=options.domain)
    relaunched = client.relaunch(options.name, overrides=options.changes, overwrite_cache=options.overwrite_cache)
    return relaunched.name


def _tell(flyte: GrpcFlyteClient, options: argparse.Namespace, name: str) -> int:
    """Print the new execution, when it has ended if that is waited for; returns the exit status."""
    from flyteidl.core.execution_pb2 import WorkflowExecution

    from hydraflyte.launcher.handles import execution_link

    if options.wait:
        from hydraflyte.client import Client  # with flytekit, which takes a second

        with contextlib.suppress(ExecutionFailedError):  # told below, in the backend's own words
            Client(flyte, project=options.project, domain=options.domain).wait(name)
    identifier = identifier_of(options)
    identifier.name = name
    execution = flyte.get_execution(identifier, patience_s=0)
    closure = execution.closure
    facts = {
        "name": name,
        "phase": phase_of(execution),
        "reference": options.name,
        "error": closure.error.message,
        "console_url": execution_link(flyte.endpoint.console_url, identifier),
    }
    if options.json:
        print_json(facts)
    else:
        print(f"{name}  {facts['phase']}  {facts['console_url']}")
        if facts["error"]:
            print(f"\n{facts['error']}")
    return int(options.wait and closure.phase != WorkflowExecution.SUCCEEDED)


def _catalog_keys(admin: AdminServiceStub, execution: Execution, only_node: str | None) -> Iterator[tuple[str, str]]:
    """Yield (node, key of the catalog) of every node, and every item of a map task, that stored or reused outputs."""
    found = [node for node in nodes_of(admin, execution) if only_node in (None, node.id.node_id)]
    if only_node is not None and not found:
        raise ExecutionError(
            f"{execution.id.name} has no node {only_node!r}.",
            hint=f"`hydraflyte executions show {execution.id.name}` lists its nodes.",
        )
    for node in found:
        key = _key_of(node)
        if key:
            yield node.id.node_id, key
        for task in tasks_of(admin, node):
            for item in task.closure.metadata.external_resources:
                if _ITEM_KEY in item.custom_info:
                    yield node.id.node_id, str(item.custom_info[_ITEM_KEY])


def _key_of(node: NodeExecution) -> str:
    key = node.closure.task_node_metadata.catalog_key
    dataset = key.dataset_id
    if not key.artifact_tag.name:
        return ""
    return f"{dataset.project}:{dataset.domain}:{dataset.name}:{dataset.version}:{key.artifact_tag.name}"


def _evict(cache: Any, key: str) -> bool:  # Any: flyteidl's stubs have no annotations
    """Return whether there was something under the key."""
    import grpc
    from flyteidl.cacheservice.cacheservice_pb2 import DeleteCacheRequest

    try:
        cache.Delete(DeleteCacheRequest(key=key), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return False
    return True
