"""Every builder on the command line, for real: what is pushed, what the Dockerfile gets, and how a build fails."""

import base64
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.acceptance.images.token_server import run_token_registry
from tests.image_tools import find_tool, require

from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, Outcome, Target
from hydraflyte.launcher.images.cli_builders import cli_builder, first_usable, usable_builders

ALL = ("docker-buildx", "podman", "buildah", "docker")
WITH_SECRETS = ("docker-buildx", "podman", "buildah")
ENGINES = {"docker-buildx": "docker", "docker": "docker", "podman": "podman", "buildah": "buildah"}
FROM_BASE = "ARG BASE_IMAGE\nARG BASE_VERSION\nFROM ${BASE_IMAGE}:${BASE_VERSION}\n"


class Bench:
    """A builder, a folder to build in, and a registry to push to."""

    def __init__(self, *, builder, registry, base, context):
        self.builder = builder
        self.registry = registry
        self.base = base
        self.context = context
        self.said = []

    def request(self, dockerfile, *, tag="1", **settings):
        elsewhere = (
            self.context.parent / "Dockerfile"
        )  # builders get a copy of the context, and the Dockerfile as it is
        for path in (elsewhere, self.context / "Dockerfile"):
            path.write_text(dockerfile)
        given = {"base": self.base, "target": Target(repository=f"{self.registry}/app/{self.builder.name}", tag=tag)}
        return BuildRequest(**{"context": self.context, "dockerfile": elsewhere, **given, **settings})

    def build(self, dockerfile, **settings):
        return self.builder.build(self.request(dockerfile, **settings), self.said.append)

    def pushed(self, reference):
        return json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{reference}"))

    def content(self, reference, path, folder):
        Path(folder).mkdir(exist_ok=True)
        skopeo("copy", "--src-tls-verify=false", f"docker://{reference}", f"dir:{folder}/image")
        for layer in json.loads(Path(folder, "image", "manifest.json").read_text())["layers"][::-1]:
            blob = Path(folder, "image", layer["digest"].removeprefix("sha256:"))
            ended = subprocess.run(["tar", "-xOf", blob, path], capture_output=True, text=True, check=False)
            if ended.returncode == 0:
                return ended.stdout
        raise AssertionError(f"{path} is in no layer of {reference}")


@pytest.fixture
def bench(request, registry, shell_image, tmp_path):
    require("skopeo")
    engine = request.getfixturevalue(ENGINES[request.param])
    builder = cli_builder(request.param, {**os.environ, **engine.environment})
    if request.param == "docker-buildx":
        builder = dataclasses.replace(builder, dialect=_without_network(builder.dialect))
    context = tmp_path / "context"
    context.mkdir()
    return Bench(builder=builder, registry=registry, base=shell_image, context=context)


