"""Credentials are found where docker and podman keep them, the most special first."""

import base64
import json

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.credentials import Credential, CredentialPlaces, find_credential
from hydraflyte.launcher.images.registry.names import parse_image


def auth(username, password):
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def found(image, home, **variables):
    places = CredentialPlaces.of({"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", **variables})
    return find_credential(parse_image(image), places)


def helper(home, name, *lines):
    path = home / "bin" / f"docker-credential-{name}"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)


@pytest.mark.parametrize("key", ["host.example", "https://host.example", "https://host.example/v2/", "host.example/v1"])
def test_a_registry_is_found_under_each_spelling_of_its_key(tmp_path, key):
    write(tmp_path / ".docker/config.json", {"auths": {key: auth("ada", "a:b")}})

    credential = found("host.example/app", tmp_path)

    assert (credential.username, credential.password) == ("ada", "a:b")


def test_docker_hub_is_kept_under_its_old_address(tmp_path):
    write(tmp_path / ".docker/config.json", {"auths": {"https://index.docker.io/v1/": auth("ada", "x")}})

    assert found("python:3.11", tmp_path).username == "ada"


def test_another_registrys_credentials_are_not_sent(tmp_path):
    write(tmp_path / ".docker/config.json", {"auths": {"host.example": auth("ada", "x")}})

    assert found("other.example/app", tmp_path) is None


def test_the_files_are_looked_at_from_the_most_explicit_on(tmp_path):
    write(tmp_path / "explicit.json", {"auths": {"h.example": auth("explicit", "x")}})
    write(tmp_path / "docker/config.json", {"auths": {"h.example": auth("docker", "x")}})
    write(tmp_path / "run/containers/auth.json", {"auths": {"h.example": auth("podman", "x")}})
    write(tmp_path / ".docker/config.json", {"auths": {"h.example": auth("home", "x")}})
    variables = {
        "REGISTRY_AUTH_FILE": f"{tmp_path}/explicit.json",
        "DOCKER_CONFIG": f"{tmp_path}/docker",
        "XDG_RUNTIME_DIR": f"{tmp_path}/run",
    }

    order = []
    while True:
        order.append(found("h.example/app", tmp_path, **variables).username)
        if not variables:
            break
        variables.pop(next(iter(variables)))

    assert order == ["explicit", "docker", "podman", "home"]


def test_a_helper_of_the_registry_comes_before_the_store_and_the_file(tmp_path):
    helper(tmp_path, "one", "read server", 'echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"')
    helper(tmp_path, "all", "exit 9")
    document = {"credHelpers": {"h.example": "one"}, "credsStore": "all", "auths": {"h.example": auth("file", "x")}}
    write(tmp_path / ".docker/config.json", document)

    assert found("h.example/app", tmp_path).username == "h.example"


def test_docker_hub_is_asked_for_under_its_old_address(tmp_path):
    helper(tmp_path, "all", "read server", 'echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"')
    write(tmp_path / ".docker/config.json", {"credsStore": "all"})

    assert found("python", tmp_path).username == "https://index.docker.io/v1/"


def test_a_store_without_the_registry_leaves_it_to_the_file(tmp_path):
    helper(tmp_path, "all", "echo 'credentials not found in native keychain'", "exit 1")
    write(tmp_path / ".docker/config.json", {"credsStore": "all", "auths": {"h.example": auth("file", "x")}})

    assert found("h.example/app", tmp_path).username == "file"


@pytest.mark.parametrize("answer", ["", "no JSON", '{"Username": "a"}'])
def test_an_answer_that_is_none_is_an_error(tmp_path, answer):
    helper(tmp_path, "odd", f"echo '{answer}'")
    write(tmp_path / ".docker/config.json", {"credsStore": "odd"})

    with pytest.raises(ImageError, match=r"docker-credential-odd gave no user name and secret for h\.example"):
        found("h.example/app", tmp_path)


@pytest.mark.parametrize(
    ("entry", "field"), [({"identitytoken": "t"}, "identity_token"), ({"registrytoken": "t"}, "registry_token")]
)
def test_tokens_are_taken_in_place_of_a_password(tmp_path, entry, field):
    write(tmp_path / ".docker/config.json", {"auths": {"h.example": auth("ada", "x") | entry}})

    assert getattr(found("h.example/app", tmp_path), field) == "t"


def test_an_empty_entry_is_no_credential(tmp_path):
    write(tmp_path / ".docker/config.json", {"auths": {"h.example": {}}})

    assert found("h.example/app", tmp_path) is None


@pytest.mark.parametrize("content", ["{", '{"auths": {"h.example": {"auth": "%%%"}}}'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(content)

    with pytest.raises(ImageError, match=r"\.docker/config\.json"):
        found("h.example/app", tmp_path)


def test_secrets_do_not_show_when_a_credential_is_printed():
    credential = Credential(username="ada", password="p1", identity_token="i1", registry_token="r1", origin="file")

    assert repr(credential) == "Credential(username='ada', origin='file')"
