"""Requests that are right but for one or a few fields: the create RPCs must answer or explain those too.

Random requests rarely get past the first checks; these do.
"""

import random

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

EXPLAINED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
}
ROUNDS = 150
NUMBERS = (0, 1, 7, 77)


def damage(message, pick):
    """Walk down to a random set field of the message and clear it, change it, or add to it."""
    if not message.DESCRIPTOR.fields:
        return
    fields = message.ListFields()
    unset = [field for field in message.DESCRIPTOR.fields if field not in {known for known, _ in fields}]
    if not fields or (unset and pick.random() < 0.15):
        add(message, pick.choice(unset or list(message.DESCRIPTOR.fields)), pick)
        return
    field, value = pick.choice(fields)
    children = children_of(field, value)
    if children and pick.random() < 0.85:
        damage(pick.choice(children), pick)
    elif field.is_repeated or pick.random() < 0.4:
        message.ClearField(field.name)
    else:
        add(message, field, pick)


def children_of(field, value):
    if field.message_type is None:
        return []
    if not field.is_repeated:
        return [value]
    items = value.values() if field.message_type.GetOptions().map_entry else value
    return [item for item in items if isinstance(item, Message)]


def add(message, field, pick):
    if field.message_type is not None and not field.is_repeated:
        getattr(message, field.name).SetInParent()
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        key = field.message_type.fields_by_name["key"]
        if key.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            entries = getattr(message, field.name)
            is_message = field.message_type.fields_by_name["value"].message_type is not None
            entries["new"].SetInParent() if is_message else entries.update({"new": "x"})
    elif field.message_type is not None:
        getattr(message, field.name).add()
    elif field.is_repeated:
        getattr(message, field.name).append(scalar(field, pick))
    else:
        setattr(message, field.name, scalar(field, pick))


def scalar(field, pick):
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            value = pick.choice(("", "x", "n0", "start-node", "ü" * 300, "\x00"))
            return value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value
        case FieldDescriptor.CPPTYPE_BOOL:
            return pick.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return float("nan")
        case FieldDescriptor.CPPTYPE_INT64:
            return pick.choice((*NUMBERS, -(2**63), 2**63 - 1))
        case _:
            return pick.choice(NUMBERS)


def answer_of(rpc, request):
    try:
        rpc(request, timeout=10)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def task(register):
    return register.task_request()


def workflow(register):
    register.task()
    request = register.workflow_request()
    inner = register.workflow_request("inner").spec.template
    node = request.spec.template.nodes.add(id="n1", workflow_node={"sub_workflow_ref": inner.id})
    node.inputs.add(var="x", binding={"promise": {"node_id": "n0", "var": "o0"}})
    request.spec.sub_workflows.append(inner)
    return request


def launch_plan(register):
    register.task()
    register.workflow()
    default = {"var": {"type": {"simple": 1}}, "default": {"scalar": {"primitive": {"integer": 1}}}}
    schedule = {"cron_schedule": {"schedule": "@daily"}}
    return register.launch_plan_request(
        default_inputs={"parameters": {"x": default}}, entity_metadata={"schedule": schedule}
    )


def execution(register):
    return register.execution_request(
        register.everything(), labels={"values": {"a": "b"}}, envs={"values": [{"key": "A", "value": "1"}]}, tags=["t"]
    )


@pytest.mark.parametrize(
    ("rpc", "make"),
    [
        ("CreateTask", task),
        ("CreateWorkflow", workflow),
        ("CreateLaunchPlan", launch_plan),
        ("CreateExecution", execution),
    ],
)
def test_a_damaged_request_is_answered_or_explained(admin, register, rpc, make):
    whole, pick, answers = make(register), random.Random(rpc), set()
    for _ in range(ROUNDS):
        request = type(whole)()
        request.CopyFrom(whole)
        for _ in range(pick.randint(1, 3)):
            damage(request, pick)

        answer = answer_of(getattr(admin, rpc), request)

        assert answer[0] in EXPLAINED, (answer, request)
        answers.add(answer[0])

    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= answers