def skopeo(*arguments):
    ended = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_the_built_image_is_named_by_the_digest_that_the_registry_has(bench, tmp_path):
    Path(bench.context, "code.txt").write_text("from the context")

    image = bench.build(FROM_BASE + "COPY code.txt /code.txt\n", tag="first")

    target = f"{bench.registry}/app/{bench.builder.name}"
    assert image.outcome is Outcome.built
    assert image.reference == f"{target}@{image.digest}"
    assert bench.pushed(f"{target}:first")["Digest"] == image.digest
    assert bench.content(image.reference, "code.txt", tmp_path) == "from the context"


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_build_argument_arrives_as_it_is_and_is_never_shown(bench, tmp_path):
    value = "two words; $(id -un) 'quoted'"
    dockerfile = FROM_BASE + 'ARG GREETING\nRUN echo "$GREETING" > /greeting && cat /greeting\n'
    environment = dict(os.environ)

    image = bench.build(dockerfile, tag="arguments", build_args={"GREETING": value})

    assert bench.content(image.reference, "greeting", tmp_path) == f"{value}\n"
    assert value not in "\n".join(bench.said)
    assert dict(os.environ) == environment


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_failing_command_leaves_the_tag_with_the_image_of_before(bench):
    before = bench.build(FROM_BASE + "RUN echo fine > /fine\n", tag="stale")

    with pytest.raises(ImageError, match="a RUN of the Dockerfile failed") as failure:
        bench.build(FROM_BASE + "RUN echo this went wrong && exit 3\n", tag="stale")

    assert "this went wrong" in failure.value.message
    assert bench.pushed(f"{bench.registry}/app/{bench.builder.name}:stale")["Digest"] == before.digest


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_base_that_is_not_there_is_named(bench):
    missing = f"{bench.registry}/base/no-such:9"

    with pytest.raises(ImageError, match="the image to build on is not in its registry") as failure:
        bench.build(FROM_BASE + "RUN true\n", base=missing)

    assert missing in failure.value.hint


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_base_that_only_this_machine_has_will_do(bench, request):
    program = ENGINES[bench.builder.name]
    engine = request.getfixturevalue(program)
    tls = [] if program == "docker" else ["--tls-verify=false"]
    engine.command(program, "pull", *tls, bench.base)
    engine.command(program, "tag", bench.base, f"{bench.registry}/only/here:1")

    image = bench.build(FROM_BASE + "RUN echo x > /x\n", base=f"{bench.registry}/only/here:1")

    assert image.outcome is Outcome.built


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_base_that_was_pushed_anew_is_what_is_built_on(bench, tmp_path):
    base = f"{bench.registry}/base/moving-{bench.builder.name}:1"
    for word in ("older", "newer"):
        moving = Target(repository=base.removesuffix(":1"), tag="1")
        bench.build(f"FROM {bench.base}\nRUN echo {word} > /word\n", base=None, target=moving)

        image = bench.build(FROM_BASE + "RUN cat /word > /copy\n", base=base)

        assert bench.content(image.reference, "copy", tmp_path / word) == f"{word}\n"


@pytest.mark.parametrize("bench", WITH_SECRETS, indirect=True)
def test_secrets_reach_the_command_and_neither_the_image_nor_the_log(bench, tmp_path):
    (tmp_path / "token").write_text("from-a-file-9713\n")
    environment = {**bench.builder.environment, "SECRET_TOKEN": "from-the-env-2846"}
    bench.builder = dataclasses.replace(bench.builder, environment=environment)
    dockerfile = FROM_BASE + (
        "RUN --mount=type=secret,id=a --mount=type=secret,id=b "
        "cat /run/secrets/a /run/secrets/b && cat /run/secrets/a /run/secrets/b | wc -c > /size\n"
    )
    secrets = (BuildSecret(id="a", file=tmp_path / "token"), BuildSecret(id="b", variable="SECRET_TOKEN"))

    image = bench.build(dockerfile, tag="secrets", secrets=secrets)

    assert bench.content(image.reference, "size", tmp_path) == "34\n"
    assert not [line for line in bench.said if "9713" in line or "2846" in line]


@pytest.mark.parametrize("bench", ["docker"], indirect=True)
def test_docker_without_buildx_refuses_secrets(bench):
    with pytest.raises(ConfigError, match="needs build secrets, and docker without buildx has none"):
        bench.build(FROM_BASE, secrets=(BuildSecret(id="a", variable="HOME"),))


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_build_that_takes_too_long_is_stopped_with_all_it_started(bench):
    started = time.monotonic()

    with pytest.raises(ImageError, match="its time was up"):
        bench.build(FROM_BASE + "RUN sleep 61.7\n", timeout_s=4)

    assert time.monotonic() - started < 15
    assert _ends("sleep 61.7")


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_registry_that_is_down_is_named(bench):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = Target(repository=f"localhost:{closed.getsockname()[1]}/app", tag="1")

        with pytest.raises(ImageError, match="a registry does not answer") as failure:
            bench.build(FROM_BASE + "RUN echo x > /x\n", target=target, timeout_s=60)

    assert target.reference in failure.value.hint


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_wrong_credentials_are_told_from_other_failures(bench, locked_registry):
    target = Target(repository=f"{locked_registry.host}/app", tag="1")

    with pytest.raises(ImageError, match="does not accept the credentials"):
        bench.build(FROM_BASE + "RUN echo x > /x\n", target=target)


