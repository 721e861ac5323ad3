"""A plain HTTP client on the embedded backend: the token of its owner, JSON, protobuf, pages of other sites."""

import re
from pathlib import Path

import httpx2
import pytest
from flyteidl.admin.execution_pb2 import Execution

THE_STORY = "/api/v1/executions/flytesnacks/development/the-story"


@pytest.fixture(scope="module")
def http(flyte_backend):
    token = (Path(flyte_backend.home) / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    with httpx2.Client(base_url=flyte_backend.http_url, headers=headers, timeout=20) as client:
        yield client


def test_the_owner_reads_an_execution_as_json_and_as_protobuf(http, story):
    as_json = http.get(THE_STORY).json()
    as_protobuf = Execution.FromString(http.get(THE_STORY, headers={"Accept": "application/octet-stream"}).content)

    assert as_json["closure"]["phase"] == "SUCCEEDED"
    assert as_protobuf.id.name == "the-story"


def test_the_owner_runs_a_launch_plan(http, story):
    plan = {
        "resource_type": "LAUNCH_PLAN",
        "project": "flytesnacks",
        "domain": "development",
        "name": "client_flows.story",
        "version": story.version,
    }
    body = {"project": "flytesnacks", "domain": "development", "name": "over-http", "spec": {"launch_plan": plan}}

    begun = http.post("/api/v1/executions", json=body)

    assert begun.json()["id"]["name"] == "over-http"
    assert story.wait("over-http").outputs["o0"] == 3


def test_a_stranger_is_not_let_in(flyte_backend, story):
    assert httpx2.get(flyte_backend.http_url + THE_STORY).status_code == 401


def test_a_page_in_another_tab_is_not_let_in_though_the_browser_has_the_console_s_cookie(flyte_backend, story):
    key = flyte_backend.console_url.partition("key=")[2]
    cookie = {"Cookie": f"hydraflyte_console={key}"}

    own = httpx2.get(f"{flyte_backend.http_url}/console", headers=cookie)
    with_cookie = httpx2.get(flyte_backend.http_url + THE_STORY, headers=cookie)
    foreign = httpx2.get(flyte_backend.http_url + THE_STORY, headers={**cookie, "Origin": "http://evil.example"})

    assert (own.status_code, with_cookie.status_code, foreign.status_code) == (200, 401, 403)


def test_the_console_shows_a_deck_that_can_do_nothing_to_it(http, story):
    page = "/console/projects/flytesnacks/domains/development/executions/the-story"

    links = re.findall(r'href="([^"]+)">deck<', http.get(page).text)
    deck = http.get(links[0])

    assert links == [f"{page}/decks/n0"]
    assert "the number 7" in deck.text
    assert deck.headers["content-type"] == "text/html; charset=utf-8"
    assert deck.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert http.get(f"{page}/decks/n1").status_code == 404
    assert httpx2.get(f"{http.base_url}{links[0]}").status_code == 401


def test_signing_in_leads_to_a_page_of_this_server_only(flyte_backend):
    key = flyte_backend.console_url.partition("key=")[2]
    cookie = {"Cookie": f"hydraflyte_console={key}"}

    def sent_to(target, headers=cookie):
        login = f"{flyte_backend.http_url}/login"
        return httpx2.get(login, params={"redirect_url": target}, headers=headers).headers.get("location")

    assert sent_to("/console/projects/flytesnacks/executions") == "/console/projects/flytesnacks/executions"
    for elsewhere in ("http://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""):
        assert sent_to(elsewhere) == "/console"
    assert sent_to("/console", headers={}) is None
    logout = httpx2.get(f"{flyte_backend.http_url}/logout", headers=cookie)
    assert 'hydraflyte_console=""' in logout.headers["set-cookie"]


def test_health_and_the_description_are_told_to_everybody(flyte_backend):
    assert httpx2.get(f"{flyte_backend.http_url}/healthcheck").status_code == 200
    assert httpx2.get(f"{flyte_backend.http_url}/api/v1/openapi").json()["swagger"] == "2.0"
