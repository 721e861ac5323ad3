"""The catalog as clients see it: who reuses what, who waits for whom, and what is forgotten."""

import time

import grpc
import pytest
from flyteidl.admin.execution_pb2 import ExecutionTerminateRequest, WorkflowExecutionGetRequest
from flyteidl.admin.node_execution_pb2 import NodeExecutionGetRequest
from flyteidl.cacheservice import cacheservice_pb2_grpc
from flyteidl.cacheservice.cacheservice_pb2 import (
    DeleteCacheRequest,
    GetCacheRequest,
    GetOrExtendReservationRequest,
    PutCacheRequest,
)
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.service import admin_pb2_grpc

from hydraflyte.identifiers import ExecutionId


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def execution_id(name):
    return ExecutionId(project="flytesnacks", domain="development", name=name)


def named(name):
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


@pytest.fixture
def cache(plane):
    return cacheservice_pb2_grpc.CacheServiceStub(plane.channel())


def serialised(register):
    """Register a launch plan whose one task is cached, one execution at a time."""
    register.task(metadata={"retries": {}, "discoverable": True, "discovery_version": "1", "cache_serializable": True})
    register.workflow()
    return register.launch_plan()


@pytest.fixture
def launch_plan(register):
    return serialised(register)


def node_of(admin, execution):
    identifier = NodeExecutionIdentifier(execution_id=execution, node_id="n0")
    return admin.GetNodeExecution(NodeExecutionGetRequest(id=identifier))


def status_of(admin, execution):
    return CatalogCacheStatus.Name(node_of(admin, execution).closure.task_node_metadata.cache_status)


def key_of(admin, execution):
    key = node_of(admin, execution).closure.task_node_metadata.catalog_key
    dataset = key.dataset_id
    return f"{dataset.project}:{dataset.domain}:{dataset.name}:{dataset.version}:{key.artifact_tag.name}"


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def has_node(admin, execution):
    try:
        node_of(admin, execution)
    except grpc.RpcError:
        return False
    return True


def phase_of(admin, execution):
    return admin.GetExecution(WorkflowExecutionGetRequest(id=execution)).closure.phase


def begin_two(plane, admin, register, launch_plan):
    """Begin two executions that want the same; the first one's task runs, the second one's waits for it."""
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": integer(6)})
    plane.executor.stuck.add("double")
    first = register.execution(launch_plan, "first")
    wait_for(lambda: plane.executor.running)
    second = register.execution(launch_plan, "second")
    wait_for(lambda: has_node(admin, second))
    assert [spec.attempt.execution.name for spec in plane.executor.running] == ["first"]
    assert node_of(admin, second).closure.phase == NodeExecution.QUEUED
    return first, second


def test_the_second_of_two_executions_waits_for_the_first_and_reuses_its_outputs(plane, admin, register, launch_plan):
    first, second = begin_two(plane, admin, register, launch_plan)

    plane.do(plane.executor.finish)
    plane.wait_until_ended(execution_id("second"))

    assert (status_of(admin, first), status_of(admin, second)) == ("CACHE_POPULATED", "CACHE_HIT")
    source = node_of(admin, second).closure.task_node_metadata.catalog_key.source_task_execution
    assert source.node_execution_id == NodeExecutionIdentifier(execution_id=first, node_id="n0")
    assert plane.executor.running == []


def test_the_second_runs_the_task_when_the_first_has_failed(plane, admin, register, launch_plan):
    first, second = begin_two(plane, admin, register, launch_plan)
    plane.executor.stuck.clear()

    admin.TerminateExecution(ExecutionTerminateRequest(id=first, cause="enough"))
    plane.wait_until_ended(execution_id("second"))

    assert phase_of(admin, first) == WorkflowExecution.ABORTED
    assert phase_of(admin, second) == WorkflowExecution.SUCCEEDED
    assert status_of(admin, second) == "CACHE_POPULATED"


def test_one_that_is_ended_while_it_waits_holds_up_nobody(plane, admin, register, launch_plan):
    first, second = begin_two(plane, admin, register, launch_plan)

    admin.TerminateExecution(ExecutionTerminateRequest(id=second, cause="enough"))
    plane.wait_until_ended(execution_id("second"))
    admin.TerminateExecution(ExecutionTerminateRequest(id=first, cause="enough"))
    plane.wait_until_ended(execution_id("first"))
    plane.executor.stuck.clear()
    third = register.execution(launch_plan, "third")
    plane.wait_until_ended(execution_id("third"))

    assert status_of(admin, third) == "CACHE_POPULATED"


def test_after_a_restart_the_second_still_waits_for_the_first(serve, register_through):
    with serve(hold_reads=False) as plane:
        admin = admin_pb2_grpc.AdminServiceStub(plane.channel())
        register = register_through(admin)
        begin_two(plane, admin, register, serialised(register))

    with serve(hold_reads=False, stuck=["double"]) as plane:
        admin = admin_pb2_grpc.AdminServiceStub(plane.channel())
        plane.executor.outputs["double"] = LiteralMap(literals={"o0": integer(6)})
        wait_for(lambda: plane.executor.running)
        assert [spec.attempt.execution.name for spec in plane.executor.running] == ["first"]
        assert plane.executor.running[0].attempt.attempt == 1
        plane.do(plane.executor.finish)
        plane.wait_until_ended(execution_id("second"))

        assert plane.executor.running == []
        assert status_of(admin, named("second")) == "CACHE_HIT"


def test_what_is_evicted_is_run_again(plane, admin, cache, register, launch_plan, refused):
    plane.executor.outputs["double"] = LiteralMap(literals={"o0": integer(6)})
    first = register.execution(launch_plan, "first")
    plane.wait_until_ended(execution_id("first"))
    key = key_of(admin, first)
    found = cache.Get(GetCacheRequest(key=key)).output
    assert found.output_literals.literals["o0"] == integer(6)
    assert found.metadata.key_map.values["source"] == "flytesnacks/development/first/n0/0"

    cache.Delete(DeleteCacheRequest(key=key))

    assert status_of(admin, first) == "CACHE_EVICTED"
    assert refused(cache.Get, GetCacheRequest(key=key))[0] == grpc.StatusCode.NOT_FOUND
    assert refused(cache.Delete, DeleteCacheRequest(key=key))[0] == grpc.StatusCode.NOT_FOUND
    second = register.execution(launch_plan, "second")
    plane.wait_until_ended(execution_id("second"))
    assert status_of(admin, second) == "CACHE_POPULATED"


def test_keys_are_checked_and_the_engine_alone_fills_the_catalog(cache, refused):
    for key in ("", "tag", "a:b:c:d", "a:b:c:d:"):
        assert refused(cache.Get, GetCacheRequest(key=key))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert refused(cache.Put, PutCacheRequest(key="a:b:c:d:e"))[0] == grpc.StatusCode.UNIMPLEMENTED
    reservation = GetOrExtendReservationRequest(key="a:b:c:d:e", owner_id="me")
    assert refused(cache.GetOrExtendReservation, reservation)[0] == grpc.StatusCode.UNIMPLEMENTED
