"""Executions as clients see them: created, looked at, listed, ended, archived, run again."""

import grpc
import pytest
from flyteidl.admin.common_pb2 import NamedEntityIdentifier, NamedEntityListRequest, ResourceListRequest, Sort
from flyteidl.admin.event_pb2 import EventFailureReason
from flyteidl.admin.execution_pb2 import (
    ExecutionMetadata,
    ExecutionRecoverRequest,
    ExecutionRelaunchRequest,
    ExecutionTerminateRequest,
    ExecutionUpdateRequest,
    WorkflowExecutionGetDataRequest,
    WorkflowExecutionGetMetricsRequest,
    WorkflowExecutionGetRequest,
)
from flyteidl.admin.matchable_resource_pb2 import MatchingAttributes
from flyteidl.admin.node_execution_pb2 import (
    GetDynamicNodeWorkflowRequest,
    NodeExecutionGetDataRequest,
    NodeExecutionGetRequest,
    NodeExecutionListRequest,
)
from flyteidl.admin.project_attributes_pb2 import ProjectAttributesUpdateRequest
from flyteidl.admin.project_pb2 import Project
from flyteidl.admin.task_execution_pb2 import (
    TaskExecutionGetDataRequest,
    TaskExecutionGetRequest,
    TaskExecutionListRequest,
)
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, ResourceType, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.event.event_pb2 import TaskExecutionMetadata
from grpc_status import rpc_status

from hydraflyte.identifiers import ExecutionId

HERE = NamedEntityIdentifier(project="flytesnacks", domain="development")


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def text(value):
    return Literal(scalar=Scalar(primitive=Primitive(string_value=value)))


def execution_id(name):
    return ExecutionId(project="flytesnacks", domain="development", name=name)


def named(name):
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


def get(admin, identifier):
    return admin.GetExecution(WorkflowExecutionGetRequest(id=identifier))


def listed(admin, filters="", **changes):
    request = ResourceListRequest(id=HERE, limit=10, filters=filters, **changes)
    return sorted(execution.id.name for execution in admin.ListExecutions(request).executions)


def test_a_finished_execution_tells_phase_times_workflow_and_outputs(admin, finished):
    identifier = finished("first")

    execution = get(admin, identifier)

    assert execution.id.name == "first"
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.closure.workflow_id.name == "main"
    assert execution.closure.HasField("started_at")
    assert execution.closure.outputs.uri.endswith("/end-node/data/0/outputs.pb")
    assert execution.spec.metadata.principal == "ada"
    assert execution.spec.metadata.system_metadata.namespace == "flytesnacks-development"
    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=identifier))
    assert data.full_inputs.literals["x"] == integer(3)
    assert data.full_outputs.literals["o0"] == integer(6)


def test_an_execution_without_a_name_gets_one(admin, register):
    identifier = register.execution(register.everything())

    assert identifier.name == "a0000000000000000000"


def test_names_must_be_fit_for_directories(register, admin, refused):
    plan = register.everything()
    for name in ("Upper", "1st", "a/b", "..", "a" * 64, "a b"):
        code, message = refused(admin.CreateExecution, register.execution_request(plan, name))

        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "execution name" in message


def test_a_taken_name_already_exists_and_changes_nothing(register, admin, finished, refused):
    identifier = finished("once")

    request = register.execution_request(get(admin, identifier).spec.launch_plan, "once", inputs={"x": integer(99)})
    code, _ = refused(admin.CreateExecution, request)

    assert code == grpc.StatusCode.ALREADY_EXISTS
    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=identifier))
    assert data.full_inputs.literals["x"] == integer(3)


def test_inputs_that_do_not_fit_are_told_by_name(register, admin, refused):
    plan = register.everything()

    for inputs, told in (
        ({}, "input 'x' of type INTEGER is missing"),
        ({"x": integer(1), "w": integer(1)}, "invalid input 'w'"),
        ({"x": text("three")}, "input 'x' is of type STRING, which does not fit INTEGER"),
        ({"x": Literal()}, "input 'x' has no value"),
    ):
        code, message = refused(admin.CreateExecution, register.execution_request(plan, inputs=inputs))

        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert told in message


