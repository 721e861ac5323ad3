"""Strangers who open connections and say nothing: the owner's calls and files go on."""

import contextlib
import resource
import socket

import httpx2
import pytest
from flyteidl.admin.project_pb2 import ProjectListRequest
from flyteidl.service import admin_pb2_grpc

FILES = 512
SHARE = FILES // 4


@pytest.fixture
def few_files():
    """Let this process open few files for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def crowd():
    """Open connections to a port of this machine."""
    with contextlib.ExitStack() as held:
        yield lambda port, number: [
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(number)
        ]


def is_closed(connection):
    """Read to the end, which an open connection does not have."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


def test_a_crowd_at_the_http_port_takes_a_quarter_of_the_files_at_most(few_files, plane, serve_http, crowd):
    with serve_http(plane, patience_s=600) as http:
        strangers = crowd(http.base_url.port, SHARE + 5)

        assert all(is_closed(each) for each in strangers[SHARE:])
        with pytest.raises(httpx2.TransportError):
            http.get("/api/v1/version")
        for each in strangers:
            each.close()
        assert any(_answer(http) == 200 for _ in range(1000))


def _answer(http):
    with contextlib.suppress(httpx2.TransportError):
        return http.get("/api/v1/version").status_code
    return None


def test_a_connection_without_a_whole_request_is_closed_also_after_an_earlier_one(plane, serve_http, crowd):
    with serve_http(plane, patience_s=1) as http:
        silent, slow, second = crowd(http.base_url.port, 3)
        whole = f"GET /api/v1/version HTTP/1.1\r\nHost: {http.base_url.host}:{http.base_url.port}\r\n\r\n".encode()
        slow.sendall(whole[:-2])
        second.sendall(whole)
        answer = second.recv(65536)
        second.sendall(whole[:-2])

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert all(is_closed(each) for each in (silent, slow, second))
        assert http.get("/api/v1/version").status_code == 200


def test_broken_requests_leave_no_trace_in_the_log(plane, serve_http, crowd, caplog):
    with serve_http(plane) as http:
        garbage, broken_later = crowd(http.base_url.port, 2)
        garbage.sendall(b"\x16\x03\x01\r\n\r\n")
        host = f"{http.base_url.host}:{http.base_url.port}"
        broken_later.sendall(f"PUT /none HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        answer = broken_later.recv(4096)
        broken_later.sendall(b"no size\r\n")

        assert answer.startswith(b"HTTP/1.1 404 ")
        assert is_closed(garbage)
        assert is_closed(broken_later)
    assert caplog.text == ""


def test_a_crowd_at_the_grpc_port_leaves_files_and_the_socket_to_the_owner(few_files, serve, crowd):
    with serve(hold_reads=False) as plane:
        strangers = crowd(plane.port, SHARE + 20)

        assert all(is_closed(each) for each in strangers[-5:])
        answer = admin_pb2_grpc.AdminServiceStub(plane.channel()).ListProjects(ProjectListRequest(), timeout=10)
        assert len(answer.projects) == 3
