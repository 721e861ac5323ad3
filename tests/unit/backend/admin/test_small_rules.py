"""Quantities, schedules, settings, made-up workflows: small rules of Flyte, each on its own."""

from decimal import Decimal

import pytest
from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.matchable_resource_pb2 import WorkflowExecutionConfig
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, Variable
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.core.tasks_pb2 import Resources, TaskTemplate
from flyteidl.core.types_pb2 import LiteralType, SimpleType

from hydraflyte.backend.admin.quantities import check_resources
from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.backend.admin.schedules import check_schedule, schedule_type
from hydraflyte.backend.admin.settings import resolve
from hydraflyte.backend.admin.single_task import generated_workflow, single_node_id
from hydraflyte.backend.quantities import read_quantity
from hydraflyte.backend.store.registry import EntityId, EntityKind


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        ("500m", "0.5"),
        ("1.5Gi", "1610612736"),
        ("2e3", "2000"),
        ("100M", "100000000"),
        (".5", "0.5"),
        ("1E", "1e18"),
    ],
)
def test_quantities_are_numbers(text, value):
    assert read_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1GB", "lots", "1 Gi", "--1", "1e99999", "9" * 100])
def test_other_texts_are_no_quantities(text):
    with pytest.raises(ValueError, match=r"^.*$"):
        read_quantity(text)


def test_a_request_may_not_exceed_its_limit_nor_a_gpu_be_split():
    check_resources(Resources(requests=[{"name": "CPU", "value": "500m"}], limits=[{"name": "CPU", "value": "1"}]))

    for resources in (
        Resources(requests=[{"name": "MEMORY", "value": "2Gi"}], limits=[{"name": "MEMORY", "value": "2000M"}]),
        Resources(requests=[{"name": "GPU", "value": "500m"}]),
        Resources(limits=[{"name": "CPU", "value": "many"}]),
    ):
        with pytest.raises(InvalidRequest):
            check_resources(resources)


def scheduled(**schedule):
    return LaunchPlanSpec(entity_metadata={"schedule": schedule})


def expecting(**parameters):
    return ParameterMap(parameters=parameters)


REQUIRED_INT = Parameter(var=Variable(type=LiteralType(simple=SimpleType.INTEGER)), required=True)
REQUIRED_TIME = Parameter(var=Variable(type=LiteralType(simple=SimpleType.DATETIME)), required=True)
DEFAULT_INT = Parameter(
    var=Variable(type=LiteralType(simple=SimpleType.INTEGER)),
    default=Literal(scalar=Scalar(primitive=Primitive(integer=1))),
)


@pytest.mark.parametrize("cron", ["* * * * *", "*/5 0-6,12 1 JAN MON-FRI", "@hourly", "@every 1h30m"])
def test_cron_schedules_have_five_fields_or_a_name(cron):
    check_schedule(scheduled(cron_schedule={"schedule": cron}), expecting(a=DEFAULT_INT))


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "@sometimes", "a b c d ;"])
def test_other_cron_schedules_are_refused(cron):
    with pytest.raises(InvalidRequest, match="cron"):
        check_schedule(scheduled(cron_schedule={"schedule": cron}), expecting())


def test_a_schedule_needs_every_input_but_its_time_argument():
    rate = {"value": 5, "unit": "MINUTE"}

    check_schedule(scheduled(rate=rate, kickoff_time_input_arg="at"), expecting(at=REQUIRED_TIME, a=DEFAULT_INT))
    with pytest.raises(InvalidRequest, match="'a'"):
        check_schedule(scheduled(rate=rate), expecting(a=REQUIRED_INT))
    with pytest.raises(InvalidRequest, match="must be of type datetime"):
        check_schedule(scheduled(rate=rate, kickoff_time_input_arg="a"), expecting(a=REQUIRED_INT))
    with pytest.raises(InvalidRequest, match="not an open input"):
        check_schedule(scheduled(rate=rate, kickoff_time_input_arg="other"), expecting())


def test_the_kind_of_schedule_is_what_lists_are_filtered_by():
    assert schedule_type(LaunchPlanSpec()) == "NONE"
    assert schedule_type(scheduled(cron_schedule={"schedule": "@daily"})) == "CRON"
    assert schedule_type(scheduled(rate={"value": 1})) == "RATE"


def test_each_setting_comes_whole_from_the_first_source_that_has_it():
    spec = ExecutionSpec(labels={"values": {"a": "spec"}})
    plan = LaunchPlanSpec(labels={"values": {"b": "plan"}}, max_parallelism=4, role="arn:role")
    specific = WorkflowExecutionConfig(max_parallelism=9, interruptible={"value": False})
    general = WorkflowExecutionConfig(interruptible={"value": True}, annotations={"values": {"c": "general"}})

    settings = resolve(spec, plan, [specific, general])

    assert dict(settings.labels.values) == {"a": "spec"}
    assert settings.max_parallelism == 4
    assert settings.interruptible is False
    assert dict(settings.annotations.values) == {"c": "general"}
    assert settings.security_context.run_as.iam_role == "arn:role"
    assert settings.raw_output_prefix == ""


def test_a_made_up_workflow_hands_inputs_in_and_outputs_out():
    task = EntityId(kind=EntityKind.TASK, project="p", domain="d", name="my.train", version="v1")
    interface = {"inputs": {"variables": {"x": {}}}, "outputs": {"variables": {"o0": {}}}}

    workflow = generated_workflow(task, TaskTemplate(interface=interface))

    assert workflow.id.name == ".flytegen.my.train"
    assert [node.id for node in workflow.nodes] == ["mytrain"]
    assert workflow.nodes[0].metadata.retries.retries == 3  # the task says nothing about retries
    assert [binding.var for binding in workflow.nodes[0].inputs] == ["x"]
    assert workflow.outputs[0].binding.promise.node_id == "mytrain"


@pytest.mark.parametrize(
    ("name", "node_id"), [("a.b_c-d", "abc-d"), ("ü.é", "task"), ("x" * 70 + "end", "x" * 60 + "end")]
)
def test_node_ids_of_single_tasks_are_reduced_names(name, node_id):
    assert single_node_id(name) == node_id


def test_retries_of_zero_are_zero():
    task = EntityId(kind=EntityKind.TASK, project="p", domain="d", name="t", version="v1")

    workflow = generated_workflow(task, TaskTemplate(metadata={"retries": {}}))

    assert workflow.nodes[0].metadata.retries.retries == 0
