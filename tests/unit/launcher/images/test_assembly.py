"""What is made of an image's documents when something is put on top of it."""

import json
from pathlib import Path

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.assembly import (
    Additions,
    assemble,
    code_folder_of,
    read_config,
    without_last_copy,
)
from hydraflyte.launcher.images.layers import Layer
from hydraflyte.launcher.images.registry.manifests import (
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Platform,
    encode,
    parse_manifest,
    parse_platform,
)

ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")
CONFIG = b'"config": {"digest": "%s", "size": 3}' % THREE.encode()
LAYER = Layer(path=Path("layer"), digest="sha256:new", diff_id="sha256:plain", size_bytes=7, created_by="code")


def image(kind=OCI_MANIFEST, **given):
    layers = [{"mediaType": "x", "digest": ONE, "size": 1}, {"mediaType": "x", "digest": TWO, "size": 2}]
    document = {"schemaVersion": 2, "config": {"digest": THREE, "size": 3}, "layers": layers, **given}
    return parse_manifest(encode({**document, "mediaType": kind}), kind, name="base")


def config(**given):
    return {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ["d1", "d2"]}, **given}


@pytest.mark.parametrize(("kind", "layer"), [(OCI_MANIFEST, OCI_LAYER), (DOCKER_MANIFEST, DOCKER_LAYER)])
def test_new_documents_are_of_the_family_of_the_base(kind, layer):
    assembled = assemble(image(kind), config(), Additions(layers=(LAYER,), annotations={"k": "v"}))

    document = json.loads(assembled.manifest)
    assert document["mediaType"] == assembled.media_type == kind
    assert document["layers"][-1] == {"mediaType": layer, "digest": "sha256:new", "size": 7}
    assert document.get("annotations") == ({"k": "v"} if kind == OCI_MANIFEST else None)


def test_keys_that_are_not_ours_are_kept():
    base = config(config={"Labels": {"a": "b"}, "User": "nobody"}, variant="v8", custom={"x": 1})

    new = assemble(image(), base, Additions(layers=(LAYER,), folder="/app", search_paths=("/app",))).config_document

    assert (new["variant"], new["custom"], new["config"]["User"]) == ("v8", {"x": 1}, "nobody")
    assert new["config"]["Labels"] == {"a": "b"}
    assert new["config"]["WorkingDir"] == "/app"
    assert new["rootfs"]["diff_ids"] == ["d1", "d2", "sha256:plain"]


def test_a_history_with_gaps_gets_one_entry_for_each_layer():
    base = config(history=[{"created_by": "a"}, {"created_by": "ENV", "empty_layer": True}])

    new = assemble(image(), base, Additions(layers=(LAYER,))).config_document

    assert [entry["created_by"] for entry in new["history"]] == ["a", "ENV", "unknown", "code"]


def test_search_paths_come_before_those_of_the_base_and_once():
    base = config(config={"Env": ["PYTHONPATH=/lib:/app", "A=1=2", "EMPTY="]})
    additions = Additions(search_paths=("/app",), program_paths=("/p/bin",))

    new = assemble(image(), base, additions).config_document

    assert new["config"]["Env"] == [
        "PYTHONPATH=/app:/lib",
        "A=1=2",
        "EMPTY=",
        "PATH=/p/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


def test_the_subject_of_a_base_is_not_taken_over():
    assembled = assemble(image(subject={"digest": "sha256:s"}), config(), Additions())

    assert "subject" not in json.loads(assembled.manifest)


@pytest.mark.parametrize(("folder", "expected"), [("/app", "/app"), ("", "/root"), ("/", "/root"), (None, "/root")])
def test_code_goes_to_the_working_folder_of_the_base(folder, expected):
    assert code_folder_of(config(config={"WorkingDir": folder})) == expected


@pytest.mark.parametrize(
    ("user", "expected"), [("root", "/root"), ("0:0", "/root"), ("nobody", "/app"), ("1000:1000", "/app")]
)
def test_code_goes_where_the_user_of_the_base_can_read_it(user, expected):
    assert code_folder_of(config(config={"User": user})) == expected


@pytest.mark.parametrize("created_by", ["COPY src /app # buildkit", "/bin/sh -c #(nop) COPY dir:1 in /app "])
def test_a_last_layer_made_by_copy_can_be_taken_off(created_by):
    history = [{"created_by": "RUN"}, {"created_by": created_by}, {"created_by": "CMD", "empty_layer": True}]

    manifest, below = without_last_copy(image(), config(history=history))

    assert [layer.digest for layer in manifest.layers] == [ONE]
    assert below["rootfs"]["diff_ids"] == ["d1"]
    assert [entry["created_by"] for entry in below["history"]] == ["RUN", "CMD"]


@pytest.mark.parametrize(
    "history",
    [None, [], [{"created_by": "COPY"}], [{"created_by": "COPY"}, {"created_by": "RUN make"}]],
    ids=["none", "empty", "squashed", "another instruction"],
)
def test_a_layer_that_may_be_something_else_stays(history):
    assert without_last_copy(image(), config(history=history)) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"rootfs": {}}', b'{"rootfs": {"diff_ids": 1}}'])
def test_what_is_no_config_of_an_image_is_refused(content):
    with pytest.raises(ImageError, match="The config of chart names no layers"):
        read_config(content, "chart")


@pytest.mark.parametrize(
    ("content", "content_type", "kind"),
    [
        (b'{"schemaVersion": 2, %s, "layers": []}' % CONFIG, "", OCI_MANIFEST),
        (b'{"schemaVersion": 2, "manifests": []}', "application/json", OCI_INDEX),
        (b'{"schemaVersion": 2, %s, "layers": []}' % CONFIG, f"{DOCKER_MANIFEST}; charset=utf-8", DOCKER_MANIFEST),
    ],
)
def test_a_manifest_that_does_not_name_its_type_is_known_by_its_shape(content, content_type, kind):
    assert parse_manifest(content, content_type, name="x").media_type == kind


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b'{"schemaVersion": 1, "fsLayers": []}', b'{"schemaVersion": 2, "layers": 7}']
)
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(ImageError, match="The manifest of x cannot be used"):
        parse_manifest(content, "text/html", name="x")


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        ("linux/arm64", Platform(os="linux", architecture="arm64", variant="v8"), True),
        ("linux/arm64/v8", Platform(os="linux", architecture="arm64"), False),
        ("linux/amd64", Platform(os="linux", architecture="arm64"), False),
    ],
)
def test_a_platform_without_a_variant_means_any(asked, there, expected):
    assert parse_platform(asked).is_served_by(there) is expected


@pytest.mark.parametrize("text", ["amd64", "linux/", "a/b/c/d", ""])
def test_what_is_no_platform_is_refused(text):
    with pytest.raises(ImageError, match="is no platform"):
        parse_platform(text)
