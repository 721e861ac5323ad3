"""Registries that ask who is there: passwords, tokens, helpers, certificates."""

from __future__ import annotations

import base64
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.acceptance.images.faulty import Fault, run_proxy
from tests.acceptance.images.token_server import run_token_registry
from tests.image_tools import require

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.presence import Missing, Unknown, look_up
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import digest_of

BLOB = b"layer" * 100


@pytest.fixture(scope="module")
def token_registry(tools_folder):
    require("openssl", "docker-registry")
    with run_token_registry(tools_folder / "tokens") as found:
        yield found


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".docker").mkdir()
    return tmp_path


def environment_of(home):
    return {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin"}


def log_in(home, host, **entry):
    if "username" in entry:
        entry = {"auth": base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()}
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: entry}}))


def use_helper(home, host, script):
    helper = home / "docker-credential-tests"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)
    (home / ".docker" / "config.json").write_text(json.dumps({"credHelpers": {host: "tests"}}))


def trust(home, locked):
    folder = home / ".config" / "containers" / "certs.d" / locked.host
    folder.mkdir(parents=True)
    shutil.copy(locked.certificate, folder / "ca.crt")


def opened(host, path, home, patience, *, writes=True, is_insecure=None):
    return Registry.open(
        f"{host}/{path}", writes=writes, environment=environment_of(home), patience=patience, is_insecure=is_insecure
    )


def test_a_password_is_shown_over_tls_to_a_registry_with_a_known_certificate(locked_registry, home, hasty):
    trust(home, locked_registry)
    log_in(home, locked_registry.host, username="ada", password="lovelace")
    repository = opened(locked_registry.host, "team/app", home, hasty, is_insecure=False)

    repository.push_blob(digest_of(BLOB), BLOB)

    assert repository.has_blob(digest_of(BLOB))


def test_a_certificate_may_be_named_by_a_variable(locked_registry, home, hasty):
    log_in(home, locked_registry.host, username="ada", password="lovelace")
    environment = {**environment_of(home), "HYDRAFLYTE_CA_BUNDLE": str(locked_registry.certificate)}

    presence = look_up(
        f"{locked_registry.host}/team/nothing:1", is_insecure=False, environment=environment, patience=hasty
    )

    assert presence == Missing()


def test_an_unknown_certificate_is_refused_with_the_way_to_trust_it(locked_registry, home, hasty):
    log_in(home, locked_registry.host, username="ada", password="lovelace")

    with pytest.raises(ImageError, match="cannot be spoken to with TLS") as caught:
        opened(locked_registry.host, "team/app", home, hasty, is_insecure=False).head_manifest("1")

    assert f"~/.config/containers/certs.d/{locked_registry.host}/ca.crt" in caught.value.hint


def test_on_this_machine_tls_is_found_out_and_its_certificate_is_not_asked_for(locked_registry, home, hasty):
    log_in(home, locked_registry.host, username="ada", password="lovelace")

    assert opened(locked_registry.host, "team/nothing", home, hasty).head_manifest("1") is None


def test_a_wrong_password_is_refused_with_its_origin(locked_registry, home, hasty):
    log_in(home, locked_registry.host, username="ada", password="byron")

    with pytest.raises(ImageError) as caught:
        opened(locked_registry.host, "team/app", home, hasty).push_blob(digest_of(BLOB), BLOB)

    assert caught.value.message.startswith(
        f"The registry {locked_registry.host} refused the credentials from {home}/.docker/config.json (user ada)"
    )
    assert (
        caught.value.hint
        == f"Run `docker login {locked_registry.host}` or `podman login {locked_registry.host}` again."
    )
    assert "byron" not in str(caught.value)


def test_no_password_at_all_says_how_to_log_in(locked_registry, home, hasty):
    with pytest.raises(ImageError, match="wants credentials, and there are none for it") as caught:
        opened(locked_registry.host, "team/app", home, hasty).head_manifest("1")

    assert caught.value.hint.startswith(f"Run `docker login {locked_registry.host}`")


def test_a_registry_that_does_not_tell_us_is_not_taken_for_one_that_has_nothing(locked_registry, home, hasty):
    presence = look_up(f"{locked_registry.host}/team/app:1", environment=environment_of(home), patience=hasty)

    assert isinstance(presence, Unknown)


@pytest.mark.parametrize(
    "entry",
    [{"username": "ada", "password": "lovelace"}, {"identitytoken": "ada-s-token"}],
    ids=["password", "identity token"],
)
def test_credentials_are_exchanged_for_a_token(token_registry, home, hasty, entry):
    log_in(home, token_registry.host, **entry)
    repository = opened(token_registry.host, "team/app", home, hasty)

    repository.push_blob(digest_of(BLOB), BLOB)

    method = "POST" if "identitytoken" in entry else "GET"
    assert token_registry.asked[-1] == (method, "ada", ("repository:team/app:pull,push",))


def test_an_identity_token_may_come_from_a_helper(token_registry, home, hasty):
    answer = {"ServerURL": token_registry.host, "Username": "<token>", "Secret": "ada-s-token"}
    use_helper(home, token_registry.host, f"cat >/dev/null; echo '{json.dumps(answer)}'")

    assert opened(token_registry.host, "team/helped", home, hasty).head_manifest("1") is None

    assert token_registry.asked[-1][:2] == ("POST", "ada")


def test_a_helper_that_knows_nothing_means_anonymous(token_registry, home, hasty):
    use_helper(home, token_registry.host, "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1")

    assert opened(token_registry.host, "public/app", home, hasty, writes=False).head_manifest("1") is None

    assert token_registry.asked[-1] == ("GET", "guest", ("repository:public/app:pull",))


