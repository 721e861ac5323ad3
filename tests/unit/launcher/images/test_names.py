"""Names of images are read as Docker reads them."""

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.names import is_loopback, parse_image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "path", "reference"),
    [
        ("python", "docker.io", "library/python", "latest"),
        ("python:3.11-slim", "docker.io", "library/python", "3.11-slim"),
        ("team/app:1", "docker.io", "team/app", "1"),
        ("docker.io/team/app", "docker.io", "team/app", "latest"),
        ("index.docker.io/python", "docker.io", "library/python", "latest"),
        ("localhost/app:1", "localhost", "app", "1"),
        ("localhost:5001/app", "localhost:5001", "app", "latest"),
        ("[::1]:5001/a/b:v", "[::1]:5001", "a/b", "v"),
        ("ghcr.io/flyteorg/flytekit:py3.11-1.16", "ghcr.io", "flyteorg/flytekit", "py3.11-1.16"),
        (f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io", "a/b", DIGEST),
    ],
)
def test_a_name_has_a_registry_a_path_and_a_reference(text, host, path, reference):
    name = parse_image(text)

    assert (name.host, name.path, name.reference) == (host, path, reference)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "lower-case"),
        ("Team/App:1", "lower-case"),
        ("localhost:5001/a b", "lower-case"),
        ("app:ta g", "the tag"),
        ("app:" + "x" * 129, "the tag"),
        ("app@sha256:12", "the digest"),
        ("app@md5:" + "a" * 64, "the digest"),
        ("https://host.example/app", "no name of a registry"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_the_reason(text, why):
    with pytest.raises(ImageError, match=f"is no name of an image: .*{why}"):
        parse_image(text)


def test_docker_hub_answers_at_another_host_than_it_is_named():
    assert parse_image("python").api_host == "registry-1.docker.io"
    assert parse_image("ghcr.io/a/b").api_host == "ghcr.io"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:5001", True),
        ("127.0.0.1", True),
        ("127.8.8.8:80", True),
        ("[::1]:80", True),
        ("app.localhost", True),
        ("localhost.example.com", False),
        ("10.0.0.1:5000", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_only_this_machine_is_loopback(host, expected):
    assert is_loopback(host) is expected