def test_defaults_fill_in_and_fixed_inputs_cannot_be_overridden(register, admin, refused):
    register.task()
    register.workflow(inputs=("x", "y"))
    defaults = {"parameters": {"x": {"var": {"type": {"simple": 1}}, "default": integer(7)}}}
    plan = register.launch_plan(default_inputs=defaults, fixed_inputs={"literals": {"y": integer(9)}})

    identifier = register.execution(plan, inputs={})
    code, message = refused(admin.CreateExecution, register.execution_request(plan, inputs={"y": integer(1)}))

    merged = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=identifier)).full_inputs.literals
    assert {name: value.scalar.primitive.integer for name, value in merged.items()} == {"x": 7, "y": 9}
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "cannot be overridden" in message


def test_what_is_not_registered_cannot_be_executed(register, admin, refused):
    plan = register.everything()
    plan.version = "v9"

    code, _ = refused(admin.CreateExecution, register.execution_request(plan))

    assert code == grpc.StatusCode.NOT_FOUND


def test_an_archived_project_takes_no_executions(register, admin, refused):
    plan = register.everything()
    admin.UpdateProject(Project(id="flytesnacks", state=Project.ARCHIVED))

    code, message = refused(admin.CreateExecution, register.execution_request(plan))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "not active" in message


def test_settings_come_from_request_then_launch_plan_then_attributes(register, admin, plane):
    register.task()
    register.workflow()
    plan = register.launch_plan(max_parallelism=7, labels={"values": {"from": "plan"}})
    config = {"workflow_execution_config": {"max_parallelism": 3, "envs": {"values": [{"key": "A", "value": "1"}]}}}
    admin.UpdateProjectAttributes(
        ProjectAttributesUpdateRequest(
            attributes={"project": "flytesnacks", "matching_attributes": MatchingAttributes(**config)}
        )
    )

    asked = get(admin, register.execution(plan, labels={"values": {"from": "request"}})).spec
    silent = get(admin, register.execution(plan)).spec

    assert dict(asked.labels.values) == {"from": "request"}
    assert dict(silent.labels.values) == {"from": "plan"}
    assert silent.max_parallelism == 7
    assert [(pair.key, pair.value) for pair in silent.envs.values] == [("A", "1")]


def test_nobody_s_wish_means_flyte_s_defaults(register, admin):
    spec = get(admin, register.execution(register.everything())).spec

    assert spec.max_parallelism == 25
    assert not spec.HasField("interruptible")


def test_a_failed_execution_tells_its_error_whole_and_lists_cut_it(plane, register, admin, finished):
    plane.executor.failing.add("double")
    identifier = finished("bad")

    error = get(admin, identifier).closure.error
    short = admin.ListExecutions(ResourceListRequest(id=HERE, limit=1)).executions[0].closure.error

    assert get(admin, identifier).closure.phase == WorkflowExecution.FAILED
    assert "it went wrong" in error.message
    assert len(error.message) > 100
    assert len(short.message) == 100


def test_a_running_execution_is_terminated_with_its_cause(plane, register, admin):
    plane.executor.stuck.add("double")
    identifier = register.execution(register.everything(), "stuck")

    admin.TerminateExecution(ExecutionTerminateRequest(id=identifier, cause="enough"))
    plane.wait_until_ended(execution_id("stuck"))

    closure = get(admin, identifier).closure
    assert closure.phase == WorkflowExecution.ABORTED
    assert (closure.abort_metadata.cause, closure.abort_metadata.principal) == ("enough", "ada")


def test_an_ended_execution_cannot_be_terminated(admin, finished):
    identifier = finished("done")

    with pytest.raises(grpc.RpcError) as caught:
        admin.TerminateExecution(ExecutionTerminateRequest(id=identifier, cause="too late"))

    reason = EventFailureReason()
    rpc_status.from_call(caught.value).details[0].Unpack(reason)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason.already_in_terminal_state.current_phase == "SUCCEEDED"


