"""A Dockerfile is run only if something that gets into its image changed: with buildah, podman and Docker."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from tests.acceptance.images.conftest import NO_CREDENTIALS
from tests.acceptance.images.faulty import Fault
from tests.image_tools import find_tool, push_image, tar_of

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Outcome, Target
from hydraflyte.launcher.images.built_once import BuiltOnce
from hydraflyte.launcher.images.cli_builders import cli_builder
from hydraflyte.launcher.images.content import remember, tag_of
from hydraflyte.launcher.images.context import collect_context
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import digest_of
from hydraflyte.launcher.images.registry.patience import Patience

DOCKERFILE = """\
ARG BASE_IMAGE
ARG BASE_VERSION
FROM ${BASE_IMAGE}:${BASE_VERSION}
COPY setup.sh /setup.sh
RUN sh /setup.sh > /made
WORKDIR /app
COPY code /app
CMD ["sh", "/app/run.sh"]
"""


class Workshop:
    """A folder with a Dockerfile, and a builder that runs it once for its content."""

    def __init__(self, *, folder, registry, base, name, builder, patience):
        self.folder = folder
        self.base = base
        self.repository = f"{registry}/once/{name}"
        self.builder = BuiltOnce(inner=builder, environment=NO_CREDENTIALS, patience=patience)
        self.patience = patience
        (folder / "code").mkdir(parents=True)
        self.write("code/run.sh", "echo first")
        self.write("setup.sh", "echo set up")
        self.write("Dockerfile", DOCKERFILE)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def build(self, *, appends=False, tag="1", **given):
        request = BuildRequest(
            target=Target(repository=self.repository, tag=tag),
            **{"base": self.base, "context": self.folder, "dockerfile": self.folder / "Dockerfile", **given},
        )
        builder = BuiltOnce(
            inner=self.builder.inner, appends=appends, environment=NO_CREDENTIALS, patience=self.patience
        )
        return builder.build(request, lambda line: None)

    def tagged(self, tag="1"):
        return self.reader().head_manifest(tag).digest

    def reader(self):
        return Registry.open(self.repository, environment=NO_CREDENTIALS, patience=self.patience)

    def files(self, digest):
        """Return the files of the image, as its layers make them up."""
        reader = self.reader()
        found = {}
        for layer in reader.manifest(digest).layers:
            content = io.BytesIO(reader.read_blob(layer.digest, layer.size_bytes))
            with tarfile.open(fileobj=content) as archive:
                found |= {
                    "/" + m.name.lstrip("./"): archive.extractfile(m).read() for m in archive if m.isfile() or m.islnk()
                }
        return found


def shell_layer():
    busybox = Path(find_tool("busybox")).read_bytes()
    return tar_of({"bin/busybox": busybox, "bin/sh": busybox})


ENGINES = {"buildah": "buildah", "podman": "podman", "docker": "docker"}


@pytest.fixture
def workshop(request, registry, shell_image, tmp_path, hasty):
    name = getattr(request, "param", "buildah")
    engine = request.getfixturevalue(ENGINES[name])
    builder = cli_builder(name, {**os.environ, **engine.environment})
    number = f"{request.node.name}".partition("[")[0].removeprefix("test_").replace("_", "-")[:60]
    return Workshop(
        folder=tmp_path / "context",
        registry=registry,
        base=shell_image,
        name=f"{name}-{number}",
        builder=builder,
        patience=hasty,
    )


@pytest.mark.parametrize("workshop", ENGINES, indirect=True)
def test_what_did_not_change_is_not_built_again(workshop):
    first = workshop.build()

    second = workshop.build()

    assert first.outcome is Outcome.built
    assert second.outcome is Outcome.unchanged
    assert second.reference == first.reference == f"{workshop.repository}@{workshop.tagged()}"


@pytest.mark.parametrize("workshop", ENGINES, indirect=True)
def test_new_code_becomes_a_layer_on_what_was_built_before(workshop):
    workshop.write("code/old.sh", "echo old")
    workshop.build(appends=True)
    workshop.write("code/run.sh", "echo second")
    (workshop.folder / "code" / "old.sh").unlink()

    appended = workshop.build(appends=True)

    files = workshop.files(appended.digest)
    assert appended.outcome is Outcome.appended
    assert files["/app/run.sh"] == b"echo second\n"
    assert "/app/old.sh" not in files
    assert files["/made"] == b"set up\n"
    assert workshop.tagged() == appended.digest


def test_an_appended_image_runs(workshop, podman):
    workshop.build(appends=True)
    workshop.write("code/run.sh", "echo second")

    appended = workshop.build(appends=True)

    said = podman.command("podman", "run", "--rm", "--tls-verify=false", appended.reference)
    assert said.stdout == "second\n"


def test_appending_again_does_not_pile_up_layers(workshop):
    workshop.build(appends=True)
    counts = set()

    for word in ("second", "third"):
        workshop.write("code/run.sh", f"echo {word}")
        counts.add(len(workshop.reader().manifest(workshop.build(appends=True).digest).layers))

    assert counts == {len(workshop.reader().manifest(workshop.tagged()).layers)}


@pytest.mark.parametrize(
    ("name", "text"), [("setup.sh", "echo other"), ("Dockerfile", DOCKERFILE + "ENV A=1")], ids=["setup", "Dockerfile"]
)
def test_what_lies_below_the_code_is_built_again(workshop, name, text):
    first = workshop.build(appends=True)
    workshop.write(name, text)

    second = workshop.build(appends=True)

    assert second.outcome is Outcome.built
    assert second.digest != first.digest


def test_a_build_argument_and_a_base_that_moved_count(workshop, registry):
    layer = shell_layer()
    base = push_image(registry, "base/once-moving", "1", layers=[layer], environment=["PATH=/bin"])
    first = workshop.build(base=base)
    argued = workshop.build(base=base, build_args={"LEVEL": "2"})
    push_image(registry, "base/once-moving", "1", layers=[layer, tar_of({"new": b"1"})], environment=["PATH=/bin"])

    moved = workshop.build(base=base)

    assert [built.outcome for built in (first, argued, moved)] == [Outcome.built] * 3
    assert workshop.files(moved.digest)["/new"] == b"1"


def test_ignored_files_neither_count_nor_reach_the_builder(workshop):
    workshop.write(".dockerignore", "**/*.tmp\n!code/keep.tmp")
    workshop.write(".flyteignore", "code/notes/")
    workshop.write("code/keep.tmp", "kept")
    first = workshop.build()
    for name in ("code/a.tmp", "code/notes/today.md", ".git/index", "outputs/2026/.hydra/config.yaml"):
        workshop.write(name, "ignored")

    second = workshop.build()

    assert (second.outcome, second.digest) == (Outcome.unchanged, first.digest)
    workshop.write("code/run.sh", "echo rebuilt")
    files = workshop.files(workshop.build().digest)
    assert sorted(name for name in files if name.startswith("/app/")) == ["/app/keep.tmp", "/app/run.sh"]


IGNORED = """\
# comment
*.log
!keep.log
**/cache
/top.txt
docs/**
!docs/index.md
a?c
data/*/raw
[x-z]*
deep/**/*.bin
sub/../gone
  spaced