def test_a_helper_that_fails_is_an_error_with_its_words(token_registry, home, hasty):
    use_helper(home, token_registry.host, "echo 'keychain is locked' >&2; exit 1")

    with pytest.raises(ImageError, match=r"The credential helper docker-credential-tests failed .*keychain is locked"):
        opened(token_registry.host, "team/app", home, hasty).head_manifest("1")


def test_a_helper_that_is_not_installed_is_named(token_registry, home, hasty):
    (home / ".docker" / "config.json").write_text(json.dumps({"credsStore": "absent"}))

    with pytest.raises(ImageError, match=r"docker-credential-absent for .* cannot be run: it is not on PATH"):
        opened(token_registry.host, "team/app", home, hasty).head_manifest("1")


def test_who_may_only_read_is_told_at_the_push(token_registry, home, hasty):
    log_in(home, token_registry.host, username="reader", password="reads")

    with pytest.raises(ImageError) as caught:
        opened(token_registry.host, "team/app", home, hasty).push_blob(digest_of(BLOB), BLOB)

    assert (
        f"to {token_registry.host}/team/app failed: {token_registry.host} answered 401 (UNAUTHORIZED"
        in caught.value.message
    )
    assert caught.value.hint.startswith("You are logged in, but have no right to do that")


def test_a_guest_is_told_to_log_in(token_registry, home, hasty):
    with pytest.raises(ImageError, match="wants credentials, and there are none for it"):
        opened(token_registry.host, "team/app", home, hasty, writes=False).head_manifest("1")


def test_a_wrong_password_at_the_token_server_is_refused_with_its_origin(token_registry, home, hasty):
    log_in(home, token_registry.host, username="ada", password="byron")

    with pytest.raises(ImageError, match=r"refused the credentials .* \(user ada\): its token server refused them"):
        opened(token_registry.host, "team/app", home, hasty).head_manifest("1")


def test_a_mount_asks_for_both_repositories_in_one_token(token_registry, home, hasty):
    log_in(home, token_registry.host, username="ada", password="lovelace")
    first = opened(token_registry.host, "team/first", home, hasty)
    first.push_blob(digest_of(BLOB), BLOB)
    second = first.sibling(f"{token_registry.host}/team/second", writes=True)

    assert second.mount_blob(digest_of(BLOB), first)

    assert token_registry.asked[-1][2] == ("repository:team/first:pull", "repository:team/second:pull,push")


def test_one_token_serves_all_threads_and_other_repositories_get_their_own(token_registry, home, hasty):
    log_in(home, token_registry.host, username="ada", password="lovelace")
    first = opened(token_registry.host, "team/threads", home, hasty)
    before = len(token_registry.asked)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: first.has_blob(digest_of(b"%d" % number)), range(24)))
    first.sibling(f"{token_registry.host}/team/others").head_manifest("1")

    assert [asked[2] for asked in token_registry.asked[before:]] == [
        ("repository:team/threads:pull,push",),
        ("repository:team/others:pull",),
    ]


def test_a_token_server_in_trouble_is_asked_again(token_registry, home, hasty):
    log_in(home, token_registry.host, username="ada", password="lovelace")
    token_registry.troubles = [503, 429]

    assert opened(token_registry.host, "team/app", home, hasty).head_manifest("nothing") is None


def test_a_registry_on_this_machine_cannot_send_the_password_elsewhere(proxy, home, hasty):
    log_in(home, proxy.host, username="ada", password="lovelace")
    challenge = {"WWW-Authenticate": 'Bearer realm="http://tokens.example/token",service="x"'}
    proxy.faults = [Fault(at="HEAD", status=401, headers=challenge)]

    with pytest.raises(
        ImageError, match=r"names the token server 'http://tokens\.example/token', to which no password"
    ):
        opened(proxy.host, "team/app", home, hasty, writes=False).head_manifest("1")


def test_a_store_that_a_registry_redirects_to_gets_no_password(proxy, registry, home, hasty):
    opened(registry, "team/stored", home, hasty).push_blob(digest_of(BLOB), BLOB)
    log_in(home, proxy.host, username="ada", password="lovelace")
    with run_proxy(registry) as store:
        proxy.faults = [
            Fault(at="GET", times=1, status=401, headers={"WWW-Authenticate": "Basic realm=x"}),
            Fault(
                at="GET",
                status=307,
                headers={"Location": f"http://{store.host}/v2/team/stored/blobs/{digest_of(BLOB)}"},
            ),
        ]

        received = opened(proxy.host, "team/stored", home, hasty, writes=False).read_blob(digest_of(BLOB), len(BLOB))

    assert received == BLOB
    assert proxy.authorizations == [None, "Basic YWRhOmxvdmVsYWNl"]
    assert store.authorizations == [None]


def test_podmans_file_knows_repositories_by_themselves(token_registry, home, hasty):
    runtime = home / "run"
    (runtime / "containers").mkdir(parents=True)
    entry = {"auth": base64.b64encode(b"ada:lovelace").decode()}
    wrong = {"auth": base64.b64encode(b"ada:byron").decode()}
    auths = {token_registry.host: wrong, f"{token_registry.host}/team/app": entry}
    Path(runtime, "containers", "auth.json").write_text(json.dumps({"auths": auths}))
    environment = {**environment_of(home), "XDG_RUNTIME_DIR": str(runtime)}

    presence = look_up(f"{token_registry.host}/team/app:nothing", environment=environment, patience=hasty)

    assert presence == Missing()
