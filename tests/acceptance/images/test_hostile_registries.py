"""Registries that are broken or mean harm: one clear error, little memory, an end, and no password given away."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from tests.acceptance.images.conftest import NO_CREDENTIALS, files_in
from tests.acceptance.images.faulty import Fault, run_proxy
from tests.image_tools import push_image, tar_of

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, Target
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import OCI_MANIFEST, digest_of, encode
from hydraflyte.launcher.images.registry.patience import Patience

LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(b"layer"), "size": 5}
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest_of(b"layer")]}}


def manifest_of(**changes):
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"config"), "size": 6}
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [LAYER]} | changes


def answering(path, content, **given):
    """A registry's own answer to everything below ``path``."""
    body = content if isinstance(content, bytes) else encode(content)
    headers = {"Docker-Content-Digest": digest_of(body), "Content-Type": OCI_MANIFEST}
    return Fault(at=path, status=200, headers=headers, body=body, **given)


@pytest.fixture
def append(proxy, code, hasty):
    """Puts the code on the base ``evil/base:1`` of the proxy."""

    def append(**patience):
        request = BuildRequest(
            target=Target(repository=f"{proxy.host}/evil/app", tag="1"),
            context=code,
            base=f"{proxy.host}/evil/base:1",
            files=files_in(code),
        )
        waits = Patience(attempts=1, **patience) if patience else hasty
        return LayerAppender(environment=NO_CREDENTIALS, patience=waits).build(request, lambda line: None)

    return append


def opened(host, path, patience, *, environment=NO_CREDENTIALS, **given):
    return Registry.open(f"{host}/{path}", environment=environment, patience=patience, **given)


@pytest.mark.parametrize(
    "manifest",
    [
        manifest_of(layers=[{}]),
        manifest_of(layers=["x"]),
        manifest_of(layers=[LAYER | {"size": "many"}]),
        manifest_of(layers=[LAYER | {"size": -1}]),
        manifest_of(layers=[LAYER | {"digest": "sha256:../../../etc/passwd"}]),
        manifest_of(config=None),
        manifest_of(config={"digest": 7}),
        manifest_of(annotations=["x"]),
        {"schemaVersion": 2, "manifests": [None]},
        {"schemaVersion": 2, "manifests": [LAYER | {"platform": "linux"}]},
        {"schemaVersion": 2, "mediaType": ["x"], "layers": []},
    ],
    ids=str,
)
def test_a_manifest_of_any_shape_is_one_clear_error(proxy, append, manifest):
    proxy.faults = [answering("evil/base/manifests", manifest)]

    with pytest.raises(ImageError, match=r"The manifest of \S+ cannot be used: "):
        append()


@pytest.mark.parametrize(
    "config",
    [
        CONFIG | {"config": ["x"]},
        CONFIG | {"config": {"Env": [1]}},
        CONFIG | {"config": {"Env": "PATH=/bin"}},
        CONFIG | {"config": {"User": ["root"]}},
        CONFIG | {"config": {"WorkingDir": ["/root"]}},
        CONFIG | {"history": ["x"]},
        CONFIG | {"history": 7},
        CONFIG | {"os": {}},
        CONFIG | {"rootfs": {"diff_ids": [7]}},
    ],
    ids=str,
)
def test_a_config_of_any_shape_is_one_clear_error(proxy, append, config):
    content = encode(config)
    described = {"mediaType": "x", "digest": digest_of(content), "size": len(content)}
    proxy.faults = [
        answering("evil/base/manifests", manifest_of(config=described)),
        answering("evil/base/blobs", content),
    ]

    with pytest.raises(ImageError, match=r"The config of \S+ "):
        append()


def test_a_config_that_claims_to_be_huge_is_not_fetched(proxy, append):
    described = {"mediaType": "x", "digest": digest_of(b"config"), "size": 10**12}
    proxy.faults = [answering("evil/base/manifests", manifest_of(config=described))]

    with pytest.raises(ImageError, match=r"has 1000000000000 bytes"):
        append()

    assert not [line for line in proxy.requests if "/blobs/" in line]