trailing/
"""
TREE = [
    "one.log",
    "keep.log",
    "dir/two.log",
    "cache/a",
    "dir/cache/b",
    "top.txt",
    "dir/top.txt",
    "docs/index.md",
    "docs/more/page.md",
    "abc",
    "a/c",
    "data/1/raw/f",
    "data/1/fine",
    "xray",
    "dir/xray",
    "deep/q.bin",
    "deep/1/2/r.bin",
    "deep/s.txt",
    "gone",
    "sub/gone",
    "spaced",
    "trailing/t",
    "plain",
    ".hidden",
    "dir/.hidden",
]


@pytest.mark.parametrize("workshop", ["buildah", "docker"], indirect=True)
def test_the_context_is_what_the_builder_takes_it_for(workshop):
    for name in TREE:
        workshop.write(name, "x")
    workshop.write(".dockerignore", IGNORED)
    workshop.write("Dockerfile", f"FROM {workshop.base}\nCOPY . /ctx")
    request = BuildRequest(
        target=Target(repository=workshop.repository, tag="1"),
        base=workshop.base,
        context=workshop.folder,
        dockerfile=workshop.folder / "Dockerfile",
    )

    built = workshop.builder.inner.build(request, lambda line: None)

    taken = {name.removeprefix("/ctx/") for name in workshop.files(built.digest) if name.startswith("/ctx/")}
    assert {file.name for file in collect_context(workshop.folder, workshop.folder / "Dockerfile").files} == taken


def test_a_failing_build_leaves_nothing_to_be_found(workshop):
    before = workshop.build()
    workshop.write("setup.sh", "exit 3")

    for _ in range(2):
        with pytest.raises(ImageError, match="a RUN of the Dockerfile failed"):
            workshop.build()

    assert workshop.tagged() == before.digest


def test_going_back_finds_the_older_build_and_moves_the_tag(workshop):
    first = workshop.build(tag="latest")
    workshop.write("code/run.sh", "echo second")
    workshop.build(tag="latest")
    workshop.write("code/run.sh", "echo first")

    again = workshop.build(tag="latest")

    assert (again.outcome, again.digest) == (Outcome.unchanged, first.digest)
    assert workshop.tagged("latest") == first.digest


@pytest.mark.parametrize("name", ["code/run.sh", "Dockerfile"])
def test_a_file_that_changes_during_the_build_spoils_it(workshop, name):
    run = workshop.folder / name

    class Meddler:
        name = workshop.builder.inner.name

        def build(self, request, say):
            with run.open("a") as file:
                file.write("# meddled\n")
            return workshop.builder.inner.build(request, say)

    builder = BuiltOnce(inner=Meddler(), environment=NO_CREDENTIALS, patience=workshop.patience)
    request = BuildRequest(
        target=Target(repository=workshop.repository, tag="1"),
        base=workshop.base,
        context=workshop.folder,
        dockerfile=workshop.folder / "Dockerfile",
    )

    with pytest.raises(ImageError, match=rf"{name} changed while the image was built"):
        builder.build(request, lambda line: None)


class Pusher:
    """A builder that pushes a tiny image, whatever the Dockerfile says, after ``meanwhile`` has run."""

    name = "pusher"

    def __init__(self, meanwhile=lambda: None):
        self.meanwhile = meanwhile

    def build(self, request, say):
        self.meanwhile()
        host, _, path = request.target.repository.partition("/")
        push_image(host, path, request.target.tag, layers=[tar_of({"x": b"x"})])
        digest = Registry.open(request.target.repository).head_manifest(request.target.tag).digest
        return BuiltImage(reference=request.target.pinned(digest), digest=digest, outcome=Outcome.built)


def test_what_two_bases_and_the_target_mean_is_asked_at_the_same_time(workshop, proxy, registry):
    other = push_image(registry, "base/other", "1", layers=[tar_of({"x": b"x"})]).replace(registry, proxy.host)
    workshop.write("Dockerfile", DOCKERFILE.replace("WORKDIR", f"COPY --from={other} x /x\nWORKDIR"))
    workshop.repository = workshop.repository.replace(registry, proxy.host)
    workshop.base = workshop.base.replace(registry, proxy.host)
    workshop.builder = BuiltOnce(inner=Pusher())
    first = workshop.build()
    asked = [
        f"GET /v2/{workshop.repository.partition('/')[2]}/manifests/1",
        "HEAD /v2/base/other/manifests/1",
        "HEAD /v2/base/shell/manifests/1",
    ]
    proxy.faults = [Fault(at=line, waits_for=asked[number - 1]) for number, line in enumerate(asked)]
    proxy.requests.clear()
    workshop.patience = Patience(attempts=1, silence_s=2)

    second = workshop.build()

    assert (second.outcome, second.digest) == (Outcome.unchanged, first.digest)
    assert sorted(proxy.requests) == asked


def test_an_image_on_a_base_that_moves_meanwhile_is_not_found_again(workshop, registry):
    def move_to(content):
        return push_image(registry, "base/restless", "1", layers=[tar_of({"x": content})])

    workshop.base = move_to(b"1")
    workshop.builder = BuiltOnce(inner=Pusher(lambda: move_to(b"2")))
    workshop.build()
    move_to(b"1")
    workshop.builder = BuiltOnce(inner=Pusher())

    assert workshop.build().outcome is Outcome.built


def test_a_base_that_no_registry_knows_is_built_on_each_time(workshop, request):
    buildah = request.getfixturevalue("buildah")
    buildah.command("buildah", "pull", "--tls-verify=false", workshop.base)
    local = f"{workshop.repository.partition('/')[0]}/once/only-here:1"
    buildah.command("buildah", "tag", workshop.base, local)

    outcomes = [workshop.build(base=local).outcome for _ in range(2)]

    assert outcomes == [Outcome.built, Outcome.built]


def test_a_base_that_copies_by_itself_means_a_build_for_new_code(workshop, registry):
    base = push_image(registry, "base/onbuild", "1", layers=[shell_layer()], environment=["PATH=/bin"])
    writer = Registry.open(base, writes=True, environment=NO_CREDENTIALS, patience=workshop.patience)
    manifest = writer.manifest("1")
    config = json.loads(writer.read_blob(manifest.config.digest, manifest.config.size_bytes))
    config["config"]["OnBuild"] = ["RUN echo by itself > /by-itself"]
    content = json.dumps(config).encode()
    writer.push_blob(digest_of(content), content)
    document = json.loads(manifest.content)
    document["config"] |= {"digest": digest_of(content), "size": len(content)}
    writer.push_manifest("1", json.dumps(document).encode(), manifest.media_type)
    workshop.build(base=base, appends=True)
    workshop.write("code/run.sh", "echo second")

    assert workshop.build(base=base, appends=True).outcome is Outcome.built


def test_a_registry_whose_tags_cannot_be_moved_keeps_what_was_pushed(proxy, tiny_image, registry, hasty):
    target = Registry.open(
        tiny_image.replace(registry, proxy.host), writes=True, environment=NO_CREDENTIALS, patience=hasty
    )
    digest = target.head_manifest("1").digest
    said = json.dumps({"errors": [{"code": "DENIED", "message": "tag 1 is immutable"}]}).encode()
    proxy.faults = [Fault(at="PUT .*/manifests/1$", status=400, body=said)]

    assert remember(target, "1", "k1", digest) == digest

    assert target.head_manifest(tag_of("k1")).digest == digest


def test_who_may_read_a_file_is_part_of_the_content(workshop):
    secret = workshop.folder / "code" / "key"
    workshop.write("code/key", "1")
    workshop.builder = BuiltOnce(inner=Pusher())
    outcomes = []
    for mode in (0o644, 0o664, 0o600, 0o600, 0o644):
        secret.chmod(mode)
        outcomes.append(workshop.build().outcome.value)

    assert outcomes == ["built", "unchanged", "built", "unchanged", "unchanged"]


def test_a_private_file_keeps_its_mode_when_code_changes(workshop):
    workshop.write("code/key", "1")
    (workshop.folder / "code" / "key").chmod(0o600)
    workshop.build(appends=True)
    workshop.write("code/run.sh", "echo second")

    assert workshop.build(appends=True).outcome is Outcome.built  # a layer of ours has the modes 0644 and 0755 alone


def test_names_of_any_bytes_and_what_is_no_file_do_not_spoil_a_context(workshop):
    code = os.fsencode(workshop.folder / "code")
    for name in (b"\xff\xfe", b"new\nline", b"-rf", b"'$(id)\"", "\u202eh".encode()):
        Path(os.fsdecode(os.path.join(code, name))).write_text("x")
    os.mkfifo(workshop.folder / "code" / "pipe")
    os.link(workshop.folder / "code" / "run.sh", workshop.folder / "code" / "linked")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(workshop.folder / "code" / "socket"))

        built = workshop.build()

    names = {os.fsencode(name) for name in workshop.files(built.digest) if name.startswith("/app/")}
    assert names == {
        b"/app/" + name
        for name in (b"\xff\xfe", b"new\nline", b"-rf", b"'$(id)\"", "\u202eh".encode(), b"run.sh", b"linked")
    }


def test_dependencies_beside_a_dockerfile_are_refused(workshop):
    workshop.write("requirements.txt", "alpha")

    with pytest.raises(
        ImageError, match=r"has a Dockerfile and dependencies, .*requirements\.txt: one of them is meant"
    ):
        workshop.build(dependencies=workshop.folder / "requirements.txt")


def test_the_key_is_in_the_manifest_of_an_oci_image(workshop):
    built = workshop.build()

    manifest = json.loads(workshop.reader().manifest(built.digest).content)

    assert len(manifest["annotations"]["org.hydraflyte.content"]) == 40