def test_what_does_not_exist_is_not_found(admin, refused):
    nobody = named("nobody")
    node = NodeExecutionIdentifier(node_id="n0", execution_id=nobody)

    for rpc, request in (
        (admin.GetExecution, WorkflowExecutionGetRequest(id=nobody)),
        (admin.GetExecutionData, WorkflowExecutionGetDataRequest(id=nobody)),
        (admin.TerminateExecution, ExecutionTerminateRequest(id=nobody)),
        (admin.UpdateExecution, ExecutionUpdateRequest(id=nobody)),
        (admin.RelaunchExecution, ExecutionRelaunchRequest(id=nobody)),
        (admin.GetNodeExecution, NodeExecutionGetRequest(id=node)),
        (admin.GetNodeExecutionData, NodeExecutionGetDataRequest(id=node)),
        (admin.GetExecutionMetrics, WorkflowExecutionGetMetricsRequest(id=nobody)),
    ):
        assert refused(rpc, request)[0] == grpc.StatusCode.NOT_FOUND


def test_archived_executions_are_listed_only_when_the_state_is_named(admin, finished):
    identifier = finished("old")

    admin.UpdateExecution(ExecutionUpdateRequest(id=identifier, state=1))

    assert listed(admin) == []
    assert listed(admin, "eq(state,1)") == ["old"]
    assert get(admin, identifier).closure.state_change_details.state == 1


def test_executions_are_found_by_phase_plan_workflow_and_tag(plane, register, admin, finished):
    finished("good", labels={"values": {"sweep": "s1"}}, tags=["nightly"])
    plane.executor.failing.add("double")
    finished("bad", launch_plan=get(admin, named("good")).spec.launch_plan)

    assert listed(admin, "eq(phase,FAILED)") == ["bad"]
    assert listed(admin, "value_in(phase,FAILED;SUCCEEDED)") == ["bad", "good"]
    assert listed(admin, "eq(workflow.name,main)+ne(phase,FAILED)") == ["good"]
    assert listed(admin, "eq(launch_plan.version,v1)+contains(name,goo)") == ["good"]
    assert listed(admin, "eq(execution_tag.key,sweep)+eq(execution_tag.value,s1)") == ["good"]
    assert listed(admin, "eq(execution_tag.key,nightly)+eq(execution_tag.value,s1)") == []
    assert listed(admin, "eq(admin_tag.name,nightly)") == ["good"]
    assert listed(admin, "gte(created_at,2026-03-01T00:00:00Z)+lt(created_at,2026-03-02T00:00:00Z)") == ["bad", "good"]
    assert listed(admin, "gt(created_at,2026-03-01T12:00:00.000000001Z)") == []


def test_lists_of_executions_leave_inputs_out(register, admin):
    register.execution(register.everything(), "one")

    execution = admin.ListExecutions(ResourceListRequest(id=HERE, limit=1, sort_by=Sort(key="created_at"))).executions[
        0
    ]

    assert not execution.spec.HasField("inputs")


def test_relaunch_runs_the_user_s_inputs_again_under_another_name(admin, finished):
    original = finished("first")

    again = admin.RelaunchExecution(ExecutionRelaunchRequest(id=original, name="second", overwrite_cache=True)).id

    execution = get(admin, again)
    assert execution.spec.metadata.mode == ExecutionMetadata.RELAUNCH
    assert execution.spec.metadata.reference_execution == original
    assert execution.spec.overwrite_cache
    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=again))
    assert data.full_inputs.literals["x"] == integer(3)


def test_a_relaunch_keeps_what_else_the_original_said_of_itself(admin, finished):
    original = finished("first", metadata=ExecutionMetadata(nesting=2), tags=["nightly"])

    again = admin.RelaunchExecution(ExecutionRelaunchRequest(id=original)).id

    execution = get(admin, again)
    assert execution.spec.metadata.nesting == 2
    assert execution.spec.tags == ["nightly"]
    assert not execution.spec.overwrite_cache


def test_recovering_takes_over_what_ended_well(plane, admin, finished):
    original = finished("first")

    again = admin.RecoverExecution(ExecutionRecoverRequest(id=original, name="second")).id

    plane.wait_until_ended(execution_id("second"))
    execution = get(admin, again)
    assert (again.project, again.domain, again.name) == (original.project, original.domain, "second")
    assert execution.spec.metadata.mode == ExecutionMetadata.RECOVERED
    assert execution.spec.metadata.reference_execution == original
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    nodes = admin.ListNodeExecutions(NodeExecutionListRequest(workflow_execution_id=again, limit=10)).node_executions
    assert {node.closure.phase for node in nodes if node.id.node_id != "start-node"} == {NodeExecution.RECOVERED}


