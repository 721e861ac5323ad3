"""Who is let in, and what the server says about itself before it lets anybody in."""

import grpc
import pytest
from flyteidl.admin.project_pb2 import ProjectListRequest
from flyteidl.admin.version_pb2 import GetVersionRequest
from flyteidl.service import admin_pb2_grpc, auth_pb2_grpc, identity_pb2_grpc
from flyteidl.service.auth_pb2 import OAuth2MetadataRequest, PublicClientAuthConfigRequest
from flyteidl.service.identity_pb2 import UserInfoRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import hydraflyte
from hydraflyte.backend.admin.service import build_server

TOKEN = "the-owner's-token"


@pytest.fixture
def guarded(serve):
    with serve(token=TOKEN) as plane:
        yield plane


def tcp(plane):
    return plane.channel(f"127.0.0.1:{plane.port}")


def list_projects(channel, *metadata):
    stub = admin_pb2_grpc.AdminServiceStub(channel)
    return len(stub.ListProjects(ProjectListRequest(), metadata=metadata, timeout=10).projects)


def test_the_unix_socket_is_the_owner_s(guarded):
    assert list_projects(guarded.channel()) == 3


def test_tcp_needs_the_token(guarded):
    assert list_projects(tcp(guarded), ("authorization", f"Bearer {TOKEN}")) == 3

    for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", TOKEN),), (("authorization", ""),)):
        with pytest.raises(grpc.RpcError) as caught:
            list_projects(tcp(guarded), *metadata)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "hydraflyte config" in caught.value.details()


def test_without_a_token_to_ask_for_everybody_is_let_in(plane):
    assert list_projects(tcp(plane)) == 3


def test_health_is_told_to_everybody(guarded):
    stub = health_pb2_grpc.HealthStub(tcp(guarded))

    for name in ("", "flyteadmin"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_the_header_for_the_token_is_told_to_everybody(guarded):
    stub = auth_pb2_grpc.AuthMetadataServiceStub(tcp(guarded))

    assert stub.GetPublicClientConfig(PublicClientAuthConfigRequest()).authorization_metadata_key == "authorization"
    assert stub.GetOAuth2Metadata(OAuth2MetadataRequest()).issuer == "http://127.0.0.1:30081"


def test_reflection_names_every_service_but_not_to_strangers(guarded):
    assert set(ProtoReflectionDescriptorDatabase(guarded.channel()).get_services()) == {
        "flyteidl.cacheservice.CacheService",
        "flyteidl.service.AdminService",
        "flyteidl.service.AuthMetadataService",
        "flyteidl.service.DataProxyService",
        "flyteidl.service.IdentityService",
        "flyteidl.service.SignalService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    with pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(tcp(guarded)).get_services()
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_the_caller_is_told_who_the_owner_is(guarded):
    stub = identity_pb2_grpc.IdentityServiceStub(guarded.channel())

    assert stub.UserInfo(UserInfoRequest()).name == "ada"


def test_the_version_is_hydraflyte_s(admin):
    assert admin.GetVersion(GetVersionRequest()).control_plane_version.Version == hydraflyte.__version__


def test_an_unexpected_error_is_internal_and_logged_never_unknown(serve, caplog):
    def broken():
        raise ZeroDivisionError("the clock is broken")

    with serve(http_base_url=broken) as plane:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(plane.channel())

        with pytest.raises(grpc.RpcError) as caught:
            stub.GetOAuth2Metadata(OAuth2MetadataRequest(), timeout=10)

    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError: the clock is broken" in caught.value.details()
    assert "flyteidl.service.AuthMetadataService.GetOAuth2Metadata" in caplog.text


def test_a_port_that_is_taken_is_not_shared(plane):
    def bind_again():
        with pytest.raises(RuntimeError):
            build_server(plane.parts).add_insecure_port(f"127.0.0.1:{plane.port}")

    plane.do(bind_again)


def test_requests_of_several_megabytes_are_accepted(register, admin):
    request = register.task_request(custom={"notes": "n" * 10_000_000})

    admin.CreateTask(request)
