"""The control plane over HTTP: the paths of flyteidl's annotations, JSON and protobuf, statuses, who is let in."""

import grpc
import pytest
from flyteidl.admin.common_pb2 import NamedEntityIdentifier, ResourceListRequest
from flyteidl.admin.execution_pb2 import Execution, ExecutionList
from flyteidl.admin.project_pb2 import Projects
from flyteidl.admin.workflow_pb2 import CreateWorkflowFailureReason
from google.api import annotations_pb2
from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from hydraflyte.backend.admin.handlers import SERVICES
from hydraflyte.backend.gateway.refused import HTTP_STATUS
from hydraflyte.backend.gateway.rules import read_rules

JSON = {"Accept": "application/json"}
PROTOBUF = {"Accept": "application/octet-stream"}
EXECUTIONS = "/api/v1/executions/flytesnacks/development"
TOKEN = "the-owner's-token"


def as_json(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def test_every_method_with_an_annotation_has_its_path():
    rules = read_rules(SERVICES)

    annotated = {
        method.full_name
        for service in SERVICES
        for method in service.methods
        if method.GetOptions().HasExtension(annotations_pb2.http)
    }
    assert {rule.method.full_name for rule in rules} == annotated
    without = {method.full_name for service in SERVICES for method in service.methods} - annotated
    assert {name for name in without if not name.startswith("flyteidl.cacheservice.")} == {
        "flyteidl.service.SignalService.GetOrCreateSignal"
    }


def test_no_two_methods_share_a_verb_and_a_path():
    seen = [(rule.verb, rule.template) for rule in read_rules(SERVICES)]

    assert len(seen) == len(set(seen))


def test_every_grpc_status_has_an_http_status():
    assert set(HTTP_STATUS) == set(grpc.StatusCode)


def test_a_workflow_is_registered_run_and_read_over_http_alone(http, plane, register):
    task, workflow, plan = register.task_request(), register.workflow_request(), register.launch_plan_request()

    for path, request in (("tasks", task), ("workflows", workflow), ("launch_plans", plan)):
        assert http.post(f"/api/v1/{path}", json=as_json(request), headers=JSON).status_code == 200
    begun = http.post("/api/v1/executions", json=as_json(register.execution_request(plan.id, "first")), headers=JSON)
    shown = http.get(f"{EXECUTIONS}/first", headers=JSON)

    assert begun.json() == {"id": {"project": "flytesnacks", "domain": "development", "name": "first", "org": ""}}
    assert shown.json()["closure"]["workflow_id"]["name"] == "main"
    assert http.get("/api/v1/workflows/flytesnacks/development/main/v1").json()["id"]["resourceType"] == "WORKFLOW"
    assert http.get("/api/v1/launch_plans/flytesnacks/development/main/v1").status_code == 200
    assert http.get("/api/v1/tasks/flytesnacks/development/double/v1").status_code == 200


def test_a_body_and_an_answer_may_be_protobuf(http, register):
    headers = {**PROTOBUF, "Content-Type": "application/octet-stream"}
    request = register.execution_request(register.everything(), "binary")

    begun = http.post("/api/v1/executions", content=request.SerializeToString(), headers=headers)
    shown = http.get(f"{EXECUTIONS}/binary", headers=PROTOBUF)

    assert begun.status_code == 200
    assert shown.headers["content-type"] == "application/octet-stream"
    assert Execution.FromString(shown.content).id.name == "binary"


def test_json_shows_what_is_not_set_and_large_numbers_as_texts(http, finished):
    finished("whole")

    shown = http.get(f"{EXECUTIONS}/whole", headers=JSON).json()
    data = http.get(f"/api/v1/data{EXECUTIONS.removeprefix('/api/v1')}/whole", headers=JSON).json()

    assert shown["spec"]["max_parallelism"] == 25
    assert shown["spec"]["tags"] == []
    assert shown["spec"]["labels"] == {"values": {}}
    assert shown["spec"]["auth_role"] is None
    assert shown["spec"]["overwrite_cache"] is False
    assert shown["closure"]["phase"] == "SUCCEEDED"
    assert "error" not in shown["closure"]
    assert data["full_outputs"]["literals"]["o0"]["scalar"] == {"primitive": {"integer": "6"}}


def test_clients_that_name_no_json_get_camel_case(http, finished):
    finished("whole")

    assert http.get(f"{EXECUTIONS}/whole").json()["spec"]["maxParallelism"] == 25


def test_query_parameters_fill_the_request(http, finished, register):
    plan = register.everything()
    for name in ("one", "two", "three"):
        finished(name, launch_plan=plan)

    query = {"limit": 2, "sort_by.key": "execution_name", "sort_by.direction": "ASCENDING", "nobody.knows": "this"}
    first = http.get(EXECUTIONS, params=query, headers=JSON).json()
    rest = http.get(EXECUTIONS, params={**query, "token": first["token"]}, headers=JSON).json()
    some = http.get(EXECUTIONS, params={"limit": "9", "filters": "eq(phase,SUCCEEDED)+contains(name,o)"})
    camel = http.get(EXECUTIONS, params={"limit": 1, "sortBy.key": "execution_name", "sortBy.direction": "1"})

    assert [each["id"]["name"] for each in first["executions"]] == ["one", "three"]
    assert first["token"] == "2"
    assert [each["id"]["name"] for each in rest["executions"]] == ["two"]
    assert {each["id"]["name"] for each in some.json()["executions"]} == {"one", "two"}
    assert [each["id"]["name"] for each in camel.json()["executions"]] == ["one"]


def test_a_query_cannot_change_what_the_path_says(http, finished):
    finished("whole")

    assert http.get(f"{EXECUTIONS}/whole?id.name=other", headers=JSON).json()["id"]["name"] == "whole"


def test_the_path_wins_over_the_body(http, admin, finished):
    finished("whole")

    body = {"id": {"project": "p", "domain": "d", "name": "other"}, "state": "EXECUTION_ARCHIVED"}
    answer = http.put(f"{EXECUTIONS}/whole", json=body)

    assert answer.status_code == 200
    assert http.get(EXECUTIONS, params={"limit": 5}).json()["executions"] == []


def test_enums_in_a_path_are_names_or_numbers(http, register):
    register.everything()

    by_name = http.get("/api/v1/named_entities/TASK/flytesnacks/development/double", headers=JSON)
    by_number = http.get("/api/v1/named_entities/1/flytesnacks/development/double", headers=JSON)
    wrong = http.get("/api/v1/named_entities/NOPE/flytesnacks/development/double", headers=JSON)

    assert by_name.json() == by_number.json()
    assert by_name.json()["id"]["name"] == "double"
    assert wrong.status_code == 400
    assert wrong.json()["message"] == "resource_type: 'NOPE' is no value of this field"


def test_a_name_may_hold_a_slash_a_blank_and_any_letter(http, register):
    register.task(name="a/b c.ü")

    found = http.get("/api/v1/tasks/flytesnacks/development/a%2Fb%20c.%C3%BC/v1", headers=JSON)

    assert found.json()["id"]["name"] == "a/b c.ü"


def test_terminate_is_delete_with_a_body_or_without(http, plane, register):
    plane.executor.stuck.add("double")
    plan = register.everything()
    for name in ("one", "two"):
        register.execution(plan, name)

    with_cause = http.request("DELETE", f"{EXECUTIONS}/one", json={"cause": "enough"})
    without = http.delete(f"{EXECUTIONS}/two")
    shown = http.get(f"{EXECUTIONS}/one", headers=JSON).json()

    assert (with_cause.status_code, without.status_code) == (200, 200)
    assert shown["closure"]["abort_metadata"]["cause"] == "enough"


def test_a_refusal_is_a_status_with_code_message_and_details(http, register):
    register.task()
    request = as_json(register.workflow_request())
    http.post("/api/v1/workflows", json=request)

    again = http.post("/api/v1/workflows", json=request, headers=JSON)
    binary = http.post("/api/v1/workflows", json=request, headers=PROTOBUF)
    missing = http.get(f"{EXECUTIONS}/nobody")
    no_limit = http.get(EXECUTIONS)

    assert again.status_code == 409
    assert again.json()["code"] == 6
    assert again.json()["details"][0]["exists_identical_structure"]["id"]["name"] == "main"
    reason = CreateWorkflowFailureReason()
    assert Status.FromString(binary.content).details[0].Unpack(reason)
    assert reason.exists_identical_structure.id.name == "main"
    assert (missing.status_code, missing.json()["code"]) == (404, 5)
    assert (no_limit.status_code, no_limit.json()["message"]) == (400, "limit must be greater than 0")


def test_what_the_engine_alone_calls_is_not_implemented(http):
    answer = http.post("/api/v1/events/tasks", json={})

    assert (answer.status_code, answer.json()["code"]) == (501, 12)


def test_another_verb_is_told_which_ones_there_are(http):
    answer = http.delete("/api/v1/projects")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST, GET"


def test_a_path_that_is_none_is_not_found(http):
    assert http.get("/api/v1/nothing/here").status_code == 404
    assert http.get("/api/v1/executions/flytesnacks//x").status_code == 404


def test_metadata_and_profile_have_their_own_paths(http):
    assert http.get("/.well-known/oauth-authorization-server", headers=JSON).json()["issuer"] != ""
    assert http.get("/config/v1/flyte_client", headers=JSON).json()["authorization_metadata_key"] == "authorization"
    assert http.get("/me", headers=JSON).json()["name"] == "ada"


def test_the_description_names_every_path(http):
    document = http.get("/api/v1/openapi").json()

    assert set(document["paths"]) == {rule.template for rule in read_rules(SERVICES)}
    task = document["paths"]["/api/v1/tasks/{id.project}/{id.domain}"]["get"]
    assert {each["name"] for each in task["parameters"] if each["in"] == "query"} >= {
        "limit",
        "token",
        "filters",
        "sort_by.key",
        "sort_by.direction",
    }
    assert document["definitions"]["flyteidl.admin.Project"]["properties"]["domains"]["type"] == "array"


def test_the_answers_are_those_of_grpc(http, admin, register, finished):
    finished("whole")
    place = NamedEntityIdentifier(project="flytesnacks", domain="development")

    over_grpc = admin.ListExecutions(ResourceListRequest(id=place, limit=5))
    over_http = ExecutionList.FromString(http.get(EXECUTIONS, params={"limit": 5}, headers=PROTOBUF).content)

    assert over_http == over_grpc


def test_the_token_is_asked_for_and_a_cookie_is_none(serve, serve_http):
    with serve(token=TOKEN) as plane, serve_http(plane) as http:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"hydraflyte_console={TOKEN}"}):
            answer = http.get("/api/v1/projects", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, 16)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (
            len(Projects.FromString(http.get("/api/v1/projects", headers={**PROTOBUF, **bearer}).content).projects) == 3
        )
        assert http.get("/api/v1/projects", headers={"flyte-authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert http.get("/me").status_code == 401
        assert http.get("/config/v1/flyte_client").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # a server of another user, on another port of this machine
    ],
)
def test_a_page_of_another_site_gets_nothing_even_without_a_token(http, headers):
    assert http.get("/api/v1/projects", headers=headers).status_code == 403
    assert http.post("/api/v1/projects", json={"project": {"id": "evil"}}, headers=headers).status_code == 403
    assert http.get("/api/v1/projects/evil").status_code == 404


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None]
)
def test_what_a_form_of_another_page_can_send_is_not_read(http, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}

    for body in (b'{"project": {"id": "evil", "name": "evil"}}', b""):
        assert http.post("/api/v1/projects", content=body, headers=headers).status_code == 415
    assert http.get("/api/v1/projects/evil").status_code == 404


def test_no_page_is_ever_given_leave_to_call(http):
    preflight = http.request("OPTIONS", "/api/v1/projects", headers={"Access-Control-Request-Method": "POST"})

    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_host_name_that_resolves_here_is_not_this_server(http):
    assert http.get("/api/v1/projects", headers={"Host": "evil.example"}).status_code == 421
