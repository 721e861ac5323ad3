"""The HTTP guard: the owner gets in, another site, another host name and a stranger do not."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from hydraflyte.backend.console.guard import HostOriginGuard, OwnerCheck, console_key

HOST = "127.0.0.1:30081"


def client_of(token):
    owner = OwnerCheck(token)

    async def page(request):
        return owner.refusal(request) or PlainTextResponse("the page")

    app = Starlette(
        routes=[Route("/console", page, methods=["GET", "POST"])],
        middleware=[Middleware(HostOriginGuard, hosts={HOST})],
    )
    return TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)


@pytest.fixture
def client():
    return client_of("secret-token")


def test_a_stranger_is_told_where_to_find_the_address(client):
    answer = client.get("/console")

    assert answer.status_code == 401
    assert "hydraflyte status" in answer.text


def test_the_api_token_opens_the_page(client):
    assert client.get("/console", headers={"Authorization": "Bearer secret-token"}).text == "the page"


def test_the_console_key_signs_the_browser_in_and_leaves_the_address(client):
    answer = client.get("/console", params={"key": console_key("secret-token"), "page": "2"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/console?page=2"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert client.get("/console").text == "the page"


@pytest.mark.parametrize("key", ["", "wrong", "secret-token"])
def test_no_other_key_signs_in(client, key):
    assert client.get("/console", params={"key": key}).status_code == 401


def test_the_console_key_is_no_api_token():
    assert console_key("secret-token") != "secret-token"
    assert client_of(console_key("secret-token")).get("/console").status_code == 401


def test_a_host_name_that_resolves_here_is_still_not_this_server(client):
    answer = client.get("/console", headers={"Host": "evil.example:30081", "Authorization": "Bearer secret-token"})

    assert answer.status_code == 421


def test_a_page_of_another_site_cannot_call(client):
    headers = {"Origin": "http://evil.example", "Authorization": "Bearer secret-token"}

    assert client.post("/console", headers=headers).status_code == 403


def test_the_consoles_own_pages_can_call(client):
    headers = {"Origin": f"http://{HOST}", "Authorization": "Bearer secret-token"}

    assert client.post("/console", headers=headers).text == "the page"


def test_without_auth_every_local_process_may_read():
    assert client_of(None).get("/console").text == "the page"