@pytest.fixture(scope="module")
def token_registry(tools_folder):
    require("openssl")
    with run_token_registry(tools_folder / "cli-tokens") as found:
        yield found


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_a_user_who_may_only_read_is_told_so(bench, token_registry, tmp_path):
    logins = tmp_path / "logins" / "config.json"
    logins.parent.mkdir()
    reader = base64.b64encode(b"reader:reads").decode()
    logins.write_text(json.dumps({"auths": {token_registry.host: {"auth": reader}}}))
    known = {"DOCKER_CONFIG": str(logins.parent), "REGISTRY_AUTH_FILE": str(logins)}
    bench.builder = dataclasses.replace(bench.builder, environment={**bench.builder.environment, **known})
    target = Target(repository=f"{token_registry.host}/team/app", tag="1")

    with pytest.raises(ImageError, match="does not let this user do that") as failure:
        bench.build(FROM_BASE + "RUN echo x > /x\n", target=target)

    assert target.reference in failure.value.hint


@pytest.mark.parametrize("bench", ALL, indirect=True)
def test_an_image_for_another_platform_says_so(bench):
    image = bench.build("FROM scratch\nCOPY Dockerfile /\n", tag="arm", base=None, platforms=("linux/arm64",))

    config = json.loads(skopeo("inspect", "--config", "--tls-verify=false", f"docker://{image.reference}"))
    assert config["architecture"] == "arm64"


@pytest.mark.parametrize("bench", ["podman", "buildah"], indirect=True)
def test_an_image_for_two_platforms_is_pushed_as_one(bench):
    platforms = ("linux/amd64", "linux/arm64")

    image = bench.build("FROM scratch\nCOPY Dockerfile /\n", tag="both", base=None, platforms=platforms)

    index = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{image.reference}"))
    assert sorted(child["platform"]["architecture"] for child in index["manifests"]) == ["amd64", "arm64"]


@pytest.mark.parametrize("bench", ["docker-buildx"], indirect=True)
def test_a_buildx_that_builds_for_one_platform_says_how_to_get_another(bench):
    with pytest.raises(ImageError, match="builds for one platform at a time") as failure:
        bench.build("FROM scratch\nCOPY Dockerfile /\n", base=None, platforms=("linux/amd64", "linux/arm64"))

    assert "docker buildx create --use" in failure.value.hint


@pytest.mark.parametrize("bench", ["buildah"], indirect=True)
def test_a_full_disk_is_told_from_other_failures(bench, tmp_path):
    with _small_disk(tmp_path / "disk") as disk:
        storage = tmp_path / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{disk}/store"\nrunroot = "{disk}/run"\n')
        bench.builder = cli_builder(
            "buildah", {**bench.builder.environment, "CONTAINERS_STORAGE_CONF": str(storage), "TMPDIR": str(tmp_path)}
        )

        with pytest.raises(ImageError, match="the disk is full"):
            bench.build(FROM_BASE + "RUN dd if=/dev/zero of=/big bs=1M count=20\n")


def _without_network(dialect):
    """BuildKit gives every RUN the bridge unless told otherwise, and the daemon of these tests has none."""

    def build(request, scratch):
        *options, context = dialect.build(request, scratch)
        return [*options, "--network=none", context]

    return dataclasses.replace(dialect, build=build)


def test_builders_that_do_not_answer_are_not_taken(podman):
    no_daemon = {**os.environ, **podman.environment, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}

    assert usable_builders(no_daemon) == ("podman", "buildah")
    assert first_usable(no_daemon).name == "podman"
    assert first_usable({**no_daemon, "PATH": ""}) is None


def test_doctor_names_the_builders(podman, tmp_path):
    environment = {**os.environ, **podman.environment, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}

    said = subprocess.run(
        ["hydraflyte", "doctor", "--home", tmp_path], env=environment, capture_output=True, text=True, check=False
    )

    assert "ok   image builders: podman, buildah can build by a Dockerfile; append needs none" in said.stdout


@contextlib.contextmanager
def _small_disk(folder):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run([find_tool("umount"), "-l", folder], check=True)


def _ends(command_line, limit_s=10):
    """Tell whether no process has this command line, at the latest after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while subprocess.run(["pgrep", "-f", f"^{command_line}"], capture_output=True, check=False).returncode == 0:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
