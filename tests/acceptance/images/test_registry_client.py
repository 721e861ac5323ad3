"""The registry client against a real registry: what it pushes is what skopeo reads, and what goes wrong has a name."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from tests.acceptance.images.conftest import NO_CREDENTIALS
from tests.acceptance.images.faulty import Fault
from tests.image_tools import require, run_registry

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.presence import Missing, Present, Unknown, look_up
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    digest_of,
    encode,
)
from hydraflyte.launcher.images.registry.patience import Patience

MEGABYTE = 1024 * 1024


def opened(host, path, patience, *, writes=True):
    return Registry.open(f"{host}/{path}", writes=writes, environment=NO_CREDENTIALS, patience=patience)


def push_small_image(registry, tag, *, is_docker=False):
    layer = os.urandom(1000)
    config = encode(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": {}}
    )
    for blob in (layer, config):
        registry.push_blob(digest_of(blob), blob)
    kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if is_docker else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": {"mediaType": kinds[1], "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": kinds[2], "digest": digest_of(layer), "size": len(layer)}],
        }
    )
    return registry.push_manifest(tag, manifest, kinds[0])


@pytest.mark.parametrize("is_docker", [False, True], ids=["oci", "docker"])
def test_a_pushed_image_is_read_by_skopeo_under_the_same_digest(registry, hasty, is_docker):
    require("skopeo")
    repository = opened(registry, "client/pushed", hasty)

    digest = push_small_image(repository, f"t{is_docker}", is_docker=is_docker)

    read = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{repository.name}:t{is_docker}"],
        capture_output=True,
        check=True,
    )
    assert digest_of(read.stdout) == digest
    assert repository.head_manifest(f"t{is_docker}").digest == digest


def test_a_layer_travels_in_pieces_and_comes_back_the_same(registry, hasty, tmp_path):
    repository = opened(registry, "client/pieces", hasty)
    layer = tmp_path / "layer"
    layer.write_bytes(os.urandom(3 * MEGABYTE))
    digest = digest_of(layer.read_bytes())

    repository.push_blob(digest, layer)

    assert repository.has_blob(digest)
    assert digest_of(b"".join(repository.blob_chunks(digest, 3 * MEGABYTE))) == digest
    assert repository.traffic.sent_bytes == 3 * MEGABYTE


def test_a_layer_of_200_mb_is_streamed_in_little_memory(registry, tmp_path):
    layer = tmp_path / "layer"
    with open(layer, "wb") as file:
        for _ in range(200):
            file.write(os.urandom(4096) * 256)
    program = (
        "import resource, sys\n"
        "from hydraflyte.launcher.images.registry.client import Registry\n"
        "from hydraflyte.launcher.images.registry.manifests import Descriptor\n"
        "from hashlib import sha256\n"
        "from pathlib import Path\n"
        "host, path = sys.argv[1:]\n"
        "hasher = sha256()\n"
        "with open(path, 'rb') as file:\n"
        "    while piece := file.read(1 << 20): hasher.update(piece)\n"
        "digest = 'sha256:' + hasher.hexdigest()\n"
        "first = Registry.open(f'{host}/client/big', writes=True)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "first.push_blob(digest, Path(path))\n"
        "second = first.sibling(f'{host}/client/copied', writes=True)\n"
        "second.copy_blob(Descriptor(digest=digest, size_bytes=Path(path).stat().st_size, media_type=''), first)\n"
        "print(second.has_blob(digest), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )

    said = subprocess.run(
        [os.sys.executable, "-c", program, registry, str(layer)], capture_output=True, text=True, check=True
    )

    has_it, megabytes_more = said.stdout.split()
    assert has_it == "True"
    assert int(megabytes_more) < 40


def test_a_blob_is_mounted_from_another_repository_without_sending_it(registry, hasty):
    first = opened(registry, "client/first", hasty)
    first.push_blob(digest_of(b"x" * 5000), b"x" * 5000)
    second = first.sibling(f"{registry}/client/second", writes=True)

    assert second.mount_blob(digest_of(b"x" * 5000), first)

    assert second.has_blob(digest_of(b"x" * 5000))
    assert first.traffic.sent_bytes == 5000


@pytest.mark.parametrize("status", [401, 405, 202], ids=["as Harbor once", "not allowed", "begins an upload"])
def test_a_registry_that_does_not_mount_is_no_error(proxy, hasty, status):
    first = opened(proxy.host, "client/first", hasty)
    first.push_blob(digest_of(b"y" * 5000), b"y" * 5000)
    second = first.sibling(f"{proxy.host}/client/no-mounts", writes=True)
    location = {"Location": "/v2/client/no-mounts/blobs/uploads/123"}
    proxy.faults = [Fault(at=r"POST .*mount=", status=status, headers=location)]

    assert not second.mount_blob(digest_of(b"y" * 5000), first)


def test_what_a_registry_does_not_have_is_none(registry, hasty):
    repository = opened(registry, "client/nothing", hasty)

    assert repository.head_manifest("1") is None
    assert repository.find_manifest("1") is None
    assert not repository.has_blob(digest_of(b"nothing"))


def test_a_registry_that_says_no_digest_is_asked_for_the_manifest(proxy, registry, hasty):
    digest = push_small_image(opened(registry, "client/silent", hasty), "1")
    proxy.faults = [Fault(at="HEAD .*manifests", status=200)]

    assert opened(proxy.host, "client/silent", hasty).head_manifest("1").digest == digest


def test_a_connection_lost_in_the_middle_of_a_layer_is_made_up_for(proxy, hasty, tmp_path):
    layer = tmp_path / "layer"
    layer.write_bytes(os.urandom(2 * MEGABYTE))
    digest = digest_of(layer.read_bytes())
    proxy.faults = [Fault(at="PUT .*blobs", times=2, drop_body_after=MEGABYTE)]
    repository = opened(proxy.host, "client/lost", hasty)

    repository.push_blob(digest, layer)

    assert repository.has_blob(digest)
    assert sum(line.startswith("POST") for line in proxy.requests) == 3  # a new upload each time


def test_a_registry_that_goes_down_in_the_middle_of_a_layer_is_named(proxy, hasty, tmp_path):
    layer = tmp_path / "layer"
    layer.write_bytes(os.urandom(2 * MEGABYTE))
    proxy.faults = [Fault(at="PUT .*blobs", drop_body_after=MEGABYTE)]

    with pytest.raises(ImageError) as caught:
        opened(proxy.host, "client/down", hasty).push_blob(digest_of(layer.read_bytes()), layer)

    assert re.fullmatch(
        rf"Pushing layer sha256:\w+ \(2097152 bytes\) to {proxy.host}/client/down failed: "
        rf"the registry {proxy.host} cannot be reached \(.+\)\.",
        caught.value.message,
    )
    assert "nothing is tagged before all of it is there" in caught.value.hint


def test_a_layer_goes_in_pieces_where_large_requests_are_refused(proxy, hasty, tmp_path):
    layer = tmp_path / "layer"
    layer.write_bytes(os.urandom(20 * MEGABYTE))
    digest = digest_of(layer.read_bytes())
    proxy.faults = [Fault(at="PUT .*blobs", times=1, status=413)]
    repository = opened(proxy.host, "client/limited", hasty)

    repository.push_blob(digest, layer)

    assert repository.has_blob(digest)
    assert [line.partition(" ")[0] for line in proxy.requests[:-1]] == [
        *("POST", "PUT"),
        *("POST", "PATCH", "PATCH", "PATCH", "PUT"),
    ]


def test_a_small_blob_that_is_refused_for_its_size_is_an_error(proxy, hasty):
    proxy.faults = [Fault(at="PUT .*blobs", status=413)]

    with pytest.raises(ImageError, match="answered 413") as caught:
        opened(proxy.host, "client/limited", hasty).push_blob(digest_of(b"x"), b"x")

    assert caught.value.hint.startswith("The registry, or a proxy before it, limits the size of a layer")


def test_a_cut_download_goes_on_where_it_broke_off(proxy, registry, hasty):
    blob = os.urandom(2 * MEGABYTE)
    opened(registry, "client/cut", hasty).push_blob(digest_of(blob), blob)
    proxy.faults = [Fault(at="GET .*blobs", times=1, cut_answer_after=MEGABYTE)]

    received = b"".join(opened(proxy.host, "client/cut", hasty).blob_chunks(digest_of(blob), len(blob)))

    assert received == blob
    assert sum(line.startswith("GET") for line in proxy.requests) == 2


def test_a_blob_that_is_cut_again_and_again_is_an_error(proxy, registry, hasty):
    blob = os.urandom(MEGABYTE)
    opened(registry, "client/cut", hasty).push_blob(digest_of(blob), blob)
    proxy.faults = [
        Fault(at="GET .*blobs", times=1, cut_answer_after=300_000),
        Fault(at="GET .*blobs", cut_answer_after=0),
    ]

    with pytest.raises(ImageError, match="broke off after 300000 of 1048576 bytes"):
        list(opened(proxy.host, "client/cut", hasty).blob_chunks(digest_of(blob), len(blob)))


@pytest.mark.parametrize("change", [bytes.swapcase, lambda content: content[:-1]], ids=["damaged", "truncated"])
def test_a_blob_that_is_not_what_its_digest_says_is_an_error(proxy, registry, hasty, change):
    blob = b"content" * 100
    opened(registry, "client/damaged", hasty).push_blob(digest_of(blob), blob)
    proxy.faults = [Fault(at="GET .*blobs", change=change)]

    with pytest.raises(ImageError, match=rf"is not what its digest says: {digest_of(blob)} was expected"):
        opened(proxy.host, "client/damaged", hasty).read_blob(digest_of(blob), len(blob))


def test_a_manifest_that_is_not_what_its_digest_says_is_an_error(proxy, registry, hasty):
    push_small_image(opened(registry, "client/changed", hasty), "1")
    proxy.faults = [Fault(at="GET .*manifests", change=lambda content: content + b" ")]

    with pytest.raises(ImageError, match=r"The manifest of \S+:1 is not what its digest says"):
        opened(proxy.host, "client/changed", hasty).manifest("1")


def test_a_layer_that_changes_on_its_way_is_refused_by_name(registry, hasty):
    with pytest.raises(ImageError, match=r"answered 400 \(DIGEST_INVALID") as caught:
        opened(registry, "client/changed", hasty).push_blob(digest_of(b"this"), b"that")

    assert caught.value.hint.startswith("The content changed on its way")


def test_a_silent_registry_is_given_up_on(proxy, registry):
    proxy.faults = [Fault(at="HEAD", is_silent=True)]
    patience = Patience(attempts=2, silence_s=0.2, pause=lambda seconds: None)

    with pytest.raises(ImageError, match=r"cannot be reached \(it said nothing for 0.2 s\)"):
        opened(proxy.host, "client/silent", patience).head_manifest("1")

    assert len(proxy.requests) == 2


def test_too_many_requests_are_waited_out_as_long_as_the_registry_asks_for(proxy, registry):
    digest = push_small_image(opened(registry, "client/limited", Patience()), "1")
    proxy.faults = [
        Fault(at="HEAD", times=1, status=429, headers={"Retry-After": "7"}),
        Fault(at="HEAD", times=1, status=503),
    ]
    pauses = []
    patience = Patience(first_pause_s=0.5, pause=pauses.append)

    assert opened(proxy.host, "client/limited", patience).head_manifest("1").digest == digest

    assert pauses == [1.0] * 8  # 7 s as asked for, then 1 s


def test_a_limit_that_stays_is_an_error(proxy, hasty):
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "pull rate limit"}]}).encode()
    proxy.faults = [Fault(at="HEAD", status=429, body=body), Fault(at="GET", status=429, body=body)]

    with pytest.raises(ImageError, match=r"answered 429 \(TOOMANYREQUESTS: pull rate limit\)") as caught:
        opened(proxy.host, "client/limited", hasty).find_manifest("1")

    assert caught.value.hint == "The registry limits how often it may be asked: log in, or wait."


def test_a_full_disk_of_the_registry_is_named(proxy, hasty):
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": {"Err": 28}}]}).encode()
    full = body.replace(b'{"Err": 28}', b'"write /data: no space left on device"')
    proxy.faults = [Fault(at="PUT .*blobs", status=500, body=full)]

    with pytest.raises(ImageError, match="no space left on device") as caught:
        opened(proxy.host, "client/full", hasty).push_blob(digest_of(b"x"), b"x")

    assert caught.value.hint.startswith("The registry's disk is full")


def test_nobody_listening_is_told_apart_from_a_missing_image(hasty, registry):
    free = "localhost:9"  # discard: nothing listens there

    gone = look_up(f"{free}/a:1", environment=NO_CREDENTIALS, patience=hasty)
    missing = look_up(f"{registry}/client/nothing:1", environment=NO_CREDENTIALS, patience=hasty)

    assert isinstance(gone, Unknown)
    assert gone.reason.message == (
        "Looking up localhost:9/a:1 failed: the registry localhost:9 cannot be reached (Connection refused)."
    )
    assert missing == Missing()


def test_an_existing_image_is_looked_up_in_one_request(proxy, registry, hasty):
    digest = push_small_image(opened(registry, "client/there", hasty), "1")

    presence = look_up(f"{proxy.host}/client/there:1", environment=NO_CREDENTIALS, patience=hasty)

    assert presence == Present(digest=digest)
    assert proxy.requests == ["HEAD /v2/client/there/manifests/1"]


def test_what_is_in_netrc_is_not_sent_to_a_registry(proxy, registry, hasty, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine localhost login ada password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    assert opened(registry, "client/netrc", hasty).head_manifest("1") is None


def test_plain_http_to_another_machine_has_to_be_allowed_by_name(registry, hasty):
    elsewhere = f"0.0.0.0:{registry.rpartition(':')[2]}"  # reaches this machine, but is no name of it
    allowed = {**NO_CREDENTIALS, "HYDRAFLYTE_INSECURE_REGISTRIES": f"other.example, {elsewhere}"}

    refused = look_up(f"{elsewhere}/client/nothing:1", environment=NO_CREDENTIALS, patience=hasty)
    answered = look_up(f"{elsewhere}/client/nothing:1", environment=allowed, patience=hasty)

    assert isinstance(refused, Unknown)
    assert "cannot be spoken to with TLS" in refused.reason.message
    assert "HYDRAFLYTE_INSECURE_REGISTRIES" in refused.reason.hint
    assert answered == Missing()


def test_a_registry_that_only_reads_says_so(tools_folder, hasty):
    settings = {
        "storage": {
            "filesystem": {"rootdirectory": str(tools_folder / "ro")},
            "maintenance": {"readonly": {"enabled": True}},
        }
    }

    with run_registry(tools_folder / "read-only", settings) as host, pytest.raises(ImageError) as caught:
        opened(host, "client/x", hasty).push_blob(digest_of(b"x"), b"x")

    assert "answered 405" in caught.value.message
    assert caught.value.hint == "This registry is read-only, or a mirror: set target_image to another one."