@pytest.mark.parametrize(
    ("at", "status", "message"),
    [
        ("GET .*evil/base/manifests", 200, r"The manifest of \S+ has more than 8388608 bytes"),
        ("GET .*evil/base/manifests", 403, r"answered 403"),
        ("GET .*evil/base/manifests", 307, r"answered 404"),
        ("GET .*evil/base/blobs", 200, r"is not what its digest says"),
    ],
)
def test_an_answer_without_an_end_is_not_read_to_the_end(proxy, append, at, status, message):
    described = {"mediaType": "x", "digest": digest_of(b"config"), "size": 6}
    headers = {"Location": "/v2/evil/base/manifests/1"} if status == 307 else {}
    proxy.faults = [
        Fault(at=at, times=1, status=status, headers=headers, is_endless=True),
        answering("evil/base/manifests", manifest_of(config=described)),
    ]
    began = time.monotonic()

    with pytest.raises(ImageError, match=message):
        append(silence_s=5)

    assert time.monotonic() - began < 5


def test_an_answer_that_drips_is_given_up_on(proxy, append):
    dripping = Fault(at="GET .*evil/base/manifests", body=b" " * 40, drip_s=0.05)
    proxy.faults = [dripping, answering("evil/base/manifests", manifest_of())]

    with pytest.raises(ImageError, match=r"cannot be reached \(it said nothing for 0.3 s"):
        append(silence_s=0.3)


def test_a_launch_that_is_stopped_does_not_wait_for_a_blob_that_drips(proxy, hasty):
    proxy.faults = [Fault(at="blobs", body=b"x" * 60, drip_s=0.05)]
    asked = []
    patience = Patience(attempts=1, is_cancelled=lambda: asked.append(1) or len(asked) > 4)
    began = time.monotonic()

    with pytest.raises(ImageError, match="The launch was stopped"):
        opened(proxy.host, "evil/base", patience).read_blob(digest_of(b"x" * 60), 60)

    assert time.monotonic() - began < 2


def test_a_launch_that_is_stopped_does_not_wait_until_the_registry_wants_to_be_asked_again(proxy):
    proxy.faults = [Fault(at="HEAD", status=429, headers={"Retry-After": "86400"})]
    paused = []
    patience = Patience(pause=paused.append, is_cancelled=lambda: len(paused) > 2)

    with pytest.raises(ImageError, match="The launch was stopped"):
        opened(proxy.host, "evil/base", patience).head_manifest("1")

    assert sum(paused) < 5


def test_a_build_whose_time_is_up_ends_in_the_middle_of_a_push(proxy, registry, code):
    base = push_image(registry, "base/timed", "1", layers=[tar_of({"x": b"x"})]).replace(registry, proxy.host)
    request = BuildRequest(
        target=Target(repository=f"{proxy.host}/evil/timed", tag="1"),
        context=code,
        base=base,
        files=files_in(code),
        timeout_s=0.5,
    )
    proxy.faults = [Fault(at="PUT .*blobs", status=503)]
    patience = Patience(attempts=1000, first_pause_s=0.1, longest_pause_s=0.1)

    with pytest.raises(ImageError, match="its time was up") as caught:
        LayerAppender(environment=NO_CREDENTIALS, patience=patience).build(request, lambda line: None)

    assert "build_timeout_s" in caught.value.hint


@pytest.mark.parametrize("location", ["http://[::1/x", "http://localhost:99999/", "file:///etc/passwd", ""])
def test_a_place_that_is_none_is_named(proxy, hasty, location):
    proxy.faults = [Fault(at="POST", status=202, headers={"Location": location})]

    with pytest.raises(ImageError, match="Pushing layer"):
        opened(proxy.host, "evil/app", hasty, writes=True).push_blob(digest_of(b"x"), b"x")


def test_redirects_in_a_circle_are_named_at_once(proxy, hasty):
    proxy.faults = [Fault(at="manifests", status=307, headers={"Location": "/v2/evil/base/manifests/1"})]

    with pytest.raises(ImageError, match="more than 10 redirects"):
        opened(proxy.host, "evil/base", hasty).head_manifest("1")

    assert len(proxy.requests) == 11


@pytest.mark.parametrize("wish", ["\u00b2", "-1", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_any_wish_for_a_pause_will_do(proxy, registry, hasty, wish):
    proxy.faults = [Fault(at="HEAD", times=1, status=429, headers={"Retry-After": wish})]

    assert opened(proxy.host, "evil/nothing", hasty).head_manifest("1") is None


def test_a_digest_that_is_none_is_not_believed(proxy, registry, hasty):
    push_image(registry, "base/digest", "1", layers=[tar_of({"x": b"x"})])
    digest = opened(registry, "base/digest", hasty).manifest("1").digest
    proxy.faults = [Fault(at="HEAD", status=200, headers={"Docker-Content-Digest": "sha256:../../etc/passwd"})]

    assert opened(proxy.host, "base/digest", hasty).head_manifest("1").digest == digest


@pytest.fixture
def logged_in(proxy, tmp_path):
    """Environment of a user with an entry for the proxy in docker's file."""

    def logged_in(host=proxy.host, **entry):
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host: entry}}))
        return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    return logged_in


