"""A gRPC client made from nothing but server reflection: no flyteidl, no flytekit, only names."""

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = {
    "flyteidl.cacheservice.CacheService",
    "flyteidl.service.AdminService",
    "flyteidl.service.AuthMetadataService",
    "flyteidl.service.DataProxyService",
    "flyteidl.service.IdentityService",
    "flyteidl.service.SignalService",
    "grpc.health.v1.Health",
}
PLACE = {"project": "flytesnacks", "domain": "development"}


class Reflected:
    """Calls methods by service and name with plain dictionaries, as grpcurl does."""

    def __init__(self, channel):
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self.database)

    def service(self, name):
        return self._pool.FindServiceByName(name)

    def call(self, service, method, **request):
        found = self.service(f"flyteidl.service.{service}").FindMethodByName(method)
        message, answer = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        rpc = self._channel.unary_unary(
            f"/flyteidl.service.{service}/{method}", message.SerializeToString, answer.FromString
        )
        answered = rpc(json_format.ParseDict(request, message(), descriptor_pool=self._pool), timeout=20)
        return json_format.MessageToDict(answered, preserving_proto_field_name=True, descriptor_pool=self._pool)


@pytest.fixture(scope="module")
def reflected(flyte_backend):
    with grpc.insecure_channel(f"unix:{flyte_backend.socket}") as channel:
        yield Reflected(channel)


def test_every_service_and_all_its_messages_are_described(reflected):
    assert set(reflected.database.get_services()) - {"grpc.reflection.v1alpha.ServerReflection"} == SERVICES
    for name in SERVICES:
        for method in reflected.service(name).methods:
            assert GetMessageClass(method.input_type)().ByteSize() == 0


def test_it_lists_reads_and_runs(reflected, story):
    plan = {**PLACE, "resource_type": "LAUNCH_PLAN", "name": "client_flows.story", "version": story.version}

    listed = reflected.call("AdminService", "ListLaunchPlans", id={**PLACE, "name": plan["name"]}, limit=5)
    begun = reflected.call(
        "AdminService",
        "CreateExecution",
        **PLACE,
        name="by-reflection",
        spec={"launch_plan": plan},
        inputs={"literals": {"x": {"scalar": {"primitive": {"integer": "9"}}}}},
    )
    ended = story.wait(begun["id"]["name"])
    data = reflected.call("AdminService", "GetExecutionData", id=begun["id"])

    assert story.version in {each["id"]["version"] for each in listed["launch_plans"]}
    assert ended.closure.phase == 4
    assert data["full_outputs"]["literals"]["o0"]["scalar"] == {"primitive": {"integer": "9"}}


def test_other_services_answer_too(reflected, story):
    address = "flyte://v1/flytesnacks/development/the-story/n0/o/o0"

    literal = reflected.call("DataProxyService", "GetData", flyte_url=address)["literal"]
    signals = reflected.call(
        "SignalService", "ListSignals", workflow_execution_id={**PLACE, "name": "the-story"}, limit=1
    )

    assert literal["scalar"] == {"primitive": {"integer": "7"}}
    assert signals == {}
    assert reflected.call("IdentityService", "UserInfo")["name"] != ""
    assert reflected.call("AuthMetadataService", "GetPublicClientConfig")["client_id"] == "hydraflyte"
