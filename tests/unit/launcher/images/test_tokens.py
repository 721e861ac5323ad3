"""Challenges are read in all their forms, and no password goes where it should not."""

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.credentials import Credential
from hydraflyte.launcher.images.registry.tokens import Authorizer, Challenge, parse_challenges, pull

SCOPES = frozenset({pull("a/b")})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    scheme="bearer",
                    parameters={
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("basic realm=simple", [Challenge(scheme="basic", parameters={"realm": "simple"})]),
        (
            'Basic realm="a, b", BEARER realm="c"',
            [
                Challenge(scheme="basic", parameters={"realm": "a, b"}),
                Challenge(scheme="bearer", parameters={"realm": "c"}),
            ],
        ),
        ("Negotiate", []),
        ("", []),
    ],
)
def test_challenges_are_read(header, expected):
    assert list(parse_challenges(header)) == expected


def authorizer(credential, ask, *, is_insecure=False):
    return Authorizer(registry="r.example", credential=lambda: credential, ask=ask, is_insecure=is_insecure)


class Answer:
    def __init__(self, document, status_code=200):
        self.document, self.status_code = document, status_code

    def json(self):
        return self.document


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example/token",
        "http://localhost:80@auth.example/token",
        "http://[::1]:80@auth.example/token",
        "http://[::1/token",
        "ftp://auth.example",
        "",
        "file:///etc/passwd",
    ],
)
def test_a_password_is_not_sent_to_a_token_server_in_plain_text(realm):
    def ask(*given):
        raise AssertionError("a request was sent")

    credential = Credential(username="ada", password="secret", origin="file")

    with pytest.raises(ImageError, match="to which no password may be sent"):
        authorizer(credential, ask).answer(f'Bearer realm="{realm}"', SCOPES, refused=None)


def test_a_registry_token_is_shown_as_it_is_and_no_other_is_asked_for():
    credential = Credential(registry_token="t0", origin="file")

    header = authorizer(credential, None).answer('Bearer realm="https://auth.example"', SCOPES, refused=None)

    assert header == "Bearer t0"


@pytest.mark.parametrize("field", ["token", "access_token"])
def test_a_token_is_kept_for_its_scopes(field):
    asked = []

    def ask(realm, headers, parameters, is_form):
        asked.append(parameters["scope"])
        return Answer({field: f"t{len(asked)}"})

    mine = authorizer(None, ask)
    mine.answer('Bearer realm="https://auth.example"', SCOPES, refused=None)

    headers = [mine.header(SCOPES), mine.header(frozenset({pull("c")})), mine.header(SCOPES)]

    assert headers == ["Bearer t1", "Bearer t2", "Bearer t1"]
    assert asked == [["repository:a/b:pull"], ["repository:c:pull"]]


def test_a_refused_token_is_replaced_by_a_new_one():
    given = iter(["t1", "t2"])
    mine = authorizer(None, lambda *asked: Answer({"token": next(given)}))
    first = mine.answer('Bearer realm="https://auth.example"', SCOPES, refused=None)

    assert mine.answer('Bearer realm="https://auth.example"', SCOPES, refused=first) == "Bearer t2"


def test_a_password_that_was_refused_is_not_offered_again():
    mine = authorizer(Credential(username="ada", password="x", origin="file"), None)
    first = mine.answer("Basic realm=r", SCOPES, refused=None)

    assert first == "Basic YWRhOng="
    assert mine.answer("Basic realm=r", SCOPES, refused=first) is None


@pytest.mark.parametrize("document", [{}, [], {"token": 7}])
def test_an_answer_without_a_token_is_an_error(document):
    mine = authorizer(None, lambda *asked: Answer(document))

    with pytest.raises(ImageError, match=r"gave no token for repository:a/b:pull \(status 200\)"):
        mine.answer('Bearer realm="https://auth.example"', SCOPES, refused=None)
