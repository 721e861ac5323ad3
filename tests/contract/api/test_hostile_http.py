"""Bodies, paths and queries that no client sends: a status that says why, and a server that goes on serving."""

import random
import socket

import pytest
from flyteidl.core.literals_pb2 import Literal
from google.protobuf.message_factory import GetMessageClass

from hydraflyte.backend.admin.handlers import SERVICES
from hydraflyte.backend.gateway.rules import read_rules

RULES = read_rules(SERVICES)
EXPLAINED = {200, 400, 404, 409, 413, 415, 501}
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/octet-stream"}
HOSTILE_BODIES = (
    b"",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{",
    b"{}}",
    b"\xff\xfe",
    b"\x00",
    b'{"id": null}',
    b'{"id": 7}',
    b'{"id": []}',
    b'{"id": {"name": "\\u0000"}}',
    b'{"id": {"name": "\\ud800"}}',
    b'{"id": {"name": 1}}',
    b'{"id": {"resource_type": "NOPE"}}',
    b'{"id": {"resource_type": 77}}',
    b'{"id": {}, "id": {}}',
    b'{"nobody_knows": 1}',
    b'{"spec": {"template": {"custom": {"a": NaN}}}}',
    b'{"spec": {"template": {"custom": {"a": 1e999}}}}',
    b'{"inputs": {"literals": {"x": {"scalar": {"primitive": {"integer": "1e400"}}}}}}',
    b'{"inputs": {"literals": {"x": {"scalar": {"primitive": {"datetime": "0000-00-00T00:00:00Z"}}}}}}',
    b'{"id": {"name": ' + b"1" * 5_000 + b"}}",
)
LARGE_BODIES = (
    b'{"value": ' + b'{"collection": {"literals": [' * 2_000 + b"]}}" * 2_000 + b"}",
    b"[" * 1_000_000,
    b'{"a":' * 200_000,
    b'{"id": {"name": "' + b"x" * 1_000_000 + b'"}}',
)
HOSTILE_SEGMENTS = (
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "a%00b",
    "%ff",
    "%",
    "%zz",
    "x" * 5_000,
    "'; DROP TABLE executions; --".replace(" ", "%20"),
    "-1",
    "1e3",
    "%F0%9F%98%80",
)


def path_of(rule, pick):
    """Return a path of the rule with hostile texts in its variables."""
    return "/" + "/".join(each if isinstance(each, str) else pick.choice(HOSTILE_SEGMENTS) for each in rule.segments)


def raw(http, verb, target, body=b"", headers=None):
    """Send a target as it is written, which an ordinary client would tidy up; returns status and the whole answer."""
    host, port = http.base_url.host, http.base_url.port
    lines = [f"{verb} {target} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.verb} {rule.template}")
def test_every_path_explains_what_is_wrong_with_hostile_texts(shared_http, rule):
    pick = random.Random(rule.template + rule.verb)
    for _ in range(6):
        target = path_of(rule, pick) + pick.choice(("", "?limit=-1&token=%00", "?a=b&&=&%ff=1", "?limit=1&limit=2"))
        status, answer = raw(shared_http, rule.verb, target, b"{}", JSON)

        assert status in EXPLAINED, (target, answer)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.has_body], ids=lambda rule: f"{rule.verb} {rule.template}"
)
def test_every_path_explains_what_is_wrong_with_hostile_bodies(shared_http, rule):
    path = "/" + "/".join(each if isinstance(each, str) else "a" for each in rule.segments)
    for body in HOSTILE_BODIES:
        answer = shared_http.request(rule.verb, path, content=body, headers=JSON)

        assert answer.status_code in EXPLAINED, (body[:80], answer.text)
        assert answer.status_code == 200 or answer.json()["message"] != ""


def test_large_and_deep_bodies_are_refused(shared_http):
    for body in LARGE_BODIES:
        answer = shared_http.post("/api/v1/signals", content=body, headers=JSON)

        assert (answer.status_code, answer.json()["code"]) == (400, 3), body[:80]


def test_bytes_that_are_no_protobuf_are_refused(shared_http):
    pick = random.Random(7)
    for rule in RULES:
        if rule.has_body:
            path = "/" + "/".join(each if isinstance(each, str) else "a" for each in rule.segments)
            answer = shared_http.request(rule.verb, path, content=pick.randbytes(200), headers=PROTOBUF)
            assert answer.status_code in EXPLAINED, (rule, answer.text)


def test_a_literal_deeper_than_protobuf_reads_is_refused(shared_http):
    method = next(rule for rule in RULES if rule.method.name == "SetSignal")
    deep = b""
    for _ in range(200):  # Literal.collection.literals, from the inside out
        literals = b"\x0a" + varint(len(deep)) + deep
        deep = b"\x12" + varint(len(literals)) + literals
    request = b"\x12" + varint(len(deep)) + deep
    assert GetMessageClass(method.method.input_type).DESCRIPTOR.fields_by_number[2].message_type is Literal.DESCRIPTOR

    answer = shared_http.post("/api/v1/signals", content=request, headers=PROTOBUF)

    assert answer.status_code == 400
    assert b"is not the protobuf of flyteidl.admin.SignalSetRequest" in answer.content


def varint(number):
    encoded = b""
    while number > 0x7F:
        encoded += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return encoded + bytes((number,))


def begin_post(http, *headers):
    """Send the head of a POST with those headers; returns the connection."""
    host, port = http.base_url.host, http.base_url.port
    lines = ["POST /api/v1/projects HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/json", *headers]
    connection = socket.create_connection((host, port), timeout=10)
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    return connection


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(shared_http):
    with begin_post(shared_http, "Content-Length: 99999999999") as connection:
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_a_body_without_an_end_is_cut_off_at_the_limit(shared_http):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with begin_post(shared_http, "Transfer-Encoding: chunked") as connection:
        for _ in range(16):
            connection.sendall(chunk)
        connection.sendall(b"1\r\n \r\n")
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_query_of_very_many_parameters_is_refused(shared_http):
    answer = shared_http.get("/api/v1/projects?" + "&".join(["limit=1"] * 2_000))

    assert answer.status_code == 400


def test_stored_values_without_a_json_form_are_told_as_such_and_stay_readable_as_protobuf(shared_http):
    request = GetMessageClass(next(rule for rule in RULES if rule.method.name == "CreateTask").method.input_type)(
        id={"resource_type": 1, "project": "flytesnacks", "domain": "development", "name": "infinite", "version": "v1"},
        spec={"template": {"type": "t", "metadata": {}, "interface": {}, "custom": {"a": float("inf")}}},
    )
    created = shared_http.post("/api/v1/tasks", content=request.SerializeToString(), headers=PROTOBUF)
    path = "/api/v1/tasks/flytesnacks/development/infinite/v1"

    as_json = shared_http.get(path)
    as_protobuf = shared_http.get(path, headers={"Accept": "application/octet-stream"})

    assert created.status_code == 200
    assert as_json.status_code == 406
    assert "Accept: application/octet-stream" in as_json.json()["message"]
    assert as_protobuf.status_code == 200


def test_the_server_still_serves_after_all_of_this(shared_http):
    assert shared_http.get("/api/v1/version").status_code == 200
