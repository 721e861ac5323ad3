"""Images that are appended to in a real registry: read back with skopeo, run with podman, counted by a proxy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.acceptance.images.conftest import NO_CREDENTIALS, files_in
from tests.acceptance.images.families import push_family
from tests.acceptance.images.faulty import Fault
from tests.image_tools import push_image, require, run_registry, tar_of

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, Outcome, Target
from hydraflyte.launcher.images.presence import ExistingImage
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)
from hydraflyte.launcher.images.registry.patience import Patience


def quiet(line):
    """Progress is not looked at."""


def requested(registry, code, base, *, path="appended/app", tag="1", **given):
    return BuildRequest(
        target=Target(repository=f"{registry}/{path}", tag=tag), context=code, base=base, files=files_in(code), **given
    )


@pytest.fixture
def appender(hasty):
    return LayerAppender(environment=NO_CREDENTIALS, patience=hasty)


def inspected(reference, *arguments):
    require("skopeo")
    said = subprocess.run(
        ["skopeo", *arguments[:1], "inspect", *arguments[1:], "--tls-verify=false", f"docker://{reference}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def reader(registry, path, patience):
    return Registry.open(f"{registry}/{path}", environment=NO_CREDENTIALS, patience=patience)


def test_an_appended_image_runs_the_code_in_podman(registry, base_image, podman, code, appender):
    built = appender.build(requested(registry, code, base_image), quiet)

    said = podman.command("podman", "run", "--rm", "--tls-verify=false", built.reference, "python", "train.py")
    assert said.stdout == "first\n"
    assert built.outcome is Outcome.appended
    assert re.fullmatch(rf"{registry}/appended/app@sha256:[0-9a-f]{{64}}", built.reference)


def test_the_code_is_found_from_other_folders_too(registry, base_image, podman, code, appender):
    built = appender.build(requested(registry, code, base_image), quiet)

    run = ("podman", "run", "--rm", "--tls-verify=false", "--workdir=/tmp", built.reference)
    said = podman.command(*run, "python", "-c", "import model.net; print(model.net.__file__)")
    assert said.stdout == "/root/model/net.py\n"


def test_only_what_changed_is_sent_and_the_base_is_not_read(proxy, registry, tiny_image, code, appender):
    base = tiny_image.replace(registry, proxy.host)
    appender.build(requested(proxy.host, code, base, path="appended/few"), quiet)
    (code / "model" / "net.py").write_text("NAME = 'second'\n")
    proxy.requests.clear()

    built = appender.build(requested(proxy.host, code, base, path="appended/few"), quiet)

    assert built.outcome is Outcome.appended
    assert built.sent_bytes < 4000
    read = [line for line in proxy.requests if line.startswith("GET") and "/blobs/" in line]
    assert len(read) == 1  # the base's config
    assert [line.partition(" ")[0] for line in proxy.requests].count("PUT") == 4  # layer, config, manifest twice


def test_unchanged_code_on_a_pinned_base_costs_one_request(proxy, registry, tiny_image, code, appender, hasty):
    digest = reader(registry, "base/tiny", hasty).head_manifest("1").digest
    request = requested(proxy.host, code, f"{proxy.host}/base/tiny@{digest}", path="appended/once")
    first = appender.build(request, quiet)
    proxy.requests.clear()

    second = appender.build(request, quiet)

    assert second == replace(first, outcome=Outcome.unchanged, sent_bytes=0)
    assert proxy.requests == ["GET /v2/appended/once/manifests/1"]


def test_what_a_base_by_tag_means_is_asked_while_the_target_is(proxy, registry, tiny_image, code, appender):
    base = tiny_image.replace(registry, proxy.host)
    first = appender.build(requested(proxy.host, code, base, path="appended/both"), quiet)
    target = "GET /v2/appended/both/manifests/1"
    proxy.faults = [
        Fault(at="HEAD .*base/tiny", waits_for=target),
        Fault(at=target, waits_for="HEAD .*base/tiny"),
    ]
    proxy.requests.clear()
    patience = Patience(attempts=1, silence_s=2)

    second = LayerAppender(environment=NO_CREDENTIALS, patience=patience).build(
        requested(proxy.host, code, base, path="appended/both"), quiet
    )

    assert (second.outcome, second.digest) == (Outcome.unchanged, first.digest)
    assert sorted(proxy.requests) == [target, "HEAD /v2/base/tiny/manifests/1"]


def test_unchanged_code_under_a_new_version_only_moves_a_tag(registry, tiny_image, code, appender, hasty):
    first = appender.build(requested(registry, code, tiny_image, path="appended/tags", tag="v1"), quiet)

    second = appender.build(requested(registry, code, tiny_image, path="appended/tags", tag="v2"), quiet)

    assert second.outcome is Outcome.unchanged
    assert second.digest == first.digest == reader(registry, "appended/tags", hasty).head_manifest("v2").digest


def test_going_back_to_older_code_moves_the_tag_back(registry, tiny_image, code, appender, hasty):
    request = requested(registry, code, tiny_image, path="appended/back", tag="latest")
    first = appender.build(request, quiet)
    (code / "train.py").write_text("changed = True\n")
    appender.build(requested(registry, code, tiny_image, path="appended/back", tag="latest"), quiet)

    again = appender.build(request, quiet)

    assert again.digest == first.digest == reader(registry, "appended/back", hasty).head_manifest("latest").digest


def test_a_base_that_moved_gives_another_image(registry, code, appender):
    base = push_image(registry, "base/moving", "latest", layers=[tar_of({"version": b"1"})])
    first = appender.build(requested(registry, code, base, path="appended/moved"), quiet)
    push_image(registry, "base/moving", "latest", layers=[tar_of({"version": b"2"})])

    second = appender.build(requested(registry, code, base, path="appended/moved"), quiet)

    assert second.outcome is Outcome.appended
    assert second.digest != first.digest


def test_the_same_tree_gives_the_same_digest_elsewhere(registry, tools_folder, tiny_image, code, appender):
    here = appender.build(requested(registry, code, tiny_image, path="appended/same"), quiet)

    with run_registry(tools_folder / "elsewhere") as other:
        there = appender.build(requested(other, code, tiny_image, path="other/name"), quiet)

        assert inspected(there.reference)["Digest"] == here.digest


def test_code_that_went_away_is_not_in_the_next_image(registry, base_image, podman, code, appender):
    appender.build(requested(registry, code, base_image, path="appended/gone"), quiet)
    (code / "model" / "net.py").rename(code / "model" / "other.py")

    built = appender.build(requested(registry, code, base_image, path="appended/gone"), quiet)

    said = podman.command("podman", "run", "--rm", "--tls-verify=false", built.reference, "ls", "/root/model")
    assert said.stdout == "__init__.py\nother.py\n"


def test_config_and_history_of_the_base_are_kept(registry, tiny_image, code, appender):
    built = appender.build(requested(registry, code, tiny_image, path="appended/config"), quiet)

    config = inspected(built.reference, "--command-timeout=20s", "--config")
    assert config["config"] == {"Env": ["PATH=/usr/bin", "PYTHONPATH=/root"], "WorkingDir": "/root"}
    assert [entry["created_by"] for entry in config["history"]] == ["tests", "tests", "hydraflyte: code"]
    assert len(config["rootfs"]["diff_ids"]) == 3
    assert config["created"] == "1970-01-01T00:00:00Z"


def test_a_registry_that_does_not_mount_gets_the_layers_of_the_base_sent(proxy, registry, tiny_image, code, appender):
    proxy.faults = [Fault(at="POST .*mount=", status=401)]
    base = tiny_image.replace(registry, proxy.host)

    built = appender.build(requested(proxy.host, code, base, path="appended/unmounted"), quiet)

    assert len(inspected(built.reference.replace(proxy.host, registry))["Layers"]) == 3


@pytest.mark.parametrize("is_docker", [False, True], ids=["oci", "docker"])
def test_each_platform_of_an_index_gets_the_code(registry, code, appender, is_docker):
    base = push_family(registry, f"base/family-{is_docker}".lower(), is_docker=is_docker)
    platforms = ("linux/amd64", "linux/arm64")

    built = appender.build(
        requested(registry, code, base, path=f"appended/all-{is_docker}".lower(), platforms=platforms), quiet
    )

    raw = inspected(built.reference, "--command-timeout=20s", "--raw")
    assert raw["mediaType"] == (DOCKER_LIST if is_docker else OCI_INDEX)
    assert [entry["platform"]["architecture"] for entry in raw["manifests"]] == ["amd64", "arm64"]
    assert {entry["mediaType"] for entry in raw["manifests"]} == {DOCKER_MANIFEST if is_docker else OCI_MANIFEST}
    arm = inspected(built.reference, "--override-arch=arm64")
    amd = inspected(built.reference, "--override-arch=amd64")
    assert (arm["Architecture"], amd["Architecture"]) == ("arm64", "amd64")
    assert arm["Layers"][-1] == amd["Layers"][-1]  # one layer of code for both
    assert arm["Layers"][0] != amd["Layers"][0]


@pytest.mark.parametrize("is_docker", [False, True], ids=["oci", "docker"])
def test_an_unchanged_image_of_either_family_sends_nothing(registry, code, appender, is_docker):
    base = push_family(registry, f"base/again-{is_docker}".lower(), is_docker=is_docker)
    request = requested(
        registry, code, base, path=f"appended/again-{is_docker}".lower(), platforms=("linux/amd64", "linux/arm64")
    )
    first = appender.build(request, quiet)

    second = appender.build(request, quiet)

    assert second == replace(first, outcome=Outcome.unchanged, sent_bytes=0)


def test_one_platform_of_an_index_gives_a_plain_image(registry, code, appender):
    base = push_family(registry, "base/one", is_docker=False)

    built = appender.build(requested(registry, code, base, path="appended/one", platforms=("linux/arm64",)), quiet)

    assert inspected(built.reference, "--override-arch=arm64")["Architecture"] == "arm64"
    assert inspected(built.reference, "--command-timeout=20s", "--raw")["mediaType"] == OCI_MANIFEST


def test_a_platform_that_the_base_lacks_is_named(registry, code, appender):
    base = push_family(registry, "base/lacks", is_docker=False)

    with pytest.raises(ImageError, match=r"is not there for linux/s390x, only for linux/amd64, linux/arm64/v8"):
        appender.build(requested(registry, code, base, path="appended/lacks", platforms=("linux/s390x",)), quiet)


def test_a_missing_base_is_named(registry, code, appender):
    base = f"{registry}/base/absent:3"

    with pytest.raises(ImageError) as caught:
        appender.build(requested(registry, code, base, path="appended/x"), quiet)

    assert caught.value.message == f"The base {base} of the default image does not exist: {registry} does not know it."
    assert caught.value.hint.startswith("Check base_image and base_image_version")


def test_a_base_whose_digest_does_not_exist_is_named(registry, code, appender):
    base = f"{registry}/base/tiny@sha256:{'0' * 64}"

    with pytest.raises(ImageError, match=r"There is no image \S+@sha256:0000"):
        appender.build(requested(registry, code, base, path="appended/x"), quiet)


@pytest.mark.parametrize("given", [{"build_args": {"A": "1"}}, {"secrets": (BuildSecret(id="A", variable="A"),)}])
def test_what_only_a_dockerfile_could_read_is_refused(registry, tiny_image, code, appender, given):
    with pytest.raises(ImageError, match="no Dockerfile that could read them"):
        appender.build(requested(registry, code, tiny_image, **given), quiet)


def test_a_dockerfile_is_not_run(registry, tiny_image, code, appender):
    with pytest.raises(ImageError, match="append runs none"):
        appender.build(requested(registry, code, tiny_image, dockerfile=code / "Dockerfile"), quiet)


@pytest.mark.parametrize(
    "at",
    ["PUT .*blobs", "PUT .*manifests/hydraflyte-", "PUT .*manifests/1$"],
    ids=["layer", "manifest", "tag"],
)
def test_a_push_that_fails_leaves_the_tag_as_it_was(proxy, registry, tiny_image, code, appender, hasty, at):
    path = f"appended/half-{len(at)}"
    base = tiny_image.replace(registry, proxy.host)
    before = appender.build(requested(proxy.host, code, base, path=path), quiet)
    (code / "train.py").write_text("changed = True\n")
    proxy.faults = [Fault(at=at, drop_body_after=10)]

    with pytest.raises(ImageError, match="cannot be reached"):
        appender.build(requested(proxy.host, code, base, path=path), quiet)

    assert reader(registry, path, hasty).head_manifest("1").digest == before.digest
    proxy.faults = []
    after = appender.build(requested(proxy.host, code, base, path=path), quiet)
    assert after.digest == reader(registry, path, hasty).head_manifest("1").digest != before.digest


def test_a_damaged_layer_of_the_base_is_not_passed_on(proxy, registry, tools_folder, tiny_image, code, appender, hasty):
    base = tiny_image.replace(registry, proxy.host)
    proxy.faults = [Fault(at="GET .*base/tiny/blobs", change=lambda content: content[::-1])]

    with run_registry(tools_folder / "clean") as other:
        with pytest.raises(ImageError, match="is not what its digest says"):
            appender.build(requested(other, code, base, path="appended/damaged"), quiet)

        assert reader(other, "appended/damaged", hasty).head_manifest("1") is None


def test_images_of_several_threads_do_not_meet(registry, tiny_image, code, appender, tmp_path):
    found = {}

    def build(number):
        found[number] = appender.build(requested(registry, code, tiny_image, path=f"appended/at-once-{number}"), quiet)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({built.digest for built in found.values()}) == 1
    assert len(found) == 4


def test_two_launches_under_one_tag_each_have_their_own_image(registry, tiny_image, code, appender, tmp_path, hasty):
    requests = []
    for name in ("first", "second"):
        folder = shutil.copytree(code, tmp_path / name)
        (folder / "model" / "net.py").write_text(f"NAME = {name!r}\n")
        requests.append(requested(registry, folder, tiny_image, path="appended/raced"))

    with ThreadPoolExecutor(2) as pool:
        digests = [built.digest for built in pool.map(lambda request: appender.build(request, quiet), requests)]

    repository = reader(registry, "appended/raced", hasty)
    assert len(set(digests)) == 2
    assert [repository.manifest(digest).digest for digest in digests] == digests
    assert repository.head_manifest("1").digest in digests


def test_a_launch_that_is_stopped_sends_no_more_of_a_layer(registry, tiny_image, code, appender, hasty):
    (code / "weights.bin").write_bytes(os.urandom(3_000_000))
    asked = []

    def is_cancelled():
        asked.append(None)
        return len(asked) > 12  # by then the layer of code is under way

    request = requested(registry, code, tiny_image, path="appended/stopped", is_cancelled=is_cancelled)

    with pytest.raises(ImageError, match="The launch was stopped"):
        appender.build(request, quiet)

    assert reader(registry, "appended/stopped", hasty).head_manifest("1") is None


def test_an_image_somebody_else_pushed_is_pinned_by_the_builder_none(registry, tiny_image, code, hasty):
    request = requested(registry, code, None, path="base/tiny")

    built = ExistingImage(environment=NO_CREDENTIALS, patience=hasty).build(request, quiet)

    assert built.outcome is Outcome.found
    assert built.digest == inspected(tiny_image)["Digest"]
    assert built.reference == f"{registry}/base/tiny@{built.digest}"


def test_the_builder_none_does_not_take_a_missing_image_for_an_existing_one(registry, code, hasty):
    request = requested(registry, code, None, path="nobody/pushed")

    with pytest.raises(ImageError) as caught:
        ExistingImage(environment=NO_CREDENTIALS, patience=hasty).build(request, quiet)

    assert caught.value.message == (
        f"The default image {registry}/nobody/pushed:1 does not exist, and nothing is to build it."
    )


def test_the_builder_none_says_why_it_cannot_tell(code, hasty):
    request = requested("localhost:9", code, None, path="x")

    with pytest.raises(
        ImageError, match=r"It cannot be told whether the default image localhost:9/x:1 exists\. .*refused"
    ):
        ExistingImage(environment=NO_CREDENTIALS, patience=hasty).build(request, quiet)


def test_a_full_disk_names_the_file_and_the_way_out(registry, tiny_image, code, appender, tmp_path, monkeypatch):
    require("mount")
    full = tmp_path / "full"
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(full)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        (code / "data.bin").write_bytes(os.urandom(100_000))
        monkeypatch.setattr("tempfile.tempdir", str(full))

        with pytest.raises(ImageError, match=r"cannot be written: No space left on device") as caught:
            appender.build(requested(registry, code, tiny_image, path="appended/full"), quiet)
    finally:
        subprocess.run(["umount", str(full)], check=True)

    assert f"set TMPDIR (now {full})" in caught.value.hint