def test_a_request_to_create_an_execution_that_recovers_is_one_to_recover(admin, finished):
    original = finished("first")
    metadata = ExecutionMetadata(mode=ExecutionMetadata.RECOVERED, reference_execution=original)

    launch_plan = get(admin, original).spec.launch_plan
    again = finished("second", launch_plan=launch_plan, metadata=metadata)

    nodes = admin.ListNodeExecutions(NodeExecutionListRequest(workflow_execution_id=again, limit=10)).node_executions
    assert NodeExecution.RECOVERED in {node.closure.phase for node in nodes}


def test_recovering_and_relaunching_need_an_execution_that_exists_and_a_name_that_does_not(admin, finished, refused):
    original = finished("first")
    unknown = named("nobody")

    for rpc, request in (
        (admin.RecoverExecution, ExecutionRecoverRequest),
        (admin.RelaunchExecution, ExecutionRelaunchRequest),
    ):
        assert refused(rpc, request(id=unknown))[0] == grpc.StatusCode.NOT_FOUND
        assert refused(rpc, request())[0] == grpc.StatusCode.INVALID_ARGUMENT
        assert refused(rpc, request(id=original, name="first"))[0] == grpc.StatusCode.ALREADY_EXISTS
        assert refused(rpc, request(id=original, name="Not A Name"))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_an_attempt_of_an_interruptible_execution_says_so(plane, admin, finished):
    identifier = finished("first", interruptible={"value": True})

    node = NodeExecutionIdentifier(execution_id=identifier, node_id="n0")
    (attempt,) = admin.ListTaskExecutions(TaskExecutionListRequest(node_execution_id=node, limit=1)).task_executions
    assert attempt.closure.metadata.instance_class == TaskExecutionMetadata.INTERRUPTIBLE


def test_a_node_of_an_eager_task_says_so(register, admin, finished):
    register.task(metadata={"retries": {}, "is_eager": True})
    register.workflow()

    identifier = finished("first", launch_plan=register.launch_plan())

    node = NodeExecutionIdentifier(execution_id=identifier, node_id="n0")
    assert admin.GetNodeExecution(NodeExecutionGetRequest(id=node)).metadata.is_eager


def test_a_single_task_runs_in_a_workflow_made_up_for_it(plane, register, admin, finished):
    task = register.task("my.module.double")
    plane.executor.outputs["my.module.double"] = LiteralMap(literals={"o0": integer(8)})

    identifier = finished("alone", launch_plan=task)

    execution = get(admin, identifier)
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    assert execution.spec.launch_plan == task
    assert execution.closure.workflow_id.name == ".flytegen.my.module.double"
    nodes = admin.ListNodeExecutions(NodeExecutionListRequest(workflow_execution_id=identifier, limit=10))
    assert sorted(node.id.node_id for node in nodes.node_executions) == ["end-node", "mymoduledouble", "start-node"]
    assert listed(admin, "eq(task.name,my.module.double)") == ["alone"]
    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=identifier))
    assert data.full_outputs.literals["o0"] == integer(8)


def test_tags_of_single_tasks_are_found_too(register, admin, finished):
    finished("alone", launch_plan=register.task(), labels={"values": {"eager-exec": "parent"}})

    assert listed(admin, "value_in(execution_tag.key,eager-exec)+value_in(execution_tag.value,parent)") == ["alone"]


def test_a_launch_plan_may_limit_how_many_run_at_a_time(plane, register, admin, refused):
    plane.executor.stuck.add("double")
    register.task()
    register.workflow()
    plan = register.launch_plan(concurrency_policy={"max": 1})
    register.execution(plan, "first")

    code, message = refused(admin.CreateExecution, register.execution_request(plan, "second"))

    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert "1 executions at a time" in message


def test_nodes_tell_what_flytekit_maps_them_by(admin, finished):
    identifier = finished("first")

    nodes = admin.ListNodeExecutions(NodeExecutionListRequest(workflow_execution_id=identifier, limit=10))

    by_id = {node.id.node_id: node for node in nodes.node_executions}
    assert sorted(by_id) == ["end-node", "n0", "start-node"]
    assert by_id["n0"].metadata.spec_node_id == "n0"
    assert not by_id["n0"].metadata.is_parent_node
    assert by_id["n0"].closure.phase == NodeExecution.SUCCEEDED
    assert by_id["n0"].closure.WhichOneof("target_metadata") == "task_node_metadata"
    data = admin.GetNodeExecutionData(NodeExecutionGetDataRequest(id=by_id["n0"].id))
    assert data.full_inputs.literals["x"] == integer(3)
    assert data.full_outputs.literals["o0"] == integer(6)
    assert data.flyte_urls.inputs == "flyte://v1/flytesnacks/development/first/n0/i"


