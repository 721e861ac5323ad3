"""Every RPC of every service, with requests that are empty, hostile or random: an answer, or a status that says why."""

import random

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from hydraflyte.backend.admin.handlers import SERVICES

METHODS = [method for service in SERVICES for method in service.methods]
EXPLAINED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
STRINGS = (
    "flytesnacks",
    "development",
    "a",
    "",
    "'; DROP TABLE executions; --",
    "../../etc/passwd",
    "x" * 5000,
    "\x00",
    "ünïcödé 😀",
    "eq(phase,RUNNING)+value_in(name,a;b)",
    "gt(duration,1e400)",
    "lt(created_at,9999-12-31T23:59:59Z)",
    "-1",
    "99999999999999999999",
)


def call(channel, method, request):
    """Return None for an answer, or (code, details)."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    rpc = channel.unary_unary(
        path,
        request_serializer=type(request).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    try:
        rpc(request, timeout=10)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None


def is_explained(answer):
    return answer is None or (answer[0] in EXPLAINED and answer[1] != "")


def fill(message, pick, depth=0):
    """Set fields of any message, recursively, to what ``pick`` chooses."""
    for field in message.DESCRIPTOR.fields:
        if depth > 6 or (pick.random() < 0.2 and field.name not in PLAUSIBLE):
            continue
        repeated = field.is_repeated
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            fill_map(getattr(message, field.name), field.message_type, pick, depth)
        elif field.message_type is not None and repeated:
            fill(getattr(message, field.name).add(), pick, depth + 1)
        elif field.message_type is not None:
            fill(getattr(message, field.name), pick, depth + 1)
            getattr(message, field.name).SetInParent()
        elif repeated:
            getattr(message, field.name).append(scalar(field, pick))
        else:
            setattr(message, field.name, scalar(field, pick))


def fill_map(entries, entry, pick, depth):
    key, value = scalar(entry.fields_by_name["key"], pick), entry.fields_by_name["value"]
    if value.message_type is not None:
        fill(entries[key], pick, depth + 1)
    else:
        entries[key] = scalar(value, pick)


PLAUSIBLE = {
    "project": ("flytesnacks",),
    "domain": ("development",),
    "name": ("a", "b"),
    "version": ("a",),
    "limit": (1, 100),
    "token": ("", "1"),
    "filters": ("", "eq(name,a)", "eq(phase,RUNNING)+contains(name,a)"),
    "resource_type": (1, 2, 3),
    "content_md5": (b"\xff" * 16,),
    "flyte_url": ("flyte://v1/flytesnacks/development/a/n0/i",),
}


def scalar(field, pick):
    is_other_enum = field.enum_type is not None and field.name != "resource_type"
    if field.name in PLAUSIBLE and not is_other_enum and pick.random() < 0.8:
        return pick.choice(PLAUSIBLE[field.name])
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return pick.choice((b"", b"\xff" * 16, b"x" * 100))
        case FieldDescriptor.CPPTYPE_STRING:
            return pick.choice(STRINGS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return pick.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return pick.choice((0, 1, 2, 3, 77))
        case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
            return pick.choice((0, 1, 100, 2**32 - 1))
        case FieldDescriptor.CPPTYPE_INT32:
            return pick.choice((0, 1, -1, 2**31 - 1, -(2**31)))
        case FieldDescriptor.CPPTYPE_INT64:
            return pick.choice((0, 1, -1, 2**63 - 1, -(2**63)))
        case _:
            return pick.choice((0.0, -1.5, float("nan"), float("inf")))


def test_every_service_that_the_server_has_is_called_here(shared_plane):
    served = set(ProtoReflectionDescriptorDatabase(shared_plane.channel()).get_services())

    assert served - {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} == {
        service.full_name for service in SERVICES
    }


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.removeprefix("flyteidl.service."))
def test_an_empty_request_is_answered_or_explained(shared_plane, method):
    answer = call(shared_plane.channel(), method, GetMessageClass(method.input_type)())

    assert is_explained(answer), answer


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.removeprefix("flyteidl.service."))
def test_hostile_requests_are_answered_or_explained(shared_plane, method):
    pick, channel = random.Random(method.full_name), shared_plane.channel()
    for _ in range(60):
        request = GetMessageClass(method.input_type)()
        fill(request, pick)

        answer = call(channel, method, request)

        assert is_explained(answer), (answer, request)


def test_the_server_still_serves_after_all_of_this(shared_plane):
    projects = METHODS[[method.name for method in METHODS].index("ListProjects")]

    assert call(shared_plane.channel(), projects, GetMessageClass(projects.input_type)()) is None