ADA = base64.b64encode(b"ada:lovelace").decode()


@pytest.mark.parametrize("token", ["secret\r\nX-Evil: 1", "secret\u2028", "secret\x00"])
def test_a_token_that_fits_no_header_is_an_error_that_does_not_show_it(proxy, hasty, logged_in, token):
    with run_proxy("localhost:9") as tokens:
        tokens.faults = [Fault(at="token", status=200, body=json.dumps({"token": token}).encode())]
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{tokens.host}/token"'}
        proxy.faults = [Fault(at="HEAD", status=401, headers=challenge)]

        with pytest.raises(ImageError, match="gave no token") as caught:
            opened(proxy.host, "evil/base", hasty, environment=logged_in(auth=ADA)).head_manifest("1")

    assert "secret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_a_token_of_the_users_own_that_fits_no_header_is_not_shown(proxy, hasty, logged_in):
    environment = logged_in(registrytoken="secret\nsecret")
    proxy.faults = [Fault(at="HEAD", status=401, headers={"WWW-Authenticate": 'Bearer realm="https://t.example"'})]

    with pytest.raises(ImageError, match=r"config\.json") as caught:
        opened(proxy.host, "evil/base", hasty, environment=environment).head_manifest("1")

    assert "secret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_an_identity_token_does_not_follow_a_token_server_elsewhere(proxy, hasty, logged_in):
    with run_proxy("localhost:9") as tokens, run_proxy("localhost:9") as thief:
        tokens.faults = [Fault(at="token", status=307, headers={"Location": f"http://{thief.host}/token"})]
        thief.faults = [Fault(at="token", status=200, body=b'{"token": "t"}')]
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{tokens.host}/token"'}
        proxy.faults = [Fault(at="HEAD", status=401, headers=challenge)]

        with pytest.raises(ImageError, match=r"gave no token .*status 307"):
            opened(proxy.host, "evil/base", hasty, environment=logged_in(identitytoken="secret")).head_manifest("1")

    assert tokens.requests == ["POST /token"]
    assert thief.requests == []


def test_a_store_elsewhere_cannot_ask_for_the_password(proxy, hasty, logged_in):
    with run_proxy("localhost:9") as store, run_proxy("localhost:9") as thief:
        thief.faults = [Fault(at="token", status=200, body=b'{"token": "t"}')]
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{thief.host}/token"'}
        store.faults = [Fault(at="blob", status=401, headers=challenge)]
        proxy.faults = [Fault(at="GET", status=307, headers={"Location": f"http://{store.host}/blob"})]

        with pytest.raises(ImageError, match="answered 401"):
            opened(proxy.host, "evil/base", hasty, environment=logged_in(auth=ADA)).read_blob(digest_of(b"x"), 1)

    assert thief.requests == []


@pytest.fixture
def secure(registry, locked_registry):
    """A proxy that speaks TLS, and the environment of a user who trusts it."""
    tls = (locked_registry.certificate, locked_registry.certificate.with_suffix(".key"))
    with run_proxy(registry, tls=tls) as proxy:
        yield proxy, {**NO_CREDENTIALS, "HYDRAFLYTE_CA_BUNDLE": str(locked_registry.certificate)}


def test_from_tls_no_redirect_leads_to_plain_text(secure, proxy, registry, hasty):
    push_image(registry, "base/plain", "1", layers=[tar_of({"x": b"x"})])
    guarded, environment = secure
    place = f"http://{proxy.host}/v2/base/plain/manifests/1"
    guarded.faults = [Fault(at="manifests", status=307, headers={"Location": place})]

    with pytest.raises(ImageError, match=re.escape(f"{guarded.host} leads to {place}, in plain text")):
        opened(guarded.host, "base/plain", hasty, environment=environment, is_insecure=False).head_manifest("1")

    assert proxy.requests == []


def test_from_tls_no_layer_is_sent_in_plain_text(secure, proxy, hasty):
    guarded, environment = secure
    guarded.faults = [Fault(at="POST", status=202, headers={"Location": f"http://{proxy.host}/put"})]

    with pytest.raises(ImageError, match="in plain text"):
        opened(guarded.host, "evil/app", hasty, environment=environment, is_insecure=False, writes=True).push_blob(
            digest_of(b"x"), b"x"
        )

    assert proxy.requests == []