def test_node_lists_know_filters_and_parents(admin, finished, refused):
    identifier = finished("first")

    def nodes(**changes):
        request = NodeExecutionListRequest(workflow_execution_id=identifier, limit=10, **changes)
        return [node.id.node_id for node in admin.ListNodeExecutions(request).node_executions]

    assert nodes(filters="eq(node_id,n0)+eq(phase,SUCCEEDED)+eq(execution.name,first)") == ["n0"]
    assert nodes(unique_parent_id="n0") == []
    request = NodeExecutionListRequest(workflow_execution_id=identifier, limit=10, unique_parent_id="n7")
    assert refused(admin.ListNodeExecutions, request)[0] == grpc.StatusCode.NOT_FOUND


def test_a_node_that_is_not_dynamic_has_no_dynamic_workflow(admin, finished, refused):
    node = NodeExecutionIdentifier(node_id="n0", execution_id=finished("first"))

    code, message = refused(admin.GetDynamicNodeWorkflow, GetDynamicNodeWorkflowRequest(id=node))

    assert code == grpc.StatusCode.NOT_FOUND
    assert "not dynamic" in message


def test_an_attempt_tells_its_logs_and_data(admin, finished):
    node = NodeExecutionIdentifier(node_id="n0", execution_id=finished("first"))

    attempts = admin.ListTaskExecutions(TaskExecutionListRequest(node_execution_id=node, limit=10)).task_executions

    assert len(attempts) == 1
    assert attempts[0].closure.phase == TaskExecution.SUCCEEDED
    assert attempts[0].closure.task_type == "python-task"
    assert [(log.name, log.uri) for log in attempts[0].closure.logs] == [
        ("stdout", "http://127.0.0.1:30081/logs/stdout")
    ]
    assert [reason.message for reason in attempts[0].closure.reasons] == [
        "task submitted to the executor",
        "its process was started",
        "task completed successfully",
    ]
    assert attempts[0].closure.reason == "task completed successfully"
    assert attempts[0].closure.metadata.instance_class == TaskExecutionMetadata.DEFAULT
    assert attempts[0].closure.metadata.generated_name == "first-n0-0"
    assert admin.GetTaskExecution(TaskExecutionGetRequest(id=attempts[0].id)) == attempts[0]
    data = admin.GetTaskExecutionData(TaskExecutionGetDataRequest(id=attempts[0].id))
    assert data.full_outputs.literals["o0"] == integer(6)
    assert data.flyte_urls.outputs == "flyte://v1/flytesnacks/development/first/n0/0/o"


def test_metrics_are_a_tree_as_deep_as_asked(admin, finished):
    identifier = finished("first")

    def spans(depth):
        return admin.GetExecutionMetrics(WorkflowExecutionGetMetricsRequest(id=identifier, depth=depth)).span

    assert spans(0).workflow_id == identifier
    assert list(spans(0).spans) == []
    below = [span.WhichOneof("id") for span in spans(1).spans]
    assert below == ["operation_id", "operation_id", "node_id", "node_id", "node_id"]
    deep = next(span for span in spans(-1).spans if span.node_id.node_id == "n0")
    attempt = next(span for span in deep.spans if span.WhichOneof("id") == "task_id")
    assert [span.operation_id for span in attempt.spans] == ["TASK_SETUP", "TASK_RUNTIME"]


def test_the_made_up_workflow_is_hidden_from_unfiltered_lists_of_names(register, admin, finished):
    finished("alone", launch_plan=register.task())
    request = NamedEntityListRequest(
        resource_type=ResourceType.WORKFLOW, project="flytesnacks", domain="development", limit=10
    )

    assert list(admin.ListNamedEntities(request).entities) == []
    request.filters = "eq(state,2)"
    assert [each.id.name for each in admin.ListNamedEntities(request).entities] == [".flytegen.double"]
